//! What a server says of itself at the start, what it is made to say there, and
//! how a change of it is told. Pure.

use serde_json::Value;

use super::rpc::{self, Members};
use super::splice::Splice;

/// What a server says of itself at the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Greeting {
    /// The protocol's version, if it is fit for a header.
    pub(super) version: Option<String>,
    pub(super) capabilities: Value,
}

impl Greeting {
    /// Reads the result of `initialize`; None if it is none.
    pub(super) fn read(result: &str) -> Option<Self> {
        let result = Members::of(result)?;
        let version = result.last("protocolVersion").and_then(rpc::text);
        Some(Self {
            version: version.filter(|text| text.bytes().all(|b| b.is_ascii_graphic())),
            capabilities: serde_json::from_str(result.last("capabilities")?).ok()?,
        })
    }
}

/// The response to `initialize` with the promise that changes of the tools are
/// told, if there are tools or `always`; None if it says so already.
pub(super) fn promise(response: &[u8], always: bool) -> Option<Vec<u8>> {
    let text = str::from_utf8(response).ok()?;
    let (response_members, mut splice) = (Members::of(text)?, Splice::new(response));
    for result in response_members.all("result") {
        let result = Members::of(result)?;
        for capabilities in result.all("capabilities") {
            let has_tools = Members::of(capabilities)?.last("tools").is_some();
            if has_tools || always {
                splice.set(capabilities, "tools", &[("listChanged", "true")]);
            }
        }
    }
    splice.finish()
}

/// What of a server has changed: its lists, or what it has at all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct News {
    pub(super) tools: bool,
    pub(super) prompts: bool,
    pub(super) resources: bool,
}

impl News {
    pub(super) const TOOLS: Self = Self {
        tools: true,
        prompts: false,
        resources: false,
    };

    /// What is in `new` capabilities not as it was.
    pub(super) fn between(old: &Value, new: &Value) -> Self {
        let differs = |key: &str| old.get(key) != new.get(key);
        Self {
            tools: differs("tools"),
            prompts: differs("prompts"),
            resources: differs("resources"),
        }
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self {
            tools: self.tools || other.tools,
            prompts: self.prompts || other.prompts,
            resources: self.resources || other.resources,
        }
    }

    /// The notifications, as events.
    pub(super) fn events(self) -> String {
        let lists = [
            (self.tools, "tools"),
            (self.prompts, "prompts"),
            (self.resources, "resources"),
        ];
        let told = lists.into_iter().filter(|(is_new, _)| *is_new);
        told.fold(String::new(), |events, (_, list)| {
            events
                + "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/"
                + list
                + "/list_changed\"}\n\n"
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_promise_changes_no_other_byte() {
        let said = |capabilities: &str| {
            format!(r#" {{"id" : 0, "result":{{ "capabilities": {capabilities},"x":[1] }} }}"#)
        };
        for (before, always, after) in [
            (
                r#"{"tools":{}}"#,
                false,
                Some(r#"{"tools":{"listChanged":true}}"#),
            ),
            (
                r#"{ "tools":{"listChanged":false, "a":1} }"#,
                false,
                Some(r#"{ "tools":{"listChanged":true, "a":1} }"#),
            ),
            (r#"{"tools":{"listChanged":true}}"#, true, None),
            (r#"{"prompts":{}}"#, false, None),
            (
                r#"{"prompts":{}}"#,
                true,
                Some(r#"{"tools":{"listChanged":true},"prompts":{}}"#),
            ),
            ("{}", true, Some(r#"{"tools":{"listChanged":true}}"#)),
        ] {
            let new = promise(said(before).as_bytes(), always);
            let new = new.map(|new| String::from_utf8(new).expect("text"));
            assert_eq!(new, after.map(said), "{before}");
        }
        for none in [r#"{"id":0,"error":{}}"#, "", "[]", r#"{"result":{}}"#] {
            assert_eq!(promise(none.as_bytes(), true), None);
        }
    }

    #[test]
    fn greetings_are_read() {
        let read = |text: &str| Greeting::read(text).map(|greeting| greeting.version);
        let version = |text: &str| format!(r#"{{"protocolVersion":{text},"capabilities":{{}}}}"#);
        assert_eq!(
            read(&version("\"2025-06-18\"")),
            Some(Some("2025-06-18".into()))
        );
        assert_eq!(read(&version(r#""a\r\nX: y""#)), Some(None));
        assert_eq!(read("{}"), None);
    }

    #[test]
    fn only_what_differs_is_news() {
        let old = json!({ "tools": {}, "prompts": { "listChanged": true } });
        assert_eq!(News::between(&old, &old).events(), "");
        let new = json!({ "tools": {}, "resources": {} });
        let news = News::between(&old, &new);
        assert!(!news.tools && news.prompts && news.resources);
        assert_eq!(
            News::TOOLS.and(News::default()).events(),
            "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\n\n"
        );
    }
}
