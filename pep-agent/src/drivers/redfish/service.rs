//! One Redfish service: a connection, a session, and questions.
//!
//! A session is opened once and kept (DSP0266 section 13.3): devices have few, and forget them only after half an hour. One
//! that the service has ended is opened anew, once for each question. A service without sessions gets the password with
//! each question (HTTP Basic, RFC 7617), which DSP0266 has every service take.

use std::path::PathBuf;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, LOCATION};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::drivers::secret_file::{SecretError, read_secret};
use crate::drivers::trust::{Trust, secure};
use crate::limits::{MAX_REDFISH_ANSWER_OCTETS, REDFISH_ANSWER_MILLIS};

/// Where sessions are opened (DSP0266: the one URI of it that is fixed).
const SESSIONS: &str = "/redfish/v1/SessionService/Sessions";
const TOKEN: &str = "x-auth-token";

/// Where a service is, how it is known, and as whom it is asked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RedfishAccess {
    /// Its host, as its certificate names it.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How it is known; `None`: plain HTTP, to this machine itself.
    pub trust: Option<Trust>,
    /// The user, and the file of its password.
    pub login: (String, PathBuf),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum RedfishError {
    /// The password cannot be had.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// There is no connection.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// The exchange broke off.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// It took too long.
    #[error("no answer within {} s", REDFISH_ANSWER_MILLIS / 1_000)]
    Silent,
    /// The service says no.
    #[error("{method} {path}: {status}{message}")]
    Status {
        /// What was asked.
        method: Method,
        /// Of what.
        path: String,
        /// Its answer.
        status: StatusCode,
        /// Its reason, if it gives one.
        message: String,
    },
    /// It answers something else than was asked for.
    #[error("{path}: {problem}")]
    Answer {
        /// Of what.
        path: String,
        /// What was expected.
        problem: String,
    },
}

/// An answer: its status, where it points to, and what it says.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) location: Option<String>,
    pub(super) body: Value,
}

#[derive(Debug, Clone)]
enum Credential {
    Session {
        token: HeaderValue,
        location: Option<String>,
    },
    Basic(HeaderValue),
}

#[derive(Default)]
struct State {
    sender: Option<SendRequest<Full<Bytes>>>,
    credential: Option<Credential>,
}

/// A service. What asks it takes turns.
pub struct RedfishService {
    access: RedfishAccess,
    state: Mutex<State>,
}

impl std::fmt::Debug for RedfishService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedfishService")
            .field("access", &self.access)
            .finish_non_exhaustive()
    }
}

impl RedfishService {
    /// A service; nothing is asked of it yet.
    pub fn new(access: RedfishAccess) -> Self {
        Self {
            access,
            state: Mutex::new(State::default()),
        }
    }

    /// `host:port`.
    pub(super) fn address(&self) -> String {
        format!("{}:{}", self.access.host, self.access.port)
    }

    /// Reads a resource.
    pub(super) async fn get(&self, path: &str) -> Result<Value, RedfishError> {
        let answer = self.ask(Method::GET, path, None).await?;
        Ok(answer.body)
    }

    /// Asks, as the user, within the time of an answer.
    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Answer, RedfishError> {
        let mut state = self.state.lock().await;
        let limit = Duration::from_millis(REDFISH_ANSWER_MILLIS);
        let asked = timeout(limit, self.ask_as_user(&mut state, &method, path, body.as_ref())).await;
        let answer = match asked {
            Ok(answer) => answer,
            Err(_) => Err(RedfishError::Silent),
        };
        if matches!(
            answer,
            Err(RedfishError::Silent | RedfishError::Broken(_) | RedfishError::Connect(_))
        ) {
            // Half an exchange may stand on it.
            state.sender = None;
        }
        let answer = answer?;
        if answer.status.is_success() {
            return Ok(answer);
        }
        Err(refused(&method, path, &answer))
    }

