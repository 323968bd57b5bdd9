//! What git says on its standard error: progress for eyes, and why it failed.

use std::io::{self, Read};
use std::process::ExitStatus;

use crate::types::text::one_line;

/// What git says on its standard error.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// The last lines; progress, which rewrites its line, is none.
    lines: Vec<String>,
}

impl Said {
    /// Reads to the end; `show` gets each line and each stage of progress.
    pub(super) fn listen(
        &mut self,
        mut from: impl Read,
        mut show: impl FnMut(&str),
    ) -> io::Result<()> {
        let mut buffer = [0; 4096];
        let mut line = Vec::new();
        loop {
            let read = from.read(&mut buffer)?;
            for byte in &buffer[..read] {
                if !matches!(byte, b'\r' | b'\n') {
                    line.push(*byte);
                    continue;
                }
                let text = redacted(&one_line(&String::from_utf8_lossy(&line), 300));
                line.clear();
                if !text.is_empty() {
                    show(&text);
                    if *byte == b'\n' {
                        self.lines.push(text);
                    }
                }
            }
            if read == 0 {
                let text = redacted(&one_line(&String::from_utf8_lossy(&line), 300));
                self.lines.extend((!text.is_empty()).then_some(text));
                return Ok(());
            }
        }
    }

    /// Git's own words: its last complaint, and what it or another program, as
    /// ssh, said just before, which is often the better one.
    pub(super) fn reason(&self, status: ExitStatus) -> String {
        let complaint = |line: &String| line.starts_with("fatal: ") || line.starts_with("error: ");
        let Some(last) = self.lines.iter().rposition(complaint) else {
            let last = self.lines.last().cloned();
            return last.unwrap_or_else(|| format!("`git` failed: {status}"));
        };
        let own = |line: &str| {
            line.starts_with("remote: ") || line.contains("...") || line.starts_with("From ")
        };
        let before = last.checked_sub(1).map(|at| &self.lines[at]);
        match before.filter(|line| !own(line)) {
            Some(before) => format!("{before}; {}", self.lines[last]),
            None => self.lines[last].clone(),
        }
    }
}

/// The line without user names and passwords of URLs in it: git's own
/// configuration may have put them there.
fn redacted(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        let end = after.find(['/', ' ', '\'', '"']).unwrap_or(after.len());
        match after[..end].rfind('@') {
            Some(user) => {
                out.push_str("****");
                rest = &after[user..];
            }
            None => rest = after,
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    #[test]
    fn gits_complaint_is_found_among_its_words() {
        for (said, reason) in [
            ("", "`git` failed: exit status: 128"),
            ("hello\n", "hello"),
            (
                "Receiving: 1%\rReceiving: 2%\rfatal: early EOF\n",
                "fatal: early EOF",
            ),
            ("fatal: no newline", "fatal: no newline"),
            (
                "fatal: 'x' is no repository\nfatal: Could not read.\n",
                "fatal: 'x' is no repository; fatal: Could not read.",
            ),
            (
                "git@x: Permission denied (publickey).\nfatal: Could not read.\n\n\
                 Please make sure you have the correct access rights\nand the repository exists.\n",
                "git@x: Permission denied (publickey).; fatal: Could not read.",
            ),
            (
                "Cloning into 'x'...\nfatal: unable to access 'https://u:s3cret@x.dev/': \u{1b}[2Jx\n",
                "fatal: unable to access 'https://****@x.dev/': [2Jx",
            ),
        ] {
            let mut heard = Said::default();
            heard.listen(said.as_bytes(), |_| ()).expect("read");
            let status = ExitStatus::from_raw(128 << 8);
            assert_eq!(heard.reason(status), reason, "{said}");
        }
    }
}
