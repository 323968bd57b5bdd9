//! An agent made of a recording: it sends what was recorded, with the sessions
//! that it is given now, and looks at every answer.

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;

use serde_json::{Map, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Stage;
use crate::support::DEADLINE;
use crate::support::failing::Fault;
use crate::support::rig::KEY;

const SESSION: &str = "mcp-session-id";

/// One recorded request.
#[derive(serde::Deserialize)]
pub(super) struct Line {
    method: String,
    headers: Map<String, Value>,
    body: Value,
}

impl Line {
    /// `GET`, `DELETE`, or the method of JSON-RPC.
    pub(super) fn kind(&self) -> &str {
        self.body["method"].as_str().unwrap_or(&self.method)
    }

    fn session(&self) -> Option<&str> {
        self.headers.get(SESSION)?.as_str()
    }
}

pub(super) fn recorded(agent: &str) -> Vec<Line> {
    let path = format!("{}/tests/wire/{agent}.jsonl", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(path).expect("a recording");
    let lines = text.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().expect("its lines")
}

/// What the agent did until it connected for the second time.
pub(super) fn first_connection(lines: &[Line]) -> Vec<&Line> {
    let mut connected = 0;
    let of_it = lines.iter().filter(|line| {
        connected += usize::from(line.session().is_none() && line.kind() == "initialize");
        match line.session() {
            Some(session) => session == "session-1",
            None => connected < 2 && line.kind() != "server/discover" || connected == 0,
        }
    });
    of_it.collect()
}

/// True if nobody can know whether a call that this strikes was executed.
pub(super) fn is_lost(fault: Fault) -> bool {
    matches!(fault, Fault::Lost | Fault::Cut)
}

pub(super) struct Player<'a> {
    stage: &'a Stage,
    /// In the order in which they were given.
    sessions: Vec<String>,
    /// The open streams, by session.
    streams: BTreeMap<String, TcpStream>,
}

struct Answer {
    status: u16,
    session: Option<String>,
    body: String,
}

impl<'a> Player<'a> {
    pub(super) fn new(stage: &'a Stage) -> Self {
        Self {
            stage,
            sessions: Vec::new(),
            streams: BTreeMap::new(),
        }
    }

    /// Sends all `lines`, with a fault before one of them.
    pub(super) async fn play(
        &mut self,
        lines: &[&Line],
        fault: Option<(usize, Fault)>,
    ) -> Result<(), String> {
        for (at, line) in lines.iter().enumerate() {
            let struck = fault.filter(|(struck, _)| *struck == at);
            if let Some((_, fault)) = struck {
                self.stage.failing.strike(fault, line.kind()).await;
            }
            let may_be_lost = struck.is_some_and(|(_, fault)| is_lost(fault));
            let said = self.send(at, line, may_be_lost).await;
            said.map_err(|why| format!("request {at}, {}: {why}", line.kind()))?;
        }
        self.hears_news().await
    }

    async fn send(&mut self, at: usize, line: &Line, may_be_lost: bool) -> Result<(), String> {
        let session = match line.session() {
            None => None,
            Some(number) => {
                let number: usize = number["session-".len()..].parse().expect("a number");
                Some(
                    self.sessions
                        .get(number - 1)
                        .ok_or("it has no such session")?
                        .clone(),
                )
            }
        };
        let mut body = line.body.clone();
        if line.kind() == "tools/call" {
            body["params"]["arguments"]["n"] = at.into();
        }
        let request = self.request(line, session.as_deref(), &body);
        if line.method == "GET" {
            return self
                .listen(session.as_deref().unwrap_or_default(), &request)
                .await;
        }
        if line.method == "DELETE" {
            self.hears_news().await?;
        }
        let answer = ask(self.stage.rig.port, &request).await?;
        if line.kind() == "initialize" {
            let given = answer.session.clone().ok_or("it is given no session")?;
            self.streams.clear();
            self.sessions.push(given);
        } else if session.is_some() && answer.session.is_some() && answer.session != session {
            return Err(format!(
                "its session {session:?} became {:?}",
                answer.session
            ));
        }
        if line.method == "DELETE" {
            self.streams.remove(session.as_deref().unwrap_or_default());
        }
        let what = check(line, &answer, may_be_lost);
        what.map_err(|why| format!("{why}: HTTP {} {:?}", answer.status, answer.body))?;
        if line.kind() == "tools/call" {
            let executed = self.stage.failing.executed(at as u64);
            if executed != 1 {
                return Err(format!("it was executed {executed} times"));
            }
        }
        Ok(())
    }

    /// The request's text; streams stay open, other connections do not.
    fn request(&self, line: &Line, session: Option<&str>, body: &Value) -> String {
        let (method, port) = (&line.method, self.stage.rig.port);
        let mut head = format!(
            "{method} /hub/mcp HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {KEY}\r\n"
        );
        for (name, value) in &line.headers {
            let value = if name == SESSION {
                session
            } else {
                value.as_str()
            };
            for part in [name, ": ", value.unwrap_or_default(), "\r\n"] {
                head.push_str(part);
            }
        }
        if line.method != "GET" {
            head += "connection: close\r\n";
        }
        if body.is_null() {
            return head + "\r\n";
        }
        let body = body.to_string();
        format!("{head}content-length: {}\r\n\r\n{body}", body.len())
    }

    async fn listen(&mut self, session: &str, request: &str) -> Result<(), String> {
        // It has at most one, and opens another when that one has ended.
        self.streams.remove(session);
        let mut io = connect(self.stage.rig.port).await?;
        io.write_all(request.as_bytes())
            .await
            .map_err(|error| error.to_string())?;
        let head = until(&mut io, "\r\n\r\n").await?;
        match status(&head) {
            200 => {
                self.streams.insert(session.to_owned(), io);
                Ok(())
            }
            405 => Ok(()),
            status => Err(format!("HTTP {status}")),
        }
    }

    /// What the server says on its streams reaches those that are open.
    async fn hears_news(&mut self) -> Result<(), String> {
        if !self.stage.failing.has_streams() {
            return Ok(());
        }
        self.stage.failing.tell_news();
        for io in self.streams.values_mut() {
            let heard = until(io, r#""data":"news""#).await;
            heard.map_err(|why| format!("its stream heard no news: {why}"))?;
        }
        self.streams.clear();
        Ok(())
    }
}

/// What is wrong with an answer.
fn check(line: &Line, answer: &Answer, may_be_lost: bool) -> Result<(), String> {
    let id = &line.body["id"];
    if line.method == "DELETE" || id.is_null() {
        let fine = matches!(answer.status, 200 | 202 | 204);
        return fine.then_some(()).ok_or_else(|| "it is refused".to_owned());
    }
    if answer.status != 200 {
        return Err("it has no result".to_owned());
    }
    let messages: Vec<Value> = if answer.body.starts_with('{') {
        vec![serde_json::from_str(&answer.body).map_err(|error| error.to_string())?]
    } else {
        let data = answer
            .body
            .lines()
            .filter_map(|line| line.strip_prefix("data: "));
        let messages = data.map(serde_json::from_str).collect::<Result<_, _>>();
        messages.map_err(|error| error.to_string())?
    };
    let mut answers = messages.iter().filter(|message| message["id"] == *id);
    let (Some(one), None) = (answers.next(), answers.next()) else {
        return Err("it is not answered once".to_owned());
    };
    let is_error = one["result"]["isError"] == true;
    if line.kind() == "server/discover" {
        return Ok(());
    }
    if !one["error"].is_null() {
        return Err("it is an error".to_owned());
    }
    if may_be_lost && is_error && answer.body.contains("may or may not") {
        return Ok(());
    }
    let done = line.kind() != "tools/call" || answer.body.contains(r#""text":"done""#);
    (done && !is_error)
        .then_some(())
        .ok_or_else(|| "it failed".to_owned())
}

async fn connect(port: u16) -> Result<TcpStream, String> {
    let io = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await;
    io.map_err(|error| error.to_string())
}

async fn ask(port: u16, request: &str) -> Result<Answer, String> {
    let mut io = connect(port).await?;
    let mut heard = Vec::new();
    let asked = async {
        io.write_all(request.as_bytes()).await?;
        io.read_to_end(&mut heard).await
    };
    let asked = timeout(DEADLINE, asked).await;
    asked
        .map_err(|_| "no answer comes".to_owned())?
        .map_err(|error| error.to_string())?;
    let heard = String::from_utf8(heard).map_err(|error| error.to_string())?;
    let (head, body) = heard
        .split_once("\r\n\r\n")
        .ok_or("the answer has no head")?;
    let header = |name: &str| {
        head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then(|| value.to_owned())
        })
    };
    let length = header("content-length").and_then(|length| length.parse().ok());
    let body = if length.is_some_and(|length: usize| length != body.len()) {
        return Err(format!("the answer is cut: {heard:?}"));
    } else if header("transfer-encoding").is_some() {
        unchunked(body).ok_or_else(|| format!("the answer is cut: {heard:?}"))?
    } else {
        body.to_owned()
    };
    Ok(Answer {
        status: status(head),
        session: header(SESSION),
        body,
    })
}

/// The content of all chunks, if the last one is there.
fn unchunked(mut text: &str) -> Option<String> {
    let mut content = String::new();
    loop {
        let (size, rest) = text.split_once("\r\n")?;
        let size = usize::from_str_radix(size, 16).ok()?;
        if size == 0 {
            return Some(content);
        }
        content += rest.get(..size)?;
        text = rest.get(size..)?.strip_prefix("\r\n")?;
    }
}

fn status(head: &str) -> u16 {
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    status.unwrap_or_default()
}

/// Reads until `end` has come.
async fn until(io: &mut TcpStream, end: &str) -> Result<String, String> {
    let mut heard = Vec::new();
    let read = async {
        while memchr::memmem::find(&heard, end.as_bytes()).is_none() {
            match io.read_buf(&mut heard).await {
                Ok(0) => return Err(format!("it ended: {:?}", String::from_utf8_lossy(&heard))),
                Ok(_) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    };
    let read = timeout(DEADLINE, read).await;
    read.map_err(|_| format!("{end:?} does not come"))??;
    Ok(String::from_utf8_lossy(&heard).into_owned())
}
