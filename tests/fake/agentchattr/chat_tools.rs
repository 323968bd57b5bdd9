//! The tools that write and read messages. Pure.

use serde_json::{Value, json};

use crate::post::{Draft, Message};
use crate::python::dumps;
use crate::room::{Place, Room};
use crate::tools::{Call, Said};

/// The cursor of reads that name no channel.
const EVERYWHERE: &str = "__all__";

const NOTHING: [&str; 3] = [
    "No new messages. Do not poll — wait for your next prompt.",
    "No new messages. You have read with no results twice — stop polling and wait for a trigger.",
    "No new messages. STOP. Repeated empty reads waste tokens. Wait for your next prompt.",
];

pub(crate) fn send(room: &mut Room, call: &Call<'_>) -> Said {
    let (who, now) = (call.who.as_str(), call.now);
    let text = call.text("message").trim();
    let image = call.text("image_path");
    if text.is_empty() && image.is_empty() {
        return Err("Empty message, not sent.".into());
    }
    let reply_to = Some(call.number("reply_to")).filter(|id| *id >= 0);
    if let Some(id) = reply_to
        && !room
            .messages
            .iter()
            .any(|message| i64::try_from(message.id) == Ok(id))
    {
        return Err(format!("Message #{id} not found."));
    }
    if !image.is_empty() {
        return Err(format!("Image not found: {image}"));
    }
    let mut place = match (call.job(), call.text("channel")) {
        (Some(job), _) => Place::Job(job),
        (None, "") => {
            let last = room.last_read.get(who).cloned();
            last.unwrap_or_else(|| Place::Channel("general".into()))
        }
        (None, channel) => Place::Channel(channel.to_owned()),
    };
    let channel = match &mut place {
        Place::Channel(channel) => std::mem::take(channel),
        Place::Job(job) => {
            let told = room.tell_job(*job, who, text, now);
            let told = told.ok_or_else(|| format!("Error: job #{job} not found."))?;
            return Ok(format!("Sent to job #{job} (msg_id={})", told["id"]));
        }
    };
    let choices = &call.arguments["choices"];
    let is_decision = choices
        .as_array()
        .is_some_and(|choices| !choices.is_empty());
    let draft = Draft {
        sender: who,
        text,
        kind: if is_decision { "decision" } else { "chat" },
        channel: &channel,
        reply_to,
        metadata: is_decision.then(|| json!({"choices": choices})),
    };
    let id = room.post(&draft, now).id;
    read_up_to(room, who, &channel, id);
    Ok(format!("Sent (id={id})"))
}

fn read_up_to(room: &mut Room, who: &str, key: &str, id: u64) {
    let cursors = room.cursors.entry(who.to_owned()).or_default();
    cursors.insert(key.to_owned(), id);
    room.keep("mcp_cursors.json", json!(room.cursors));
}

pub(crate) fn read(room: &mut Room, call: &Call<'_>) -> Said {
    let who = call.who.as_str();
    if let Some(id) = call.job() {
        let job = room.jobs.iter().find(|job| job.id == id);
        let job = job.ok_or_else(|| format!("Error: job #{id} not found."))?;
        let mut all = vec![job.header()];
        all.extend(job.messages.iter().cloned());
        room.last_read.insert(who.to_owned(), Place::Job(id));
        return Ok(dumps(&all));
    }
    let channel = call.text("channel");
    if !channel.is_empty() {
        room.last_read
            .insert(who.to_owned(), Place::Channel(channel.to_owned()));
    }
    let key = if channel.is_empty() {
        EVERYWHERE
    } else {
        channel
    };
    let since = u64::try_from(call.number("since_id"))
        .ok()
        .filter(|id| *id > 0);
    let cursor = room.cursors.get(who).and_then(|cursors| cursors.get(key));
    let after = since.or(cursor.copied());
    let found = last(room, channel, after, call.number("limit"));
    let newest = found.last().map(|message| message.id);
    let list = listing(&found);
    if who.is_empty() {
        return Ok(newest.map_or_else(String::new, |_| list));
    }
    let empty = room.empty_reads.entry(who.to_owned()).or_default();
    let Some(newest) = newest else {
        *empty += 1;
        let nth = usize::try_from(*empty - 1).unwrap_or(usize::MAX);
        return Ok(NOTHING[nth.min(NOTHING.len() - 1)].into());
    };
    *empty = 0;
    read_up_to(room, who, key, newest);
    if room.registry.siblings(who) < 2 {
        return Ok(list);
    }
    let label = room.registry.get(who).map(|one| one.label.clone());
    let label = label.unwrap_or_default();
    let label = label
        .as_str()
        .map_or_else(|| label.to_string(), str::to_owned);
    Ok(format!("[identity: {who} | label: {label}]\n{list}"))
}

pub(crate) fn resync(room: &mut Room, call: &Call<'_>) -> String {
    let channel = call.text("channel");
    let found = last(room, channel, None, call.number("limit"));
    let newest = found.last().map(|message| message.id);
    let list = listing(&found);
    if let Some(newest) = newest {
        let key = if channel.is_empty() {
            EVERYWHERE
        } else {
            channel
        };
        read_up_to(room, &call.who, key, newest);
    }
    list
}

fn last<'a>(room: &'a Room, channel: &str, after: Option<u64>, limit: i64) -> Vec<&'a Message> {
    let mut found: Vec<_> = (room.messages.iter())
        .filter(|message| channel.is_empty() || message.channel == channel)
        .filter(|message| after.is_none_or(|after| message.id > after))
        .collect();
    let limit = usize::try_from(limit).unwrap_or_default();
    found.split_off(found.len().saturating_sub(limit))
}

fn listing(messages: &[&Message]) -> String {
    let shown = messages.iter().map(|message| {
        let mut shown = json!({
            "id": message.id,
            "sender": message.sender,
            "text": message.text,
            "type": message.kind,
            "time": message.time,
            "channel": message.channel,
        });
        if let Some(id) = message.reply_to {
            shown["reply_to"] = id.into();
        }
        shown
    });
    dumps(&shown.collect::<Vec<Value>>())
}

pub(crate) fn join(room: &mut Room, call: &Call<'_>) -> String {
    let draft = Draft {
        sender: &call.who,
        text: &format!("{} is online", call.who),
        kind: "join",
        channel: "general",
        ..Draft::default()
    };
    room.post(&draft, call.now);
    format!("Joined. {}", who(room, call.now))
}

pub(crate) fn who(room: &Room, now: f64) -> String {
    let online = room.online(now);
    if online.is_empty() {
        return "Nobody online.".into();
    }
    format!("Online: {}", online.join(", "))
}
