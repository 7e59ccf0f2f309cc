//! A UPS as a reserve.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::NutFigures;
use super::connection::{Connection, NutError, NutServer};
use super::protocol::Fault;
use crate::drivers::draw::LoadGauge;
use crate::drivers::{DriverFuture, ReadError, ReserveDriver};
use crate::engine::facts::ReserveReading;
use crate::limits::NUT_ANSWER_MILLIS;

/// A UPS behind a NUT server. Connects when it is read, keeps the connection, and connects anew after any fault.
#[derive(Debug)]
pub struct NutReserve {
    server: NutServer,
    ups: String,
    figures: NutFigures,
    connection: Option<Connection>,
    gauge: Option<Rc<LoadGauge>>,
}

impl NutReserve {
    /// A UPS by its name at a server.
    pub fn new(server: NutServer, ups: String, figures: NutFigures) -> Self {
        Self {
            server,
            ups,
            figures,
            connection: None,
            gauge: None,
        }
    }

    /// Tells the load of the UPS at each reading.
    #[must_use]
    pub fn with_gauge(mut self, gauge: Option<Rc<LoadGauge>>) -> Self {
        self.gauge = gauge;
        self
    }

    async fn variables(&mut self) -> Result<BTreeMap<String, String>, NutError> {
        // Taken out: whatever goes wrong on the way, a connection in doubt is not used again.
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(&self.server).await?,
        };
        let listed = connection.list(&self.ups).await;
        // A refusal is an answer: the connection is in order.
        if matches!(listed, Ok(_) | Err(NutError::Fault(Fault::Refused(_)))) {
            self.connection = Some(connection);
        }
        listed
    }
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
                Ok(variables) => {
                    if let Some(gauge) = &self.gauge {
                        gauge.tell(self.figures.measured_load(&variables), Instant::now());
                    }
                    Ok(self.figures.reading(&variables))
                }
                Err(error) => Err(ReadError(format!(
                    "{}@{}: {error}",
                    self.ups, self.server.address
                ))),
            }
        })
    }
}
