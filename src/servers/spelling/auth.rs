//! `auth` of an entry: our own key, in no agent's spelling. Pure.

use serde_json::Value;

use super::{Mistake, Reader, a, wrong};
use crate::paths;
use crate::types::auth::RawAuth;
use crate::types::credential::{Auth, TokenSource};
use crate::types::server::Headers;

const EXPECTED: &str = "expected one of `token`, `env`, `file` and `command`, and with it no more \
                        than `header`, `timeout` and `refresh_interval`";

impl Reader<'_> {
    /// How the server is told who we are; paths start where the entry's do.
    pub(super) fn auth(&self, headers: &Headers) -> Result<Option<Auth>, Mistake> {
        let value = match self.map.get("auth") {
            None | Some(Value::Bool(false)) => return Ok(None),
            Some(value) => value,
        };
        if !value.is_object() {
            return Err(wrong(
                "auth",
                format!("expected an object, not {}", a(value)),
            ));
        }
        // What serde says may repeat a value.
        let raw: RawAuth =
            serde_json::from_value(value.clone()).map_err(|_| wrong("auth", EXPECTED))?;
        let auth = raw.read().map_err(|(key, what)| match key {
            "" => wrong("auth", what),
            key => wrong(&format!("auth.{key}"), what),
        })?;
        let same = |(name, _): &&(String, _)| name.eq_ignore_ascii_case(auth.header());
        if let Some((name, _)) = headers.iter().find(same) {
            let key = format!("headers.{name}");
            return Err(wrong(&key, "`auth` sets the same header"));
        }
        let mut auth = auth.replaced(|key, text| Ok(self.text(key, &Value::from(text))?.0))?;
        let at = |path: &str| (self.around.dir).join(paths::expand(self.around.env, path));
        match &mut auth.source {
            TokenSource::File(path) => *path = at(&path.to_string_lossy()),
            TokenSource::Command(command) => {
                if let Some(program) = command.argv.first_mut()
                    && program.contains('/')
                {
                    *program = at(program).to_string_lossy().into_owned();
                }
            }
            TokenSource::Literal(_) | TokenSource::Env(_) => {}
        }
        Ok(Some(auth))
    }
}
