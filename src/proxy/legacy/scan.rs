//! Finds the id of a JSON-RPC message that is too long to be held. Pure.

/// The longest id, as it is spelled.
const LONGEST: usize = 256;

/// A reader of one message, byte after byte; what stands between its parts, as
/// the names of an event's fields, does not confuse it.
#[derive(Debug, Default)]
pub(super) struct Scan {
    depth: u32,
    is_string: bool,
    is_escaped: bool,
    /// The last string of the message itself, as far as it could be `id`.
    text: Vec<u8>,
    /// The value of `id`, while it is read.
    value: Option<Vec<u8>>,
    id: Option<String>,
}

impl Scan {
    pub(super) fn read(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.step(byte);
        }
    }

    /// The id, once it has been read.
    pub(super) fn id(&mut self) -> Option<String> {
        self.id.take()
    }

    fn step(&mut self, byte: u8) {
        if self.is_string {
            self.keep(byte);
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' => self.is_escaped = true,
                b'"' => self.is_string = false,
                _ => {}
            }
            return;
        }
        if matches!(byte, b',' | b'{' | b'}' | b'[' | b']')
            && let Some(value) = self.value.take()
            && matches!(byte, b',' | b'}')
        {
            self.id = String::from_utf8(value).ok();
        }
        match byte {
            b'"' => {
                self.is_string = true;
                if self.value.is_none() {
                    self.text.clear();
                }
                self.keep(byte);
            }
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            b':' if self.depth == 1 && self.text == b"\"id\"" => {
                self.value = Some(Vec::new());
                self.text.clear();
            }
            b',' => self.text.clear(),
            _ if byte.is_ascii_whitespace() => {}
            _ => {
                if self.value.is_some() {
                    self.keep(byte);
                }
            }
        }
    }

    fn keep(&mut self, byte: u8) {
        if self.depth != 1 {
            return;
        }
        match &mut self.value {
            Some(value) if value.len() < LONGEST => value.push(byte),
            Some(_) => self.value = None,
            None if self.text.len() < 8 => self.text.push(byte),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_messages_own_id_counts() {
        for (event, id) in [
            (
                r#"data: {"jsonrpc":"2.0","id":7,"result":{"id":8}}"#,
                Some("7"),
            ),
            (
                r#"data: {"result":{"id":8,"x":["\"id\":9,"]},"id": "a\"b" }"#,
                Some(r#""a\"b""#),
            ),
            (
                "data: {\ndata:  \"id\": 7,\ndata:  \"result\": {}}",
                Some("7"),
            ),
            (r#"data: {"text":"id","id2":1,"x":"id"}"#, None),
            (r#"data: {"id":null,"error":{}}"#, Some("null")),
            (r#"data: {"id":{"a":1}}"#, None),
            (r#"data: [{"id":1}]"#, None),
            (r#"data: {"id":7"#, None),
        ] {
            let mut scan = Scan::default();
            scan.read(event.as_bytes());
            assert_eq!(scan.id().as_deref(), id, "{event}");
        }
    }
}
