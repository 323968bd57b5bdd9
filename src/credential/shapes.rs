//! Tokens in JSON, as well-known tools print them, with the time that they end.
//! Pure: the clock is passed in.
//!
//! *Invariant*: no refusal repeats anything of the text.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, NaiveDateTime};
use serde_json::{Map, Value};

use super::parse::Refused;

/// What times are read by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    pub(super) now: SystemTime,
    /// A time of this machine's zone; None if there is no such time.
    pub(super) local: fn(NaiveDateTime) -> Option<SystemTime>,
}

/// A token, and when it ends.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shape<'a> {
    pub(super) token: &'a str,
    pub(super) expires_at: Option<SystemTime>,
}

/// Names that hold a token and nothing else: OAuth and its servers of
/// metadata (`access_token`), az and aws sso (`accessToken`), aws codeartifact.
const SURE: [&str; 3] = ["access_token", "accessToken", "authorizationToken"];
/// A header may be called like that as well: azd and GitHub have an end beside
/// it, gcloud says whether it is valid.
const TOKEN: &str = "token";

/// Seconds from now on.
const SPANS: [&str; 3] = ["expires_in", "expiresIn", "lease_duration"];
/// Times; what is said in seconds before what is said in words.
const TIMES: [&str; 9] = [
    "expires_on",
    "expires_at",
    "expiresAt",
    "expiresOn",
    "expiry",
    "token_expiry",
    "expiration",
    "expirationTime",
    "expirationTimestamp",
];
/// What else stands beside a token.
const BESIDE: [&str; 3] = ["token_type", "tokenType", "valid"];

/// The token in `object`, if it is one of the well-known shapes; None for any
/// other object, as a map of headers.
pub(super) fn read(
    object: &Map<String, Value>,
    clock: Clock,
) -> Option<Result<Shape<'_>, Refused>> {
    // `gcloud config config-helper`, and `vault login`.
    if let Some(Value::Object(inner)) = object.get("credential") {
        return read(inner, clock);
    }
    if let Some(Value::Object(auth)) = object.get("auth")
        && auth.contains_key("client_token")
    {
        return Some(shape(auth, "client_token", clock));
    }
    let sure = SURE.iter().find(|name| object.contains_key(**name));
    let mut beside = SPANS.iter().chain(&TIMES).chain(&BESIDE);
    let name = match sure {
        Some(name) => name,
        None if object.contains_key(TOKEN) && beside.any(|name| object.contains_key(*name)) => {
            TOKEN
        }
        None => return None,
    };
    Some(shape(object, name, clock))
}

fn shape<'a>(
    object: &'a Map<String, Value>,
    name: &str,
    clock: Clock,
) -> Result<Shape<'a>, Refused> {
    let Some(Value::String(token)) = object.get(name) else {
        return Err("its token is no string");
    };
    let kind = object.get("token_type").or_else(|| object.get("tokenType"));
    if let Some(kind) = kind.and_then(Value::as_str)
        && !kind.eq_ignore_ascii_case("bearer")
    {
        return Err("its `token_type` is not `Bearer`: print a map of headers");
    }
    let member = |name: &&str| object.get(*name).filter(|value| !value.is_null());
    let expires_at = if let Some(value) = SPANS.iter().find_map(member) {
        let seconds = number(value).ok_or("its `expires_in` is no number of seconds")?;
        // A token of vault that never ends.
        let is_endless = name == "client_token" && seconds == 0.0;
        let life = Duration::try_from_secs_f64(seconds.max(0.0));
        let life = life.map_err(|_| "its `expires_in` is no number of seconds")?;
        clock.now.checked_add(life).filter(|_| !is_endless)
    } else if let Some(value) = TIMES.iter().find_map(member) {
        Some(time(value, clock).ok_or("its time of expiry is none that is known")?)
    } else {
        None
    };
    Ok(Shape { token, expires_at })
}

/// A number, or one in a string.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::String(text) => text.trim().parse().ok(),
        value => value.as_f64(),
    }
    .filter(|number: &f64| number.is_finite())
}

