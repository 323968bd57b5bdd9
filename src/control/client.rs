//! Asks a session by its control socket: one request a connection.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::explain::Explained;
use super::protocol::{
    Asked, Checked, Failed, NewToken, Prompt, Reach, Receipt, Refusal, Restarted, Screen, Session,
    Stop, Stopped,
};
use super::socket;
use super::steps;
use crate::catalog::shown::{Listed, Verdict};
use crate::types::hub::Until;
use crate::types::identity::{ServerName, Token};

/// How long a session may take to answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// How long, if it has to try out a server or to end an agent before.
const TRIAL: Duration = Duration::from_secs(60);
/// Bytes of an answer.
pub(super) const MAX_ANSWER: usize = 4 * 1024 * 1024;

fn path(server: &ServerName) -> String {
    format!("/v1/mcp/{}", server.segment())
}

/// A session at its socket. Nothing is open between requests.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
}

/// Why a session did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody listens there.
    #[error("the session at {} has ended", .socket.display())]
    Ended { socket: PathBuf },
    #[error("the session at {} does not answer: {why}", .socket.display())]
    Silent { socket: PathBuf, why: String },
    /// It has no such thing.
    #[error("{reason}")]
    Unknown { reason: String },
    #[error("the session refuses: {reason} (status {status})")]
    Refused { status: u16, reason: String },
}

impl Client {
    /// A client of the session whose socket is there.
    #[must_use]
    pub fn new(socket: &Path) -> Self {
        Self {
            socket: socket.to_owned(),
        }
    }

    /// Who is there.
    ///
    /// # Errors
    /// If nobody answers.
    pub async fn session(&self) -> Result<Session, Error> {
        self.get("/v1/session").await
    }

    /// What its agent's screen shows, and why.
    ///
    /// # Errors
    /// [`Error::Refused`]: no agent runs.
    pub async fn explain(&self) -> Result<Explained, Error> {
        self.get("/v1/explain").await
    }

    /// The session's servers.
    ///
    /// # Errors
    /// If nobody answers.
    pub async fn servers(&self) -> Result<Vec<Listed>, Error> {
        self.get("/v1/mcp").await
    }

    /// One server of the session.
    ///
    /// # Errors
    /// [`Error::Unknown`]: it has no such server.
    pub async fn server(&self, server: &ServerName) -> Result<Listed, Error> {
        self.get(&path(server)).await
    }

    /// Adds or replaces a server by `entry`, in any agent's spelling.
    ///
    /// # Errors
    /// [`Error::Refused`]: the entry is none.
    pub async fn set(&self, server: &ServerName, entry: &Value) -> Result<Verdict, Error> {
        let body = self.ask(Method::PUT, &path(server), entry, TRIAL).await?;
        self.read(&body)
    }

    /// Takes a server away.
    ///
    /// # Errors
    /// [`Error::Unknown`]: it has no such server.
    pub async fn remove(&self, server: &ServerName) -> Result<Verdict, Error> {
        let path = path(server);
        let body = self.ask(Method::DELETE, &path, &(), TRIAL).await?;
        self.read(&body)
    }

    /// Replaces a server's credential.
    ///
    /// # Errors
    /// [`Error::Unknown`]: it has no such server.
    pub async fn token(&self, server: &ServerName, token: Token) -> Result<Verdict, Error> {
        let path = path(server) + "/token";
        let body = self
            .ask(Method::PUT, &path, &NewToken { token }, TRIAL)
            .await?;
        self.read(&body)
    }

    /// Restarts the agent.
    ///
    /// # Errors
    /// [`Error::Refused`]: it did not start again.
    pub async fn restart(&self) -> Result<Restarted, Error> {
        let body = self.ask(Method::POST, "/v1/restart", &(), TRIAL).await?;
        self.read(&body)
    }

    /// Ends the session, and waits until its agent has ended.
    ///
    /// # Errors
    /// [`Error::Refused`]: it has not ended in time.
    pub async fn stop(&self, grace: Duration) -> Result<Stopped, Error> {
        let asked = Stop {
            grace_ms: Some(u64::try_from(grace.as_millis()).unwrap_or(u64::MAX)),
        };
        let patience = grace.saturating_add(TRIAL);
        let body = self.ask(Method::POST, "/v1/stop", &asked, patience).await?;
        self.read(&body)
    }

