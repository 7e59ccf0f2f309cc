//! Another server that is woken over the network, by a magic packet from this one: its starter.
//!
//! A magic packet is six octets of 0xFF and sixteen times the MAC address of the sleeping interface, in a datagram to the
//! broadcast address of its network. Nothing answers it. Whether the server is up is seen by connecting to a port of it:
//! refused is an answer, too. One that does not answer may be off, or cut off: it is *unreachable*, and never taken for
//! off, because work that may still run there must not be started elsewhere.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use power_policy::model::Powered;
use power_policy::plan::HostState;
use tokio::net::{TcpStream, UdpSocket, lookup_host};
use tokio::time::{Instant, sleep, timeout};

use crate::drivers::{DriverFuture, HostDriver, HostReading, ReadError};
use crate::engine::ActionOutcome;
use crate::engine::facts::ServerReading;

/// How long a probe may take.
const PROBE_LIMIT: Duration = Duration::from_secs(2);
/// How often a server that was woken is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How often the packet is sent again: datagrams get lost, and an interface that is just going to sleep hears none.
const AGAIN: Duration = Duration::from_secs(5);

/// How a server is woken, and seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WakeOnLan {
    /// The interface that listens while its server sleeps.
    pub mac: [u8; 6],
    /// Where the packet goes: the broadcast address of its network, usually port 9.
    pub to: String,
    /// A port of the server that answers when it is up, `host:port`.
    pub probe: String,
    /// How long it may take to boot.
    pub limit: Duration,
}

/// The packet that wakes an interface.
pub fn magic_packet(mac: [u8; 6]) -> [u8; 102] {
    let mut packet = [0xFF; 102];
    for place in packet[6..].chunks_exact_mut(6) {
        place.copy_from_slice(&mac);
    }
    packet
}

impl WakeOnLan {
    async fn is_up(&self) -> bool {
        match timeout(PROBE_LIMIT, TcpStream::connect(&self.probe)).await {
            Ok(Ok(_)) => true,
            // Its kernel says that nobody listens there: it is up.
            Ok(Err(error)) => error.kind() == io::ErrorKind::ConnectionRefused,
            Err(_) => false,
        }
    }

    async fn send(&self) -> io::Result<()> {
        let to: SocketAddr = lookup_host(&self.to)
            .await?
            .next()
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such address"))?;
        let any: SocketAddr = if to.is_ipv4() {
            ([0, 0, 0, 0], 0).into()
        } else {
            ([0u16; 8], 0).into()
        };
        let socket = UdpSocket::bind(any).await?;
        socket.set_broadcast(true)?;
        socket.send_to(&magic_packet(self.mac), to).await.map(|_| ())
    }

    async fn wake(&self) -> ActionOutcome {
        if self.is_up().await {
            return ActionOutcome::Done("so already".to_owned());
        }
        let end = Instant::now() + self.limit;
        let mut next = Instant::now();
        loop {
            if Instant::now() >= next {
                if let Err(error) = self.send().await {
                    return ActionOutcome::Failed(format!("magic packet to {}: {error}", self.to));
                }
                next = Instant::now() + AGAIN;
            }
            if self.is_up().await {
                return ActionOutcome::Done(String::new());
            }
            if Instant::now() >= end {
                return ActionOutcome::Failed(format!(
                    "woken, and {} does not answer after {} s",
                    self.probe,
                    self.limit.as_secs()
                ));
            }
            sleep(LOOK).await;
        }
    }
}