/// A time in seconds or milliseconds since 1970, as of RFC 3339, as az prints
/// it in the zone of the machine, or as gcloud prints it in UTC.
fn time(value: &Value, clock: Clock) -> Option<SystemTime> {
    if let Some(seconds) = number(value) {
        // No token ends in the year 5138.
        let is_millis = seconds > 1e11;
        let seconds = if is_millis { seconds / 1000.0 } else { seconds };
        return UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?);
    }
    let naive = |text: &str| {
        let forms = ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f"];
        let mut forms = forms.iter();
        forms.find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())
    };
    match value {
        Value::String(text) => match DateTime::parse_from_rfc3339(text.trim()) {
            Ok(time) => Some(time.into()),
            Err(_) => (clock.local)(naive(text.trim())?),
        },
        Value::Object(parts) => {
            let time = naive(parts.get("datetime")?.as_str()?)?;
            Some(time.and_utc().into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two hours east of Greenwich.
    fn east(time: NaiveDateTime) -> Option<SystemTime> {
        SystemTime::from(time.and_utc()).checked_sub(Duration::from_secs(7200))
    }

    const END: u64 = 1_893_456_000; // 2030-01-01T00:00:00Z

    fn found(text: &str) -> Option<Result<(String, Option<u64>), Refused>> {
        let clock = Clock {
            now: UNIX_EPOCH + Duration::from_secs(END - 3600),
            local: east,
        };
        let object: Map<String, Value> = serde_json::from_str(text).expect(text);
        let found = read(&object, clock)?;
        Some(found.map(|Shape { token, expires_at }| {
            let end = expires_at.map(|end| end.duration_since(UNIX_EPOCH).expect("after"));
            (token.to_owned(), end.map(|end| end.as_secs()))
        }))
    }

    #[test]
    fn what_tools_print_is_read_with_its_end() {
        for (who, text) in [
            ("azd", r#"{"token":"t","expiresOn":"2030-01-01T00:00:00Z"}"#),
            (
                "az",
                r#"{"accessToken":"t","expiresOn":"2029-12-31 12:00:00.000000","expires_on":1893456000,"subscription":"s","tenant":"x","tokenType":"Bearer"}"#,
            ),
            (
                "az of before",
                r#"{"accessToken":"t","expiresOn":"2030-01-01 02:00:00.000000","tokenType":"Bearer"}"#,
            ),
            (
                "OAuth",
                r#"{"access_token":"t","expires_in":3600,"token_type":"bearer","scope":"a"}"#,
            ),
            (
                "Azure's metadata",
                r#"{"access_token":"t","expires_in":"3600","expires_on":"1893456000","not_before":"1","resource":"r","token_type":"Bearer"}"#,
            ),
            (
                "gcloud config-helper",
                r#"{"configuration":{"active_configuration":"d"},"credential":{"access_token":"t","id_token":"i","token_expiry":"2030-01-01T00:00:00Z"},"sentinels":{}}"#,
            ),
            (
                "gcloud print-access-token",
                r#"{"expired":false,"expiry":{"datetime":"2030-01-01 00:00:00.000000","day":1},"token":"t","valid":true}"#,
            ),
            (
                "databricks",
                r#"{"access_token":"t","token_type":"Bearer","expiry":"2030-01-01T02:00:00.5+02:00"}"#,
            ),
            (
                "aws sso",
                r#"{"accessToken":"t","expiresAt":"2030-01-01T00:00:00Z","region":"r"}"#,
            ),
            (
                "aws sso-oidc",
                r#"{"accessToken":"t","tokenType":"Bearer","expiresIn":3600}"#,
            ),
            (
                "aws codeartifact",
                r#"{"authorizationToken":"t","expiration":1893456000.25}"#,
            ),
            (
                "GitHub",
                r#"{"token":"t","expires_at":"2030-01-01T00:00:00Z","permissions":{}}"#,
            ),
            (
                "in milliseconds",
                r#"{"accessToken":"t","expiresAt":1893456000000}"#,
            ),
            (
                "vault",
                r#"{"auth":{"client_token":"t","lease_duration":3600}}"#,
            ),
        ] {
            assert_eq!(found(text), Some(Ok(("t".into(), Some(END)))), "{who}");
        }
        for text in [
            r#"{"access_token":"t"}"#,
            r#"{"access_token":"t","token_type":"Bearer"}"#,
            r#"{"access_token":"t","expires_in":null}"#,
            r#"{"token":"t","tokenType":"Bearer"}"#,
            r#"{"auth":{"client_token":"t","lease_duration":0}}"#,
        ] {
            assert_eq!(found(text), Some(Ok(("t".into(), None))), "{text}");
        }
    }

    #[test]
    fn headers_stay_headers_and_odd_tokens_are_refused() {
        for text in [
            r#"{"Authorization":"Bearer t"}"#,
            r#"{"token":"t"}"#,
            r#"{"token":"t","X-Org":"o"}"#,
            r#"{"auth":"t"}"#,
            "{}",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
        for (text, says) in [
            (r#"{"access_token":7}"#, "its token is no string"),
            (
                r#"{"access_token":"t","token_type":"DPoP"}"#,
                "its `token_type`",
            ),
            (
                r#"{"access_token":"t","expires_in":"soon"}"#,
                "its `expires_in`",
            ),
            (
                r#"{"access_token":"t","expiry":"soon"}"#,
                "its time of expiry",
            ),
            (r#"{"access_token":"t","expiry":{}}"#, "its time of expiry"),
        ] {
            let refused = found(text).expect("a token").expect_err(text);
            assert!(refused.starts_with(says), "{refused}");
        }
    }
}
