//! A PEP that has a decision sent to all others, and times it.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use cops_codec::message::{ClientOpen, Message, ReportState, Request};
use cops_codec::wire::{ClientHandle, Context as CopsContext, OpCode, PepId, ReportType};
use cops_codec::{Frame, Framer, Limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::machine::now_nanos;
use super::module::{CLIENT_TYPE, TRIGGER};

/// How long the answer may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// A connection whose requests reach all.
#[derive(Debug)]
pub struct Trigger {
    stream: TcpStream,
    framer: Framer,
}

/// When a command was given.
#[derive(Debug)]
pub struct Pulled {
    trigger: Trigger,
    /// On the machine's monotonic clock.
    pub at_nanos: u64,
}

impl Trigger {
    /// Connects and opens.
    ///
    /// # Errors
    /// There is no PDP with the client-type of [`super::module`], and no [`super::floor`].
    pub async fn connect(to: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(to).await.context("connecting the trigger")?;
        stream.set_nodelay(true).context("the trigger's socket")?;
        let mut this = Self {
            stream,
            framer: Framer::new(Limits::DEFAULT),
        };
        let open = ClientOpen {
            client_type: CLIENT_TYPE,
            pep_id: PepId::new(TRIGGER).context("the trigger's PEPID")?,
            client_si: None,
            last_pdp_address: None,
            integrity: None,
        };
        this.write(open.into()).await?;
        this.await_message(OpCode::CLIENT_ACCEPT).await?;
        Ok(this)
    }

    /// Asks for the decision to all.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn pull(mut self) -> Result<Pulled> {
        let request = Request {
            client_type: CLIENT_TYPE,
            handle: ClientHandle::from(1),
            context: CopsContext::CONFIGURATION,
            in_interface: None,
            out_interface: None,
            client_si: Vec::new(),
            lpdp_decisions: Vec::new(),
            integrity: None,
        };
        let at_nanos = now_nanos();
        self.write(request.into()).await?;
        Ok(Pulled {
            trigger: self,
            at_nanos,
        })
    }

    async fn write(&mut self, message: Message) -> Result<()> {
        let octets: Bytes = message
            .encode(&Limits::DEFAULT)
            .context("a message of the trigger")?
            .into_octets();
        self.stream.write_all(&octets).await.context("writing")
    }

    async fn await_message(&mut self, op_code: OpCode) -> Result<()> {
        let awaiting = async {
            loop {
                if let Some(frame) = self.framer.next_frame().context("what the PDP sends")? {
                    let header = Frame::header(&frame);
                    ensure!(
                        header.op_code == op_code,
                        "expected {op_code}, found {}",
                        header.op_code
                    );
                    return Ok(());
                }
                let mut octets = [0; 1024];
                let read = self.stream.read(&mut octets).await.context("reading")?;
                if read == 0 {
                    bail!("expected {op_code}, found the end of the connection");
                }
                self.framer.push(&octets[..read]);
            }
        };
        match timeout(PATIENCE, awaiting).await {
            Ok(done) => done,
            Err(_) => bail!("no {op_code} within {PATIENCE:?}"),
        }
    }
}

impl Pulled {
    /// Waits for the trigger's own decision, which goes out when all have reported; gives the nanoseconds that it took.
    ///
    /// # Errors
    /// It does not come.
    pub async fn all_reported(self) -> Result<u64> {
        let mut trigger = self.trigger;
        trigger.await_message(OpCode::DECISION).await?;
        let nanos = now_nanos() - self.at_nanos;
        let report = ReportState {
            client_type: CLIENT_TYPE,
            solicited: true,
            handle: ClientHandle::from(1),
            report_type: ReportType::SUCCESS,
            client_si: Vec::new(),
            integrity: None,
        };
        trigger.write(report.into()).await?;
        Ok(nanos)
    }
}
