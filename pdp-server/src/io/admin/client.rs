//! The other end of the admin socket: for the command line, the demo runner and tests.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use crate::api::{
    Availability, AvailabilityRequest, CommandAnswer, CommandScope, Event, Explanation, History,
    InterruptRequest, PlanInForce, PlanningInput, Problem, RestoreRequest, Status,
};

/// Largest answer that is taken: a status of ten thousand servers with ten sets each has some 30 MiB.
const MAX_ANSWER_OCTETS: usize = 256 * 1024 * 1024;
/// How long an answer may take, unless told otherwise. A PDP of a large cluster plans for seconds, and waits some more for
/// its journal.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longest line of the event stream.
const MAX_LINE_OCTETS: usize = 4 * 1024 * 1024;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("no PDP listens on {}: {error}", path.display())]
    NoPdp {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// The connection broke, or what came is no HTTP.
    #[error("the PDP did not answer: {0}")]
    Broken(String),
    /// It took too long.
    #[error("the PDP on {} did not answer within {} s", path.display(), patience.as_secs_f32())]
    Silent {
        /// The socket.
        path: PathBuf,
        /// How long was waited.
        patience: Duration,
    },
    /// It answered something else.
    #[error("the PDP's answer is not understood: {0}")]
    NotUnderstood(String),
    /// It refused.
    #[error("{0}")]
    Refused(String),
}

/// Talks to a PDP over its admin socket; a connection a request.
#[derive(Debug, Clone)]
pub struct AdminClient {
    path: PathBuf,
    patience: Duration,
}

impl AdminClient {
    /// For the PDP whose socket this is. Nothing is sent yet.
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            patience: PATIENCE,
        }
    }

    /// The same, which waits so long for each answer. Events may take any time to come.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// What is going on.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn status(&self) -> Result<Status, ClientError> {
        self.get("/v1/status").await
    }

    /// The plan in force.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn plan(&self) -> Result<Option<PlanInForce>, ClientError> {
        self.get("/v1/plan").await
    }

    /// What a plan would be made from now.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn snapshot(&self) -> Result<PlanningInput, ClientError> {
        self.get("/v1/snapshot").await
    }

    /// The newest `limit` entries of the journal's history that are not older than `since_unix_millis`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn history(&self, since_unix_millis: u64, limit: usize) -> Result<History, ClientError> {
        let path = format!("/v1/history?since_unix_millis={since_unix_millis}&limit={limit}");
        self.get(&path).await
    }

    /// Why things are as they are.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn explain(&self) -> Result<Explanation, ClientError> {
        self.get("/v1/explain").await
    }

    /// What a path answers to GET, as it comes.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn value(&self, path: &str) -> Result<serde_json::Value, ClientError> {
        self.get(path).await
    }

    /// What Prometheus reads.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn metrics(&self) -> Result<String, ClientError> {
        let (status, octets) = self.ask(Method::GET, "/metrics", Bytes::new()).await?;
        if status != StatusCode::OK {
            return Err(refusal(status, &octets));
        }
        String::from_utf8(octets.into()).map_err(|error| ClientError::NotUnderstood(error.to_string()))
    }

    /// Commands an interruption.
    ///
    /// # Errors
    /// [`ClientError`]; a PDP that does not do it answers with [`CommandAnswer::done`] false.
    pub async fn interrupt(&self, id: &str, scope: CommandScope) -> Result<CommandAnswer, ClientError> {
        self.command(
            "/v1/interrupt",
            &InterruptRequest {
                id: id.to_owned(),
                scope,
            },
        )
        .await
    }

    /// Commands a drill: the way of an interruption with every actuator held.
    ///
    /// # Errors
    /// As [`Self::interrupt`].
    pub async fn drill(&self, id: &str, scope: CommandScope) -> Result<CommandAnswer, ClientError> {
        self.command(
            "/v1/drill",
            &InterruptRequest {
                id: id.to_owned(),
                scope,
            },
        )
        .await
    }

    /// Commands the restoration.
    ///
    /// # Errors
    /// As [`Self::interrupt`].
    pub async fn restore(&self, id: &str) -> Result<CommandAnswer, ClientError> {
        self.command("/v1/restore", &RestoreRequest { id: id.to_owned() })
            .await
    }

    /// Commands that PEPs are served, sent to another PDP, or sent away: of one client-type, or of all.
    ///
    /// # Errors
    /// As [`Self::interrupt`].
    pub async fn availability(
        &self,
        id: &str,
        availability: Availability,
        client_type: Option<u16>,
    ) -> Result<CommandAnswer, ClientError> {
        self.command(
            "/v1/availability",
            &AvailabilityRequest {
                id: id.to_owned(),
                availability,
                client_type,
            },
        )
        .await
    }

    /// Follows the events after number `since`; `None`: from now on.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn events(&self, since: Option<u64>) -> Result<EventStream, ClientError> {
        let path = since.map_or_else(
            || "/v1/events".to_owned(),
            |since| format!("/v1/events?since={since}"),
        );
        let begin = async {
            let (status, body) = self.send(Method::GET, &path, Bytes::new()).await?;
            if status != StatusCode::OK {
                return Err(refusal(status, &collect(body).await?));
            }
            Ok(EventStream {
                body,
                line: BytesMut::new(),
                lost: 0,
            })
        };
        self.in_time(begin).await
    }

    async fn in_time<T>(
        &self,
        answer: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, ClientError> {
        let silent = |_| ClientError::Silent {
            path: self.path.clone(),
            patience: self.patience,
        };
        tokio::time::timeout(self.patience, answer)
            .await
            .map_err(silent)?
    }

    /// Sends a request, and takes all of the answer.
    async fn ask(&self, method: Method, path: &str, body: Bytes) -> Result<(StatusCode, Bytes), ClientError> {
        let answer = async {
            let (status, body) = self.send(method, path, body).await?;
            Ok((status, collect(body).await?))
        };
        self.in_time(answer).await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let (status, octets) = self.ask(Method::GET, path, Bytes::new()).await?;
        if status != StatusCode::OK {
            return Err(refusal(status, &octets));
        }
        understand(&octets)
    }

    async fn command(
        &self,
        path: &str,
        request: &impl serde::Serialize,
    ) -> Result<CommandAnswer, ClientError> {
        let body = serde_json::to_vec(request).map_err(|error| ClientError::Broken(error.to_string()))?;
        let (status, octets) = self.ask(Method::POST, path, body.into()).await?;
        match status {
            StatusCode::OK | StatusCode::CONFLICT => understand(&octets),
            status => Err(refusal(status, &octets)),
        }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Incoming), ClientError> {
        let stream = UnixStream::connect(&self.path)
            .await
            .map_err(|error| ClientError::NoPdp {
                path: self.path.clone(),
                error,
            })?;
        let broken = |error: hyper::Error| ClientError::Broken(error.to_string());
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "pdp")
            .header("content-type", "application/json")
            .body(Full::new(body))
            .map_err(|error| ClientError::Broken(error.to_string()))?;
        let response = sender.send_request(request).await.map_err(broken)?;
        Ok((response.status(), response.into_body()))
    }
}

