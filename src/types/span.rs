//! Times as configuration files give them.

use std::time::Duration;

use serde::Deserialize;

/// A longer one is as good as for ever, and could not be added to a time.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// A duration like `30s` or `1h30m`, which may be nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Span(pub Duration);

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        humantime::parse_duration(&text)
            .map(|span| Self(span.min(LONGEST)))
            .map_err(|error| format!("no duration like `30s` or `1h30m`: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_read_and_has_a_bound() {
        let span = |text: &str| Span::try_from(text.to_owned());
        assert_eq!(span("1h30m"), Ok(Span(Duration::from_secs(5400))));
        assert_eq!(span("0s"), Ok(Span(Duration::ZERO)));
        assert_eq!(span("5000y"), Ok(Span(LONGEST)));
        for bad in ["", "10", "s", "ten s", "-1s"] {
            let said = span(bad).expect_err(bad);
            assert!(
                said.starts_with("no duration like `30s` or `1h30m`: "),
                "{said}"
            );
        }
    }
}