impl HostDriver for WakeOnLan {
    fn read(&mut self) -> DriverFuture<'_, Result<HostReading, ReadError>> {
        Box::pin(async {
            let powered = if self.is_up().await {
                Powered::On
            } else {
                Powered::Unreachable
            };
            Ok(HostReading {
                server: ServerReading {
                    powered,
                    milliwatts: None,
                },
                inlets: Vec::new(),
            })
        })
    }

    fn set(&mut self, state: HostState) -> DriverFuture<'_, ActionOutcome> {
        Box::pin(async move {
            match state {
                HostState::On => self.wake().await,
                HostState::Standby => ActionOutcome::Done(String::new()),
                HostState::Off => {
                    ActionOutcome::Refused("wake-on-LAN switches nothing off: its own agent does".to_owned())
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tokio::net::TcpListener;

    use super::*;

    const MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];

    #[test]
    fn the_packet_is_six_times_ff_and_sixteen_times_the_address() {
        let packet = magic_packet(MAC);
        assert_eq!(packet[..6], [0xFF; 6]);
        assert_eq!(packet[6..], MAC.repeat(16)[..]);
    }

    async fn wake(to: SocketAddr, probe: SocketAddr, limit: Duration) -> (WakeOnLan, Powered) {
        let mut host = WakeOnLan {
            mac: MAC,
            to: to.to_string(),
            probe: probe.to_string(),
            limit,
        };
        let powered = host.read().await.unwrap().server.powered;
        (host, powered)
    }

    #[tokio::test]
    async fn a_server_that_answers_is_on_and_is_not_woken() {
        let sleeper = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let up = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let probe = up.local_addr().unwrap();
        let (mut host, powered) = wake(sleeper.local_addr().unwrap(), probe, Duration::from_secs(9)).await;
        assert_eq!(powered, Powered::On);
        assert_eq!(
            host.set(HostState::On).await,
            ActionOutcome::Done("so already".to_owned())
        );
        assert!(
            sleeper.try_recv_from(&mut [0; 200]).is_err(),
            "no packet was sent"
        );
        // Refused is an answer of a machine that is up.
        drop(up);
        let (_, powered) = wake(sleeper.local_addr().unwrap(), probe, Duration::from_secs(9)).await;
        assert_eq!(powered, Powered::On);
        assert!(matches!(
            host.set(HostState::Off).await,
            ActionOutcome::Refused(_)
        ));
    }

    /// A port at which nobody answers, not even the kernel: its queue is full. Whoever waits in it is returned, too.
    async fn silent() -> (std::net::TcpListener, Vec<TcpStream>) {
        use rustix::net::{AddressFamily, SocketType, bind, listen, socket};
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        listen(&socket, 0).unwrap();
        let listener = std::net::TcpListener::from(socket);
        let address = listener.local_addr().unwrap();
        let mut waiting = Vec::new();
        while let Ok(connected) = timeout(Duration::from_millis(500), TcpStream::connect(address)).await {
            waiting.push(connected.unwrap());
        }
        (listener, waiting)
    }

    #[tokio::test]
    async fn a_sleeper_is_unreachable_hears_the_packet_and_is_on_when_it_answers() {
        let sleeper = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (listener, waiting) = silent().await;
        let probe = listener.local_addr().unwrap();
        let limit = Duration::from_secs(60);
        let (mut host, powered) = wake(sleeper.local_addr().unwrap(), probe, limit).await;
        assert_eq!(powered, Powered::Unreachable, "never taken for off");
        let boot = async {
            let mut packet = [0; 200];
            let length = sleeper.recv(&mut packet).await.unwrap();
            assert_eq!(packet[..length], magic_packet(MAC));
            // It boots: now somebody takes who waits.
            listener.set_nonblocking(true).unwrap();
            let listener = TcpListener::from_std(listener).unwrap();
            loop {
                listener.accept().await.unwrap();
            }
        };
        let outcome = tokio::select! {
            outcome = host.set(HostState::On) => outcome,
            () = boot => unreachable!("it accepts for ever"),
        };
        assert_eq!(outcome, ActionOutcome::Done(String::new()));
        drop(waiting);
    }

    #[tokio::test]
    async fn a_sleeper_that_does_not_wake_is_a_failure() {
        let sleeper = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (listener, _waiting) = silent().await;
        let probe = listener.local_addr().unwrap();
        let limit = Duration::from_millis(100);
        let (mut host, _) = wake(sleeper.local_addr().unwrap(), probe, limit).await;
        let outcome = host.set(HostState::On).await;
        assert_eq!(
            outcome,
            ActionOutcome::Failed(format!("woken, and {probe} does not answer after 0 s"))
        );
    }
}
