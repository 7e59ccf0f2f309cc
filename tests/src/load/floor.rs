//! What the same octets cost without COPS: a server that answers the octets of a REQ with those of a DEC, and on command
//! writes a DEC's octets to all its connections in a bare loop.
//!
//! It looks at nothing but length and op code of what comes. Ratios to it say what sessions, rows and queues cost.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use bytes::Bytes;
use cops_codec::client_type::power::Name;
use cops_codec::message::{ClientAccept, Decision, DecisionBody, DecisionMessage, Message};
use cops_codec::wire::{ClientHandle, Context as CopsContext, KaTimer, OpCode};
use cops_codec::{Framer, Limits};
use tokio::net::{TcpListener, TcpStream};

use super::module::CLIENT_TYPE;
use super::rows;

/// All connections of PEPs.
#[derive(Debug, Default)]
struct All {
    streams: Mutex<Vec<Arc<TcpStream>>>,
    awaited: AtomicUsize,
    all_reported: tokio::sync::Notify,
}

/// What is written.
#[derive(Debug)]
struct Octets {
    accept: Bytes,
    solicited: Bytes,
    unsolicited: Bytes,
}

impl Octets {
    fn new() -> Result<Self> {
        let encode = |message: Message| -> Result<Bytes> {
            Ok(message
                .encode(&Limits::DEFAULT)
                .context("a message")?
                .into_octets())
        };
        let server = Name::new(&rows::server_name(0)).context("a name")?;
        let decision = |solicited| DecisionMessage {
            client_type: CLIENT_TYPE,
            solicited,
            handle: ClientHandle::from(1),
            body: DecisionBody::Decisions(
                rows::decision(&server, 1)
                    .into_iter()
                    .map(|named| Decision::install(CopsContext::CONFIGURATION, named))
                    .collect(),
            ),
            integrity: None,
        };
        let accept = ClientAccept {
            client_type: CLIENT_TYPE,
            ka_timer: KaTimer(0),
            accounting_timer: None,
            integrity: None,
        };
        Ok(Self {
            accept: encode(accept.into())?,
            solicited: encode(decision(true).into())?,
            unsolicited: encode(decision(false).into())?,
        })
    }
}

/// Octets of a DEC as they are written here, and by [`super::module`] for names of the same length.
///
/// # Errors
/// Never: it fits.
pub fn decision_octets() -> Result<usize> {
    Ok(Octets::new()?.unsolicited.len())
}

/// Listens, says where on standard output, and serves for ever.
///
/// # Errors
/// There is no port.
pub async fn serve() -> Result<()> {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
        .await
        .context("listening")?;
    println!("{}", listener.local_addr().context("the address")?);
    let octets = Arc::new(Octets::new()?);
    let all = Arc::new(All::default());
    loop {
        let (stream, _) = listener.accept().await.context("accepting")?;
        stream.set_nodelay(true).context("a socket")?;
        let (octets, all) = (Arc::clone(&octets), Arc::clone(&all));
        tokio::spawn(async move {
            // A PEP that goes is no fault.
            let _ = answer(Arc::new(stream), &octets, &all).await;
        });
    }
}

async fn answer(stream: Arc<TcpStream>, octets: &Octets, all: &All) -> Result<()> {
    let mut buffer = [0; 2 * 1024];
    let mut framer = Framer::new(Limits::DEFAULT);
    let mut is_trigger = false;
    let mut is_listed = false;
    loop {
        stream.readable().await?;
        let read = match stream.try_read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error.into()),
        };
        framer.push(&buffer[..read]);
        while let Some(frame) = framer.next_frame()? {
            match frame.header().op_code {
                OpCode::CLIENT_OPEN => {
                    is_trigger = true;
                    write(&stream, &octets.accept).await?;
                }
                OpCode::REQUEST if is_trigger => {
                    write_to_all(all, &octets.unsolicited).await?;
                    all.all_reported.notified().await;
                    write(&stream, &octets.solicited).await?;
                }
                OpCode::REQUEST => {
                    if !is_listed {
                        is_listed = true;
                        all.lock().push(Arc::clone(&stream));
                    }
                    write(&stream, &octets.solicited).await?;
                }
                OpCode::REPORT_STATE if frame.header().solicited => all.reported(),
                _ => {}
            }
        }
    }
}

impl All {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Arc<TcpStream>>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts down only while a decision to all is out.
    fn reported(&self) {
        let before = self
            .awaited
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        if before == Ok(1) {
            self.all_reported.notify_one();
        }
    }
}

/// The floor of an interruption of everything: a bare loop.
async fn write_to_all(all: &All, octets: &Bytes) -> Result<()> {
    let streams = all.lock().clone();
    all.awaited.store(streams.len(), Ordering::Relaxed);
    for stream in &streams {
        write(stream, octets).await?;
    }
    Ok(())
}

async fn write(stream: &TcpStream, octets: &Bytes) -> Result<()> {
    let mut left: &[u8] = octets;
    while !left.is_empty() {
        match stream.try_write(left) {
            Ok(written) => left = &left[written..],
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => stream.writable().await?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
