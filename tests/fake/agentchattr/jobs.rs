//! Jobs, by the routes of the human's page.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, patch};
use serde_json::{Value, json};

use crate::board::Job;
use crate::human::parsed;
use crate::post::{clock, uid};
use crate::rest::{Shared, bad, ok, refusal, text};
use crate::room::Room;
use crate::server::Server;

pub(crate) fn routes() -> Router<Arc<Server>> {
    Router::new()
        .route("/api/jobs", get(jobs).post(open))
        .route("/api/jobs/{id}", patch(change).delete(close))
        .route("/api/jobs/{id}/messages", get(told).post(tell))
}

async fn jobs(State(server): Shared, Query(query): Query<BTreeMap<String, String>>) -> Response {
    let is = |key: &str, value: &str| query.get(key).is_none_or(|wanted| wanted == value);
    ok(server.with(|room, _| {
        let found = room.jobs.iter();
        let found: Vec<_> = found
            .filter(|job| is("channel", &job.channel) && is("status", &job.status))
            .collect();
        json!(found)
    }))
}

async fn open(State(server): Shared, body: Bytes) -> Response {
    let body = parsed(&body);
    if text(&body, "title").is_empty() {
        return bad("title required");
    }
    let or = |key: &str, default: &str| match text(&body, key) {
        "" => default.to_owned(),
        text => text.to_owned(),
    };
    server.with(|room, now| {
        let id = room.jobs.iter().map(|job| job.id).max().unwrap_or(0) + 1;
        let job = Job {
            id,
            uid: uid(id, now),
            kind: or("type", "job"),
            title: or("title", ""),
            body: or("body", ""),
            status: "done".into(),
            channel: or("channel", "general"),
            created_by: or("created_by", "user"),
            assignee: or("assignee", ""),
            anchor_msg_id: body["anchor_msg_id"].clone(),
            messages: Vec::new(),
            created_at: now,
            updated_at: now,
            sort_order: 0,
        };
        let answer = json!(job);
        room.jobs.push(job);
        room.keep("jobs.json", json!(room.jobs));
        ok(answer)
    })
}

fn no_job() -> Response {
    refusal(StatusCode::NOT_FOUND, "not found or invalid")
}

async fn change(State(server): Shared, Path(id): Path<u64>, body: Bytes) -> Response {
    let body = parsed(&body);
    server.with(|room, now| {
        let Some(job) = room.jobs.iter_mut().find(|job| job.id == id) else {
            return no_job();
        };
        let fields = [&mut job.status, &mut job.title, &mut job.assignee];
        for (field, key) in fields.into_iter().zip(["status", "title", "assignee"]) {
            if let Some(value) = body[key].as_str() {
                value.clone_into(field);
            }
        }
        job.updated_at = now;
        let answer = json!(job);
        room.keep("jobs.json", json!(room.jobs));
        ok(answer)
    })
}

async fn close(State(server): Shared, Path(id): Path<u64>) -> Response {
    server.with(|room, _| {
        let Some(at) = room.jobs.iter().position(|job| job.id == id) else {
            return no_job();
        };
        room.jobs.remove(at);
        room.keep("jobs.json", json!(room.jobs));
        ok(json!({"ok": true}))
    })
}

async fn told(State(server): Shared, Path(id): Path<u64>) -> Response {
    server.with(|room, _| match room.jobs.iter().find(|job| job.id == id) {
        Some(job) => ok(json!(job.messages)),
        None => no_job(),
    })
}

async fn tell(State(server): Shared, Path(id): Path<u64>, body: Bytes) -> Response {
    let body = parsed(&body);
    let sender = match text(&body, "sender") {
        "" => "user",
        sender => sender,
    };
    server.with(
        |room, now| match room.tell_job(id, sender, text(&body, "text"), now) {
            Some(message) => ok(message),
            None => no_job(),
        },
    )
}

impl Room {
    /// Adds a message to a job, and wakes those whom it mentions.
    pub(crate) fn tell_job(
        &mut self,
        id: u64,
        sender: &str,
        text: &str,
        now: f64,
    ) -> Option<Value> {
        let job = self.jobs.iter_mut().find(|job| job.id == id)?;
        let message = json!({
            "id": job.messages.len(),
            "sender": sender,
            "text": text,
            "time": clock(now),
            "timestamp": now,
            "attachments": [],
            "type": "chat",
        });
        job.messages.push(message.clone());
        job.updated_at = now;
        let channel = job.channel.clone();
        self.keep("jobs.json", json!(self.jobs));
        self.wake(sender, text, &channel, &json!({"job_id": id}), now);
        Some(message)
    }
}