    async fn ask_as_user(
        &self,
        state: &mut State,
        method: &Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, RedfishError> {
        let had_credential = state.credential.is_some();
        let credential = self.log_in(state).await?;
        let answer = self
            .exchange(state, method, path, body, Some(&credential))
            .await?;
        if answer.status != StatusCode::UNAUTHORIZED || !had_credential {
            return Ok(answer);
        }
        // Its session has ended: by its time, or with a restart of the device.
        state.credential = None;
        let credential = self.log_in(state).await?;
        self.exchange(state, method, path, body, Some(&credential)).await
    }

    /// The session there is, or a new one.
    async fn log_in(&self, state: &mut State) -> Result<Credential, RedfishError> {
        if let Some(credential) = &state.credential {
            return Ok(credential.clone());
        }
        let (user, file) = &self.access.login;
        let password = read_secret(file)?;
        let form = json!({ "UserName": user, "Password": password });
        let (answer, headers) = self
            .raw(state, &Method::POST, SESSIONS, Some(&form), None)
            .await?;
        let credential = match answer.status {
            status if status.is_success() => {
                let Some(token) = headers.get(TOKEN).cloned() else {
                    return Err(RedfishError::Answer {
                        path: SESSIONS.to_owned(),
                        problem: "expected the header X-Auth-Token".to_owned(),
                    });
                };
                Credential::Session {
                    token,
                    location: answer.location,
                }
            }
            // No sessions here. (A service that wants the password for a session, too, answers 401.)
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => {
                basic(user, &password)?
            }
            StatusCode::UNAUTHORIZED if headers.contains_key("www-authenticate") => basic(user, &password)?,
            _ => return Err(refused(&Method::POST, SESSIONS, &answer)),
        };
        state.credential = Some(credential.clone());
        Ok(credential)
    }

    async fn exchange(
        &self,
        state: &mut State,
        method: &Method,
        path: &str,
        body: Option<&Value>,
        credential: Option<&Credential>,
    ) -> Result<Answer, RedfishError> {
        let (answer, _) = self.raw(state, method, path, body, credential).await?;
        Ok(answer)
    }

    /// One request and its response. A connection that had ended before it was used again is made anew, once.
    async fn raw(
        &self,
        state: &mut State,
        method: &Method,
        path: &str,
        body: Option<&Value>,
        credential: Option<&Credential>,
    ) -> Result<(Answer, HeaderMap), RedfishError> {
        let is_used = state.sender.is_some();
        let response = match self.send(state, method, path, body, credential).await {
            Err(RedfishError::Broken(_)) if is_used => {
                state.sender = None;
                self.send(state, method, path, body, credential).await?
            }
            response => response?,
        };
        let (head, body) = response.into_parts();
        let collected = Limited::new(body, MAX_REDFISH_ANSWER_OCTETS).collect().await;
        let octets = collected
            .map_err(|error| RedfishError::Broken(error.to_string()))?
            .to_bytes();
        let value = if octets.is_empty() {
            Value::Null
        } else {
            // An error page of a web server in between is no JSON: its status is what counts.
            serde_json::from_slice(&octets).unwrap_or(Value::Null)
        };
        let location = head
            .headers
            .get(LOCATION)
            .and_then(|location| location.to_str().ok())
            .map(|location| path_of(location).to_owned());
        let answer = Answer {
            status: head.status,
            location,
            body: value,
        };
        Ok((answer, head.headers))
    }

    async fn send(
        &self,
        state: &mut State,
        method: &Method,
        path: &str,
        body: Option<&Value>,
        credential: Option<&Credential>,
    ) -> Result<Response<Incoming>, RedfishError> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.address());
        match credential {
            Some(Credential::Session { token, .. }) => request = request.header(TOKEN, token),
            Some(Credential::Basic(value)) => request = request.header(AUTHORIZATION, value),
            None => {}
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let octets = body.map(Value::to_string).unwrap_or_default();
        let request = request
            .body(Full::new(Bytes::from(octets)))
            .map_err(|error| RedfishError::Broken(error.to_string()))?;
        let sender = match &mut state.sender {
            Some(sender) => sender,
            none => none.insert(self.connect().await?),
        };
        let broken = |error: hyper::Error| RedfishError::Broken(error.to_string());
        sender.ready().await.map_err(broken)?;
        sender.send_request(request).await.map_err(broken)
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, RedfishError> {
        let fail = |error: String| RedfishError::Connect(error);
        let stream = TcpStream::connect((self.access.host.as_str(), self.access.port))
            .await
            .map_err(|error| fail(error.to_string()))?;
        match &self.access.trust {
            None => serve(stream).await,
            Some(trust) => serve(secure(trust, &self.access.host, stream).await.map_err(fail)?).await,
        }
    }

    /// Ends the session there is: its device has few of them. One that cannot be ended ends by its time.
    pub async fn close(&self) {
        let mut state = self.state.lock().await;
        let Some(credential) = state.credential.take() else {
            return;
        };
        let Credential::Session {
            location: Some(location),
            ..
        } = &credential
        else {
            return;
        };
        let limit = Duration::from_millis(REDFISH_ANSWER_MILLIS);
        let location = location.clone();
        let end = self.exchange(&mut state, &Method::DELETE, &location, None, Some(&credential));
        let _ = timeout(limit, end).await;
    }
}

async fn serve<S>(stream: S) -> Result<SendRequest<Full<Bytes>>, RedfishError>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = handshake(TokioIo::new(stream))
        .await
        .map_err(|error| RedfishError::Connect(error.to_string()))?;
    // Ends when its sender is dropped, or with the connection; what was wrong the sender tells.
    tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok(sender)
}

fn basic(user: &str, password: &str) -> Result<Credential, RedfishError> {
    let text = format!("Basic {}", base64(format!("{user}:{password}").as_bytes()));
    match HeaderValue::from_str(&text) {
        Ok(mut value) => {
            value.set_sensitive(true);
            Ok(Credential::Basic(value))
        }
        Err(error) => Err(RedfishError::Broken(error.to_string())),
    }
}

/// Base64 with padding (RFC 4648 section 4).
fn base64(octets: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in octets.chunks(3) {
        let all = group
            .iter()
            .chain(std::iter::repeat(&0))
            .take(3)
            .fold(0u32, |all, octet| all << 8 | u32::from(*octet));
        for place in 0..4 {
            if place > group.len() {
                text.push('=');
            } else {
                // Six bits: below 64.
                text.push(char::from(DIGITS[(all >> (18 - 6 * place) & 63) as usize]));
            }
        }
    }
    text
}

/// The path of a Location, which may be a whole URL.
fn path_of(location: &str) -> &str {
    let Some((_, rest)) = location.split_once("://") else {
        return location;
    };
    rest.find('/').map_or("/", |at| &rest[at..])
}

fn refused(method: &Method, path: &str, answer: &Answer) -> RedfishError {
    // DSP0266 section 8.6: error.@Message.ExtendedInfo[].Message, or error.message.
    let error = &answer.body["error"];
    let message = error["@Message.ExtendedInfo"][0]["Message"]
        .as_str()
        .or_else(|| error["message"].as_str());
    RedfishError::Status {
        method: method.clone(),
        path: path.to_owned(),
        status: answer.status,
        message: message.map_or_else(String::new, |message| {
            let short: String = message.chars().filter(|c| !c.is_control()).take(120).collect();
            format!(" ({short})")
        }),
    }
}
