//! The socket of a PEP.

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;

use tokio::net::{TcpSocket, TcpStream};

/// A connection. What is read goes through a buffer of the process, so that ten thousand of them need one.
#[derive(Debug)]
pub(super) struct Stream(Rc<TcpStream>);

impl Stream {
    /// Connects from an address of this process: one address has ports for some 28,000 connections.
    pub(super) async fn connect(to: SocketAddr, process: u8) -> io::Result<Self> {
        let socket = match to.ip() {
            IpAddr::V4(ip) if ip.is_loopback() => {
                let socket = TcpSocket::new_v4()?;
                socket.bind(SocketAddr::from((Ipv4Addr::new(127, 0, process, 1), 0)))?;
                socket
            }
            IpAddr::V4(_) => TcpSocket::new_v4()?,
            IpAddr::V6(_) => TcpSocket::new_v6()?,
        };
        let stream = socket.connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(Self(Rc::new(stream)))
    }

    /// Reads once, and gives what came to `take`; the number of octets, 0 at the end.
    pub(super) async fn read(
        &mut self,
        buffer: &RefCell<Vec<u8>>,
        take: impl FnOnce(&[u8]),
    ) -> io::Result<usize> {
        loop {
            self.0.readable().await?;
            let mut buffer = buffer.borrow_mut();
            match self.0.try_read(&mut buffer) {
                Ok(octets) => {
                    take(&buffer[..octets]);
                    return Ok(octets);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    pub(super) async fn write(&mut self, mut octets: &[u8]) -> io::Result<()> {
        while !octets.is_empty() {
            match self.0.try_write(octets) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => octets = &octets[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.0.writable().await?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The socket, to be looked at from elsewhere.
    pub(super) fn socket(&self) -> Rc<TcpStream> {
        Rc::clone(&self.0)
    }
}
