//! Answers that the agent must not see as they are. Pure.

use super::detour::Detour;
use super::exchange::Lost;
use super::excuse::Failed;
use super::head::Answer;
use super::headers;
use super::sse;
use super::target::Target;

/// What `answer` says that is to be mended or told in words. `has_session`:
/// the request was one of an MCP session. `by`: a proxy of the environment got
/// it first.
pub(super) fn refusal(
    answer: &Answer,
    target: &Target<'_>,
    has_session: bool,
    by: Option<&Detour>,
) -> Option<Failed> {
    match (answer.status, by) {
        (407, Some(by)) => return Some(Failed::Away(by.refusal(407, ""))),
        // Its own, or the server's: either way the server gave no answer.
        (status @ 502..=504, Some(by)) => {
            return Some(Failed::Lost(Lost::Broken(by.refusal(status, ""))));
        }
        _ => {}
    }
    match answer.status {
        401 | 403 | 409 if target.is_hub => Some(Failed::Stale),
        401 | 403 | 407 => Some(target.refused(answer.status)),
        // Its path is there, or nobody could have registered.
        404 if target.is_hub && !has_session => Some(Failed::Stale),
        404 => Some(Failed::Missing { has_session }),
        status @ (301 | 302 | 303 | 307 | 308) => {
            let to = headers::value(&answer.crossing, "location");
            let to = to.map(|to| to.split('#').next().unwrap_or(to));
            // Its own credential may go there, and the request as it is.
            let here = to.and_then(|to| sse::resolve(target.to(), to.as_bytes()).ok());
            match (status, here) {
                (307 | 308, Some(path)) => Some(Failed::Redirected(target.to().at(&path))),
                // Nor is the agent to follow, with our key, to where we are not.
                (_, Some(path)) if !target.is_hub => {
                    Some(Failed::Moved(Some(target.to().at(&path))))
                }
                (_, None) if !target.is_hub => {
                    Some(Failed::Moved(to.and_then(|to| to.parse().ok())))
                }
                _ => None,
            }
        }
        _ => None,
    }
}
