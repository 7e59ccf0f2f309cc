use std::fs::File;
use std::io::{self, BufWriter};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::{Direction, PcapWriter};

type SharedWriter = Arc<Mutex<PcapWriter<BufWriter<File>>>>;

/// A TCP relay on loopback that writes all it relays into a capture file.
#[derive(Debug)]
pub struct RecordingProxy {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl RecordingProxy {
    /// Listens on a port that the system chooses, relays to `pdp`, records into `file`. Ends when dropped.
    pub async fn start(pdp: SocketAddr, file: &Path) -> io::Result<Self> {
        Self::start_on(Ipv4Addr::LOCALHOST.into(), pdp, file).await
    }

    /// The same at an address of loopback, whose family the capture has.
    pub async fn start_on(ip: IpAddr, pdp: SocketAddr, file: &Path) -> io::Result<Self> {
        let listener = TcpListener::bind((ip, 0)).await?;
        let address = listener.local_addr()?;
        let out = BufWriter::new(File::create(file)?);
        let writer = Arc::new(Mutex::new(PcapWriter::of_family(out, ip)?));
        let task = tokio::spawn(relay_all(listener, pdp, writer));
        Ok(Self { address, task })
    }

    /// Where PEPs connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for RecordingProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn relay_all(listener: TcpListener, pdp: SocketAddr, writer: SharedWriter) {
    let began = Instant::now();
    let mut relays = JoinSet::new();
    for connection in 0u16.. {
        let Ok((pep_side, _)) = listener.accept().await else {
            return;
        };
        let writer = Arc::clone(&writer);
        relays.spawn(async move {
            // A PDP that cannot be reached is seen by the PEP as a connection that ends, as without the proxy.
            let Ok(pdp_side) = TcpStream::connect(pdp).await else {
                return;
            };
            // Without this, two small messages would wait for each other's acknowledgement.
            let _ = pep_side.set_nodelay(true);
            let _ = pdp_side.set_nodelay(true);
            if lock(&writer).open(connection, began.elapsed()).is_err() {
                return;
            }
            let (pep_read, pep_write) = pep_side.into_split();
            let (pdp_read, pdp_write) = pdp_side.into_split();
            let out = relay(
                pep_read,
                pdp_write,
                connection,
                Direction::ToPdp,
                began,
                Arc::clone(&writer),
            );
            let back = relay(pdp_read, pep_write, connection, Direction::ToPep, began, writer);
            // Either end's close ends both, as one TCP connection would.
            tokio::select! { _ = out => {}, _ = back => {} }
        });
    }
}

async fn relay(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    connection: u16,
    direction: Direction,
    began: Instant,
    writer: SharedWriter,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return to.shutdown().await;
        }
        lock(&writer).data(connection, direction, &buffer[..length], began.elapsed())?;
        to.write_all(&buffer[..length]).await?;
    }
}

fn lock(writer: &SharedWriter) -> std::sync::MutexGuard<'_, PcapWriter<BufWriter<File>>> {
    // A panic while writing leaves at worst a torn last packet, which readers of captures tolerate.
    writer.lock().unwrap_or_else(PoisonError::into_inner)
}
