//! The connection to one `upsd`: questions and answers, a login, the result of a command.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_util::codec::{Framed, LinesCodec, LinesCodecError};

use super::protocol::{self, Fault, Progress, Tracking};
use crate::drivers::secret_file::{SecretError, read_secret};
use crate::drivers::trust::{Trust, secure};
use crate::limits::{MAX_NUT_LINE_OCTETS, MAX_NUT_LINES, NUT_ANSWER_MILLIS};

/// How often the result of a command is asked for.
const LOOK: Duration = Duration::from_millis(100);

/// An `upsd`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NutServer {
    /// `host:port`.
    pub address: String,
    /// Who the agent is there; reading needs nobody, switching does.
    pub login: Option<NutLogin>,
    /// How it is known in TLS (STARTTLS); `None`: what is said goes over the wire in plain.
    pub trust: Option<Trust>,
}

/// A user of `upsd.users`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NutLogin {
    /// Its name.
    pub user: String,
    /// A file that holds its password and nothing else. Only its owner may read it; it is read at each login, so that a
    /// new password needs no restart.
    pub password_file: PathBuf,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum NutError {
    #[error("cannot connect: {0}")]
    Connect(std::io::Error),
    #[error("no answer within {} s", NUT_ANSWER_MILLIS / 1_000)]
    Silent,
    #[error("the connection ended")]
    Ended,
    #[error("a line of more than {MAX_NUT_LINE_OCTETS} octets")]
    Overlong,
    #[error("an answer of more than {MAX_NUT_LINES} lines")]
    Endless,
    #[error("{0}")]
    Io(std::io::Error),
    #[error("{0}")]
    Fault(#[from] Fault),
    #[error("STARTTLS: {0}")]
    Tls(String),
    #[error(transparent)]
    Secret(#[from] SecretError),
}

impl From<LinesCodecError> for NutError {
    fn from(error: LinesCodecError) -> Self {
        match error {
            LinesCodecError::MaxLineLengthExceeded => Self::Overlong,
            LinesCodecError::Io(error) => Self::Io(error),
        }
    }
}

/// What lines go over: TCP, or TLS on it.
trait Wire: AsyncRead + AsyncWrite + Unpin + std::fmt::Debug {}

impl<S: AsyncRead + AsyncWrite + Unpin + std::fmt::Debug> Wire for S {}

fn codec() -> LinesCodec {
    LinesCodec::new_with_max_length(MAX_NUT_LINE_OCTETS)
}

/// Asks for TLS, and shakes hands. What came in plain with the agreement nobody vouches for.
async fn start_tls(stream: TcpStream, trust: &Trust, host: &str) -> Result<Box<dyn Wire>, NutError> {
    let mut lines = Framed::new(stream, codec());
    lines.send(protocol::start_tls()).await?;
    let line = lines.next().await.ok_or(NutError::Ended)??;
    protocol::accepted(&line)?;
    let parts = lines.into_parts();
    if !parts.read_buf.is_empty() {
        return Err(NutError::Tls("more came in plain after the agreement".to_owned()));
    }
    let secured = secure(trust, host, parts.io).await.map_err(NutError::Tls)?;
    Ok(Box::new(secured))
}

/// A connection, logged in if the server's entry says as whom.
#[derive(Debug)]
pub(super) struct Connection {
    lines: Framed<Box<dyn Wire>, LinesCodec>,
    /// Whether results of commands can be asked for; unknown until it was tried.
    tracking: Option<bool>,
}

impl Connection {
    pub(super) async fn open(server: &NutServer) -> Result<Self, NutError> {
        let stream = TcpStream::connect(&server.address)
            .await
            .map_err(NutError::Connect)?;
        let mut connection = match &server.trust {
            None => Self::over(Box::new(stream)),
            Some(trust) => {
                let host = server.address.rsplit_once(':').map_or("", |(host, _)| host);
                Self::over(start_tls(stream, trust, host).await?)
            }
        };
        if let Some(login) = &server.login {
            let password = read_secret(&login.password_file)?;
            connection.command(protocol::username(&login.user)).await?;
            connection.command(protocol::password(&password)).await?;
        }
        Ok(connection)
    }

    fn over(stream: Box<dyn Wire>) -> Self {
        Self {
            lines: Framed::new(stream, codec()),
            tracking: None,
        }
    }

    async fn line(&mut self) -> Result<String, NutError> {
        Ok(self.lines.next().await.ok_or(NutError::Ended)??)
    }

    /// Sends a command, and returns what follows its `OK`.
    async fn command(&mut self, command: String) -> Result<Vec<String>, NutError> {
        self.lines.send(command).await?;
        let line = self.line().await?;
        Ok(protocol::accepted(&line)?)
    }

    /// All variables of a UPS.
    pub(super) async fn list(&mut self, ups: &str) -> Result<BTreeMap<String, String>, NutError> {
        self.listing(protocol::list_variables(ups), |line| protocol::listing(ups, line))
            .await
    }

    /// All devices, with their descriptions.
    pub(super) async fn devices(&mut self) -> Result<BTreeMap<String, String>, NutError> {
        self.listing(protocol::list_devices(), protocol::device_listing)
            .await
    }

    async fn listing(
        &mut self,
        question: String,
        read: impl Fn(&str) -> Result<Progress, Fault>,
    ) -> Result<BTreeMap<String, String>, NutError> {
        self.lines.send(question).await?;
        let mut listed = BTreeMap::new();
        let mut begun = false;
        for _ in 0..MAX_NUT_LINES {
            let line = self.line().await?;
            match (read(&line)?, begun) {
                (Progress::Begun, false) => begun = true,
                (Progress::Variable { name, value }, true) => {
                    listed.insert(name, value);
                }
                (Progress::Ended, true) => return Ok(listed),
                _ => {
                    let fault = Fault::Unexpected {
                        found: line,
                        expected: "BEGIN LIST first, and once",
                    };
                    return Err(fault.into());
                }
            }
        }
        Err(NutError::Endless)
    }

    /// One variable of a UPS.
    pub(super) async fn get(&mut self, ups: &str, variable: &str) -> Result<String, NutError> {
        self.lines.send(protocol::get_variable(ups, variable)).await?;
        let line = self.line().await?;
        Ok(protocol::variable(ups, variable, &line)?)
    }

    /// Has an instant command or a new value carried out, and waits for its result, where upsd tells results. That OK
    /// alone says no more than that the driver was told.
    pub(super) async fn carry_out(&mut self, command: String) -> Result<(), NutError> {
        if self.tracking.is_none() {
            self.tracking = Some(match self.command(protocol::tracking_on()).await {
                Ok(_) => true,
                // An upsd before 2.8 has no results.
                Err(NutError::Fault(Fault::Refused(_))) => false,
                Err(error) => return Err(error),
            });
        }
        let accepted = self.command(command).await?;
        let ["TRACKING", id] = accepted.iter().map(String::as_str).collect::<Vec<_>>()[..] else {
            return Ok(());
        };
        loop {
            self.lines.send(protocol::get_tracking(id)).await?;
            let line = self.line().await?;
            match protocol::tracking(&line)? {
                Tracking::Pending => sleep(LOOK).await,
                Tracking::Succeeded => return Ok(()),
            }
        }
    }
}
