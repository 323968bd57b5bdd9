//! Random documents and edits, for tests.

use serde_json::{Value, json};

use super::json_scan::Scan;
use super::plan::Format;
use super::toml_scan::table;
use crate::types::dice::Dice;

/// How many documents of each format.
pub(super) const CASES: usize = 300;

pub(super) const BOTH: [Format; 2] = [Format::Json, Format::Toml];

impl Dice {
    /// What may stand between two tokens of JSON.
    fn gap(&mut self) -> &'static str {
        self.pick(&[
            "",
            "",
            " ",
            "\n",
            "\r\n\t",
            "  \n    ",
            " // it's {\"a\n",
            "// \\\r\n  ",
            "/* }, */",
            " /* é\n\t, */ ",
        ])
    }

    fn value(&mut self, depth: usize) -> String {
        let gap = self.gap();
        match self.below(if depth == 0 { 6 } else { 9 }) {
            6 => format!("[{}{gap}{}]", self.value(depth - 1), self.pick(&["", ","])),
            7 | 8 => self.object(depth - 1),
            simple => ["1.50", "-2E3", r#""\"}{,\\""#, "true", "null", r#""//é,]""#][simple].into(),
        }
    }

    fn object(&mut self, depth: usize) -> String {
        let mut text = format!("{{{}", self.gap());
        let members = self.below(4);
        for member in 1..=members {
            let name = self.pick(&["a", "servers", "one", "\\u0061b"]);
            let comma = if member < members || self.below(4) == 0 {
                ","
            } else {
                ""
            };
            let (b, c, d, e) = (self.gap(), self.gap(), self.gap(), self.gap());
            let value = self.value(depth);
            text.extend(["\"", name, "\"", b, ":", c, &value, d, comma, e]);
        }
        text + "}"
    }

    fn json_document(&mut self) -> String {
        let mark = self.pick(&["", "", "\u{feff}"]);
        format!("{mark}{}{}{}", self.gap(), self.object(3), self.gap())
    }

    fn toml_document(&mut self) -> String {
        let mut text = self.pick(&["", "", "\u{feff}"]).to_owned();
        let line = |dice: &mut Self, text: &mut String, line: &str| {
            let before = dice.pick(&["", "", "  ", "\n", "# it's [x]\n", "\r\n\t"]);
            let after = dice.pick(&["\n", "\n", "\r\n", " # \"é\n", "\n\n"]);
            text.extend([before, line, after]);
        };
        let value = |dice: &mut Self| {
            dice.pick(&[
                "1.50",
                "\"]\\\"#\"",
                "'''\n[x]\n'''",
                "[1, # x\n 2,\r\n]",
                "{ a.b = { c = [{ d = 1 }] } }",
                "2024-01-02T03:04:05Z",
                "{}",
            ])
        };
        let inline = ["{}", "{ }", "{ two = { u = 1 } }", "{two={},three.x=[]}"];
        let servers = self.below(6);
        for key in ["a", "\"b c\"", "d.e", "d.'f'.g"] {
            if self.below(2) == 0 {
                let value = value(self);
                line(self, &mut text, &format!("{key} = {value}"));
            }
        }
        match servers {
            0 => {
                let inline = self.pick(&inline);
                line(self, &mut text, &format!("servers = {inline}"));
            }
            1 => line(self, &mut text, "servers.two.url = 'x'"),
            2 => line(self, &mut text, "servers.one.url = 'x'"),
            _ => {}
        }
        for header in ["[s]", "[s.t]", "[[r]]", "[[r]]", "[r.u]"] {
            if header != "[r.u]" || text.contains("[[r]]") {
                line(self, &mut text, header);
                let value = value(self);
                line(self, &mut text, &format!("k = {value}"));
            }
        }
        match servers {
            3 => {
                line(self, &mut text, "[servers]");
                let inline = self.pick(&inline);
                line(self, &mut text, &format!("one = {inline}"));
            }
            4 => {
                line(self, &mut text, "[servers.\"one\"]");
                line(self, &mut text, "url = 'x'");
                line(self, &mut text, "[servers.one.env]");
                line(self, &mut text, "A.B = 'x'");
            }
            _ => {}
        }
        if self.below(2) == 0 {
            line(self, &mut text, "[z]");
        }
        let end = if self.below(2) == 0 {
            text.trim_end().len()
        } else {
            text.len()
        };
        text.truncate(end);
        text
    }

    pub(super) fn document(&mut self, format: Format) -> String {
        match format {
            Format::Json => self.json_document(),
            Format::Toml => self.toml_document(),
        }
    }

    pub(super) fn entry(&mut self) -> Value {
        [
            json!({ "url": "u", "headers": { "A b": "\"\n\u{7f}" } }),
            json!({ "command": ["x", 1, true], "env": {} }),
            json!({}),
        ][self.below(3)]
        .clone()
    }
}

pub(super) fn keys(name: &str) -> Vec<String> {
    vec!["servers".into(), name.into()]
}

/// All that a document says.
pub(super) fn said(format: Format, text: &str) -> Value {
    match format {
        Format::Json => Scan::new(text).expect(text).value(0..text.len()),
        Format::Toml => serde_json::to_value(table(text).expect(text)).expect("JSON"),
    }
}

/// Comments of both formats' documents, as they stand.
pub(super) fn comments(text: &str) -> Vec<&str> {
    let kinds = [
        "// it's {\"a",
        "// \\",
        "/* }, */",
        "/* é\n\t, */",
        "# it's [x]",
        "# \"é",
    ];
    kinds.iter().flat_map(|kind| text.matches(kind)).collect()
}

/// What the user may do meanwhile, to a document with or without our entry.
pub(super) fn edit(format: Format, what: usize, text: &str) -> String {
    match (format, what) {
        (_, 0) => text.replace("1.50", "[2, 75]"),
        (Format::Json, 1) => {
            let open = Scan::new(text).expect(text).root().list.open + 1;
            let mine = "/* mine, } */\n  \"mine\": {\"x\": \"}\"},";
            format!("{}{mine}{}", &text[..open], &text[open..])
        }
        (Format::Json, 2) => format!("{text}\n// the end"),
        (Format::Json, _) => format!("{:#}", said(format, text)),
        (Format::Toml, 1) => {
            let at = usize::from(text.starts_with('\u{feff}')) * 3;
            format!("{}# [mine]\nmine = 1\n{}", &text[..at], &text[at..])
        }
        (Format::Toml, 2) => format!("{text}\n[the.end]\n\n"),
        (Format::Toml, _) => table(text).expect(text).to_string(),
    }
}