async fn collect(body: Incoming) -> Result<Bytes, ClientError> {
    let collected = Limited::new(body, MAX_ANSWER_OCTETS).collect().await;
    Ok(collected
        .map_err(|error| ClientError::Broken(error.to_string()))?
        .to_bytes())
}

fn understand<T: DeserializeOwned>(octets: &[u8]) -> Result<T, ClientError> {
    serde_json::from_slice(octets).map_err(|error| ClientError::NotUnderstood(error.to_string()))
}

fn refusal(status: StatusCode, octets: &[u8]) -> ClientError {
    match serde_json::from_slice::<Problem>(octets) {
        Ok(problem) => ClientError::Refused(problem.error),
        Err(_) => ClientError::Refused(status.to_string()),
    }
}

/// Events as they come.
#[derive(Debug)]
pub struct EventStream {
    body: Incoming,
    line: BytesMut,
    lost: u64,
}

impl EventStream {
    /// Events that the PDP could not keep for so slow a reader, so far.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// The next event; `None` when the PDP has ended. What was lost before it is counted ([`Self::lost`]).
    ///
    /// # Errors
    /// The connection broke, or a line is no event.
    pub async fn next(&mut self) -> Result<Option<Event>, ClientError> {
        loop {
            if let Some(end) = self.line.iter().position(|octet| *octet == b'\n') {
                let line = self.line.split_to(end + 1);
                let value: serde_json::Value = understand(&line)?;
                if let Some(lost) = value.get("lost") {
                    let lost = lost.as_u64().ok_or_else(|| {
                        ClientError::NotUnderstood(format!("{lost} is no number of lost events"))
                    })?;
                    self.lost = self.lost.saturating_add(lost);
                    continue;
                }
                return serde_json::from_value(value)
                    .map(Some)
                    .map_err(|error| ClientError::NotUnderstood(error.to_string()));
            }
            if self.line.len() > MAX_LINE_OCTETS {
                return Err(ClientError::NotUnderstood("a line without end".to_owned()));
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(ClientError::Broken(error.to_string())),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.line.extend_from_slice(&data);
                    }
                }
            }
        }
    }
}
