//! `NO_PROXY` of what we start: this machine's own addresses. Pure.
//!
//! A program behind an HTTP proxy asks that proxy for every address that
//! `NO_PROXY` does not name, and hands it the request's credentials. Our
//! addresses are of this machine, so the request could only fail there.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

/// The variables that name a proxy.
const PROXIES: [&str; 6] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// The variable of exceptions, in both its spellings.
const EXCEPTIONS: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// The addresses of this machine.
const LOOPBACK: [&str; 3] = ["127.0.0.1", "localhost", "::1"];

/// Adds this machine to the exceptions in `env`, if it names a proxy.
///
/// What stands there stays. Each spelling keeps its own exceptions, and one
/// that is not set gets those of the other: programs read either.
pub fn exempt_loopback(env: &mut BTreeMap<OsString, OsString>) {
    let value = |name: &str| env.get(OsStr::new(name)).filter(|value| !value.is_empty());
    if !PROXIES.iter().any(|name| value(name).is_some()) {
        return;
    }
    let [upper, lower] = EXCEPTIONS.map(|name| value(name).cloned().unwrap_or_default());
    let own =
        |own: &OsString, other: &OsString| with_loopback(if own.is_empty() { other } else { own });
    let [upper, lower] = [own(&upper, &lower), own(&lower, &upper)];
    env.extend(
        EXCEPTIONS
            .map(OsString::from)
            .into_iter()
            .zip([upper, lower]),
    );
}

/// A list of exceptions, with this machine in it.
fn with_loopback(list: &OsStr) -> OsString {
    let text = list.to_string_lossy();
    let entries = || {
        text.split([',', ' ', '\t'])
            .map(str::trim)
            .filter(|entry| !entry.is_empty())
    };
    let mut whole = list.to_owned();
    // It exempts every address.
    if entries().any(|entry| entry == "*") {
        return whole;
    }
    let is_there = |wanted: &str| {
        entries().any(|entry| entry.trim_matches(['[', ']']).eq_ignore_ascii_case(wanted))
    };
    let mut open = entries().next().is_none() || text.trim_end().ends_with(',');
    for address in LOOPBACK.into_iter().filter(|address| !is_there(address)) {
        if !open {
            whole.push(",");
        }
        whole.push(address);
        open = false;
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exempted(env: &[(&str, &str)]) -> Vec<(String, String)> {
        let pair = |(name, value): &(&str, &str)| (OsString::from(name), OsString::from(value));
        let mut env = env.iter().map(pair).collect();
        exempt_loopback(&mut env);
        let exceptions = env
            .into_iter()
            .filter(|(name, _)| EXCEPTIONS.iter().any(|known| name == known))
            .map(|(name, value)| (text(name), text(value)));
        exceptions.collect()
    }

    fn text(text: OsString) -> String {
        text.into_string().expect("text")
    }

    #[test]
    fn this_machine_is_exempt_wherever_a_proxy_is_set() {
        const ALL: &str = "127.0.0.1,localhost,::1";
        for proxy in PROXIES {
            for (set, upper, lower) in [
                (&[][..], ALL, ALL),
                (&[("NO_PROXY", "")], ALL, ALL),
                (
                    &[("NO_PROXY", "corp")],
                    "corp,127.0.0.1,localhost,::1",
                    "corp,127.0.0.1,localhost,::1",
                ),
                (
                    &[("NO_PROXY", "a"), ("no_proxy", "b, LOCALHOST")],
                    "a,127.0.0.1,localhost,::1",
                    "b, LOCALHOST,127.0.0.1,::1",
                ),
                (&[("no_proxy", "*")], "*", "*"),
                (
                    &[("NO_PROXY", "*"), ("no_proxy", "b,")],
                    "*",
                    "b,127.0.0.1,localhost,::1",
                ),
                (
                    &[("no_proxy", "[::1] 127.0.0.1")],
                    "[::1] 127.0.0.1,localhost",
                    "[::1] 127.0.0.1,localhost",
                ),
                (&[("no_proxy", ALL)], ALL, ALL),
                (
                    &[("no_proxy", "127.0.0.1:80")],
                    "127.0.0.1:80,127.0.0.1,localhost,::1",
                    "127.0.0.1:80,127.0.0.1,localhost,::1",
                ),
            ] {
                let env = [set, &[(proxy, "http://corp:1")]].concat();
                let wanted = [("NO_PROXY", upper), ("no_proxy", lower)];
                let wanted = wanted.map(|(name, value)| (name.to_owned(), value.to_owned()));
                assert_eq!(exempted(&env), wanted, "{env:?}");
            }
        }
    }

    #[test]
    fn without_a_proxy_nothing_is_set() {
        assert_eq!(exempted(&[("HTTP_PROXY", ""), ("no_proxy", "a")]).len(), 1);
        assert_eq!(exempted(&[("HTTP_PROXY", "")]), []);
    }
}
