//! The other end of the admin socket: for the command line, the demo runner and tests.

use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use crate::api::{
    Availability, AvailabilityRequest, CommandAnswer, CommandScope, Event, Explanation, InterruptRequest,
    PlanInForce, Problem, RestoreRequest, Status,
};

/// Largest answer that is taken: a status of ten thousand servers with ten sets each has some 30 MiB.
const MAX_ANSWER_OCTETS: usize = 256 * 1024 * 1024;
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
}

impl AdminClient {
    /// For the PDP whose socket this is. Nothing is sent yet.
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
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

    /// Why things are as they are.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn explain(&self) -> Result<Explanation, ClientError> {
        self.get("/v1/explain").await
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
        let (status, body) = self.send(Method::GET, &path, Bytes::new()).await?;
        if status != StatusCode::OK {
            return Err(refusal(status, &collect(body).await?));
        }
        Ok(EventStream {
            body,
            line: BytesMut::new(),
        })
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let (status, body) = self.send(Method::GET, path, Bytes::new()).await?;
        let octets = collect(body).await?;
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
        let (status, body) = self.send(Method::POST, path, body.into()).await?;
        let octets = collect(body).await?;
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
}

impl EventStream {
    /// The next event; `None` when the PDP has ended. Lines that tell of lost events are passed over.
    ///
    /// # Errors
    /// The connection broke, or a line is no event.
    pub async fn next(&mut self) -> Result<Option<Event>, ClientError> {
        loop {
            if let Some(end) = self.line.iter().position(|octet| *octet == b'\n') {
                let line = self.line.split_to(end + 1);
                let value: serde_json::Value = understand(&line)?;
                if value.get("lost").is_some() {
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
