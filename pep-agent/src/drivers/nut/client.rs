//! The connection to one `upsd`, for one UPS.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::codec::{Framed, LinesCodec, LinesCodecError};

use super::NutFigures;
use super::protocol::{self, Fault, Progress};
use crate::drivers::{DriverFuture, ReadError, ReserveDriver};
use crate::engine::facts::ReserveReading;
use crate::limits::{MAX_NUT_LINE_OCTETS, MAX_NUT_LINES, NUT_ANSWER_MILLIS};

/// A UPS behind a NUT server. Connects when it is read, keeps the connection, and connects anew after any fault.
#[derive(Debug)]
pub struct NutReserve {
    address: String,
    ups: String,
    figures: NutFigures,
    connection: Option<Framed<TcpStream, LinesCodec>>,
}

/// Why nothing was read.
#[derive(Debug, thiserror::Error)]
enum NutError {
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
}

impl From<LinesCodecError> for NutError {
    fn from(error: LinesCodecError) -> Self {
        match error {
            LinesCodecError::MaxLineLengthExceeded => Self::Overlong,
            LinesCodecError::Io(error) => Self::Io(error),
        }
    }
}

impl NutReserve {
    /// A UPS by its name at a server's `host:port`.
    pub fn new(address: String, ups: String, figures: NutFigures) -> Self {
        Self {
            address,
            ups,
            figures,
            connection: None,
        }
    }

    async fn variables(&mut self) -> Result<BTreeMap<String, String>, NutError> {
        // Taken out: whatever goes wrong on the way, a connection in doubt is not used again.
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let stream = TcpStream::connect(&self.address)
                    .await
                    .map_err(NutError::Connect)?;
                Framed::new(stream, LinesCodec::new_with_max_length(MAX_NUT_LINE_OCTETS))
            }
        };
        let listed = list(&mut connection, &self.ups).await;
        // A refusal is an answer: the connection is in order.
        if matches!(listed, Ok(_) | Err(NutError::Fault(Fault::Refused(_)))) {
            self.connection = Some(connection);
        }
        listed
    }
}

async fn list(
    connection: &mut Framed<TcpStream, LinesCodec>,
    ups: &str,
) -> Result<BTreeMap<String, String>, NutError> {
    connection.send(protocol::list_variables(ups)).await?;
    let mut variables = BTreeMap::new();
    let mut begun = false;
    for _ in 0..MAX_NUT_LINES {
        let line = connection.next().await.ok_or(NutError::Ended)??;
        match (protocol::listing(ups, &line)?, begun) {
            (Progress::Begun, false) => begun = true,
            (Progress::Variable { name, value }, true) => {
                variables.insert(name, value);
            }
            (Progress::Ended, true) => return Ok(variables),
            _ => {
                let fault = Fault::Unexpected {
                    found: line,
                    expected: "BEGIN LIST VAR first, and once",
                };
                return Err(fault.into());
            }
        }
    }
    Err(NutError::Endless)
}

impl ReserveDriver for NutReserve {
    fn read(&mut self) -> DriverFuture<'_, Result<ReserveReading, ReadError>> {
        Box::pin(async {
            let limit = Duration::from_millis(NUT_ANSWER_MILLIS);
            // On a time-out the future is dropped, and with it the connection.
            let variables = match timeout(limit, self.variables()).await {
                Ok(variables) => variables,
                Err(_) => Err(NutError::Silent),
            };
            match variables {
                Ok(variables) => Ok(self.figures.reading(&variables)),
                Err(error) => Err(ReadError(format!("{}@{}: {error}", self.ups, self.address))),
            }
        })
    }
}
