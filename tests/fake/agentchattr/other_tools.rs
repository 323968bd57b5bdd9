//! The tools that are not about messages: names, rules, summaries, jobs, hats.
//! Pure.

use serde_json::json;

use crate::post::Draft;
use crate::python::dumps;
use crate::room::Room;
use crate::tools::{Call, Said};

/// Characters of a proposed job's title, and of its body.
const TITLE: usize = 80;
const BODY: usize = 1000;

/// Characters of a summary.
const SUMMARY: usize = 1000;

/// Renames the registry's entry alone: what was read, role and history stay
/// with the old name. Who bears the plain name of a base is taken for the
/// first of the family, whoever that is.
pub(crate) fn claim(room: &mut Room, token: Option<&str>, call: &Call<'_>) -> Said {
    let who = call.who.as_str();
    if token.is_none() {
        return Err(format!(
            "Error: No available {who} instance. Is a wrapper registered?"
        ));
    }
    let first = room.registry.first_of(who).map(|one| one.name.clone());
    let who = first.as_deref().unwrap_or(who);
    let wanted = match call.text("name").trim() {
        "" => who,
        wanted => wanted,
    };
    let claimed = room.registry.rename(who, wanted);
    let more = json!({"to": wanted, "error": claimed.as_ref().err()});
    room.note("claim", who, call.now, more);
    claimed.map_err(|error| format!("Error: {error}"))?;
    if who != wanted {
        room.note_rename(who.to_owned(), wanted.to_owned());
    }
    room.touch(wanted, call.now);
    room.keep_registry();
    let one = room.registry.get(wanted);
    let one = one.ok_or_else(|| format!("Error: Not found: {wanted}"))?;
    Ok(dumps(
        &json!({"confirmed_name": one.name, "label": one.label, "base": one.base}),
    ))
}

pub(crate) fn rules(room: &mut Room, call: &Call<'_>, key: &str) -> Said {
    match call.text("action") {
        "list" => Ok(room.board.listing()),
        "propose" => {
            let (text, reason) = (call.text(key), call.text("reason"));
            let (id, text) = room.board.propose(text, &call.who, reason)?;
            room.keep("rules.json", json!(room.board));
            Ok(format!(
                "Proposed rule #{id}: '{text}'. Human will review in the Rules panel."
            ))
        }
        action => Err(format!(
            "Error: '{action}' is only available to humans via the web UI."
        )),
    }
}

pub(crate) fn hat(call: &Call<'_>) -> Said {
    let (who, target) = (&call.who, call.text("target"));
    if !call.text("svg").trim().starts_with("<svg") {
        return Err("Error: Hat must be an SVG element (starts with <svg).".into());
    }
    Ok(if target.is_empty() {
        format!("Hat set for {who}!")
    } else {
        format!("Hat set for {target} (by {who})!")
    })
}

pub(crate) fn summary(room: &mut Room, call: &Call<'_>) -> Said {
    let channel = match call.text("channel") {
        "" => "general",
        channel => channel,
    };
    let text: String = call.text("text").trim().chars().take(SUMMARY).collect();
    match call.text("action") {
        "write" if !text.is_empty() => {
            let kind = "summary";
            let draft = Draft {
                sender: &call.who,
                text: &text,
                kind,
                channel,
                ..Draft::default()
            };
            room.post(&draft, call.now);
            let length = text.chars().count();
            Ok(format!("Summary for #{channel} updated ({length} chars)."))
        }
        "write" => Err("Error: text is required.".into()),
        _ => {
            let mut all = room.messages.iter().rev();
            let last = all.find(|one| one.kind == "summary" && one.channel == channel);
            let message = format!("No summary for #{channel} yet — one hasn't been written.");
            Ok(dumps(&match last {
                Some(last) => {
                    json!({"channel": channel, "text": last.text, "author": last.sender})
                }
                None => json!({"channel": channel, "text": null, "message": message}),
            }))
        }
    }
}

pub(crate) fn propose_job(room: &mut Room, call: &Call<'_>) -> String {
    let cut = |key, limit| call.text(key).chars().take(limit).collect::<String>();
    let (title, body) = (cut("title", TITLE), cut("body", BODY));
    let draft = Draft {
        sender: &call.who,
        text: &format!("Job proposal: {title}"),
        kind: "job_proposal",
        channel: call.text("channel"),
        metadata: Some(json!({"title": title, "body": body})),
        ..Draft::default()
    };
    let id = room.post(&draft, call.now).id;
    format!("Proposed job (msg_id={id}): {title}")
}