    /// Has a prompt typed, and waits for its end unless it says otherwise.
    ///
    /// # Errors
    /// [`Error::Refused`]: the session does not take it for a prompt.
    pub async fn prompt(&self, prompt: &Prompt) -> Result<Receipt, Error> {
        let patience = match prompt.timeout_ms {
            _ if prompt.no_wait => PATIENCE,
            // What is under way is finished.
            Some(ms) => Duration::from_millis(ms).saturating_add(TRIAL),
            None => Duration::MAX,
        };
        let body = self
            .ask(Method::POST, "/v1/prompts", prompt, patience)
            .await?;
        self.read(&body)
    }

    /// Has a prompt typed, waits for its end and tells of every step. After its
    /// time is over the session has `grace` for its own answer, more while it
    /// types; then the last step is given back, which is no end.
    ///
    /// # Errors
    /// [`Error::Refused`]: the session does not take it for a prompt.
    /// [`Error::Silent`]: it has said nothing at all in time.
    pub async fn follow(
        &self,
        prompt: &Prompt,
        tell: impl FnMut(&Receipt),
    ) -> Result<Receipt, Error> {
        steps::follow(self, prompt, tell).await
    }

    /// What the agent's screen shows.
    ///
    /// # Errors
    /// If nobody answers.
    pub async fn screen(&self) -> Result<Screen, Error> {
        self.get("/v1/screen").await
    }

    /// Has the session look at its hub, and waits for that.
    ///
    /// # Errors
    /// [`Error::Refused`]: it is not registered in time, or does without a hub.
    pub async fn check(&self, until: Until) -> Result<Checked, Error> {
        let body = self.post("/v1/hub/check", &Asked { until }).await?;
        self.read(&body)
    }

    /// How to reach a server of the session.
    ///
    /// # Errors
    /// [`Error::Unknown`]: it has no such server.
    pub async fn reach(&self, server: &ServerName) -> Result<Reach, Error> {
        let path = format!("/v1/bridge/{}", server.segment());
        let body = self.post(&path, &()).await?;
        self.read(&body)
    }

    /// Tells the session that a server's command did not start.
    ///
    /// # Errors
    /// If it does not take it.
    pub async fn failed(&self, server: &ServerName, reason: &str) -> Result<(), Error> {
        let path = format!("/v1/bridge/{}/failed", server.segment());
        let reason = reason.to_owned();
        self.post(&path, &Failed { reason }).await?;
        Ok(())
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        let body = self.ask(Method::GET, path, &(), PATIENCE).await?;
        self.read(&body)
    }

    async fn post(&self, path: &str, body: &impl Serialize) -> Result<Bytes, Error> {
        self.ask(Method::POST, path, body, PATIENCE).await
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
        patience: Duration,
    ) -> Result<Bytes, Error> {
        let body = serde_json::to_vec(body).map_err(|error| self.silent(&error))?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, "wrapper")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| self.silent(&error))?;
        let (status, body) = match timeout(patience, self.exchange(request)).await {
            Ok(answer) => answer?,
            Err(_) => return Err(self.silent(&"it takes too long")),
        };
        if status.is_success() {
            return Ok(body);
        }
        Err(self.refused(status, &body))
    }

    /// Why it did not do it.
    pub(super) fn refused(&self, status: StatusCode, body: &[u8]) -> Error {
        let reason = match self.read::<Refusal>(body) {
            Ok(refusal) => refusal.error,
            Err(error) => return error,
        };
        match status {
            StatusCode::NOT_FOUND => Error::Unknown { reason },
            _ => Error::Refused {
                status: status.as_u16(),
                reason,
            },
        }
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), Error> {
        let io = self.connect().await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(io))
            .await
            .map_err(|error| self.silent(&error))?;
        // The connection moves only while it is polled, and ends with its sender.
        let exchange = async move {
            let response = sender.send_request(request).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_ANSWER).collect();
            Ok((status, body.await?.to_bytes()))
        };
        let (answer, _ended) = tokio::join!(exchange, connection);
        answer.map_err(|error: Box<dyn std::error::Error + Send + Sync>| self.silent(&error))
    }

    pub(super) async fn connect(&self) -> Result<UnixStream, Error> {
        let connected = async {
            let way = socket::way(&self.socket)?;
            UnixStream::connect(&way.path).await
        };
        connected
            .await
            .map_err(|error: io::Error| match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Error::Ended {
                    socket: self.socket.clone(),
                },
                _ => self.silent(&error),
            })
    }

    pub(super) fn read<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, Error> {
        serde_json::from_slice(body)
            .map_err(|_| self.silent(&"it speaks in the words of another version"))
    }

    pub(super) fn silent(&self, why: &impl ToString) -> Error {
        Error::Silent {
            socket: self.socket.clone(),
            why: why.to_string(),
        }
    }
}
