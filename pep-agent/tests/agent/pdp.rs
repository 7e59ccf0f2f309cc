//! A scripted PDP: the codec's session on a TCP socket, one task a connection. It answers every REQ with NULL, and
//! installs what a test says.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cops_codec::client_type::numbers::POWER_CLIENT_TYPE;
use cops_codec::client_type::power::{Activity, ActivityState, Domain, Mains};
use cops_codec::client_type::store::{ReportedRows, RowLimits, RowTable};
use cops_codec::limits::Limits;
use cops_codec::message::{Decision, DecisionBody};
use cops_codec::provisioning::Contents;
use cops_codec::session::Moment;
use cops_codec::session::pdp::{Acceptance, PdpCommand, PdpConfig, PdpEvent, PdpSession, Synchronize};
use cops_codec::tokio_codec::CopsCodec;
use cops_codec::wire::{AccountingTimer, ClientHandle, Context, KaTimer, ReportType};
use futures::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};

/// Longest that a test waits for a state before it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What the PDP knows of one PEP.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) rows: ReportedRows,
    pub(crate) connected: bool,
    /// Connections so far.
    pub(crate) connections: usize,
    /// How many REQs told the full state.
    pub(crate) full_requests: usize,
    /// What the first REQ of each connection said of the mains, and how many activities it called absent.
    pub(crate) first_words: Vec<(Option<Mains>, usize)>,
    /// Whether the PEP said CC itself.
    pub(crate) said_goodbye: bool,
    pub(crate) accounting_reports: usize,
    pub(crate) failures: usize,
    pub(crate) successes: usize,
    commands: Option<mpsc::UnboundedSender<Vec<Decision>>>,
}

impl Peer {
    /// The rows that it reports.
    pub(crate) fn table(&self) -> &RowTable {
        self.rows.rows()
    }
}

type Peers = Arc<Mutex<BTreeMap<String, Peer>>>;

/// A PDP on a port of the system's choice.
pub(crate) struct TestPdp {
    pub(crate) address: SocketAddr,
    peers: Peers,
    changed: watch::Receiver<u64>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Drop for TestPdp {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl TestPdp {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let peers = Peers::default();
        let (tell, changed) = watch::channel(0_u64);
        let known = Arc::clone(&peers);
        let accepting = tokio::spawn(async move {
            let tell = Arc::new(tell);
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(serve(stream, address, Arc::clone(&known), Arc::clone(&tell)));
            }
        });
        Self {
            address,
            peers,
            changed,
            accepting,
        }
    }

    /// Looks at a PEP; `None` if it never came.
    pub(crate) fn peer<T>(&self, name: &str, look: impl FnOnce(&Peer) -> T) -> Option<T> {
        self.peers.lock().unwrap().get(name).map(look)
    }

    /// Waits until what is seen of a PEP is so.
    pub(crate) async fn until(&mut self, name: &str, what: &str, is_so: impl Fn(&Peer) -> bool) {
        let waited = async {
            while !self.peer(name, &is_so).unwrap_or(false) {
                self.changed.changed().await.unwrap();
            }
        };
        if timeout(PATIENCE, waited).await.is_err() {
            let rows = self.peer(name, |peer| {
                peer.table()
                    .iter()
                    .map(|r| format!("{r:?}\n"))
                    .collect::<String>()
            });
            panic!(
                "{name}: waited in vain for {what}; it reports\n{}",
                rows.unwrap_or_else(|| "nothing".into())
            );
        }
    }

    /// Sends an unsolicited DEC.
    pub(crate) fn push(&self, name: &str, decisions: Vec<Decision>) {
        let peers = self.peers.lock().unwrap();
        peers[name].commands.as_ref().unwrap().send(decisions).unwrap();
    }
}

async fn serve(stream: TcpStream, own: SocketAddr, peers: Peers, tell: Arc<watch::Sender<u64>>) {
    let begun = Instant::now();
    let now = || Moment(u64::try_from(begun.elapsed().as_millis()).unwrap());
    let own = cops_codec::wire::PdpAddress {
        address: own.ip(),
        port: own.port(),
    };
    let mut framed = CopsCodec::connection(stream, Limits::DEFAULT);
    let mut session = PdpSession::new(PdpConfig::new(vec![POWER_CLIENT_TYPE], vec![own]), now());
    let (command, mut commands) = mpsc::unbounded_channel();
    let mut name = String::new();
    let mut handle: Option<ClientHandle> = None;
    // Pushes wait while a REQ is open, as RFC 2748 3.2 wants it.
    let mut pushes = std::collections::VecDeque::new();
    loop {
        while let Some(event) = session.poll_event() {
            take(
                &mut session,
                now(),
                event,
                &peers,
                &mut name,
                &mut handle,
                &command,
            );
            tell.send_modify(|version| *version += 1);
        }
        if let (Some(known), Some(decisions)) = (&handle, pushes.front()) {
            let push = PdpCommand::Push {
                client_type: POWER_CLIENT_TYPE,
                handle: known.clone(),
                decisions: Vec::clone(decisions),
            };
            if session.handle_command(now(), push).is_ok() {
                pushes.pop_front();
            }
        }
        while let Some(frame) = session.poll_transmit() {
            if framed.send(frame).await.is_err() {
                break;
            }
        }
        if session.is_closed() {
            break;
        }
        let due = session.poll_timeout();
        let due = async {
            match due {
                Some(at) => sleep_until(begun + Duration::from_millis(at.0)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            frame = framed.next() => match frame {
                Some(Ok(frame)) => session.handle_frame(now(), Ok(frame)).unwrap(),
                _ => session.handle_disconnect(now()),
            },
            Some(decisions) = commands.recv() => pushes.push_back(decisions),
            () = due => session.handle_timeout(now()),
        }
    }
    if let Some(peer) = peers.lock().unwrap().get_mut(&name) {
        peer.connected = false;
    }
    tell.send_modify(|version| *version += 1);
}

fn take(
    session: &mut PdpSession,
    now: Moment,
    event: PdpEvent,
    peers: &Peers,
    name: &mut String,
    handle: &mut Option<ClientHandle>,
    command: &mpsc::UnboundedSender<Vec<Decision>>,
) {
    let mut peers = peers.lock().unwrap();
    match event {
        PdpEvent::OpenRequested {
            client_type, pep_id, ..
        } => {
            *name = pep_id.as_str().to_owned();
            let peer = peers.entry(name.clone()).or_insert_with(|| Peer {
                rows: ReportedRows::new(RowLimits::DEFAULT),
                connected: false,
                connections: 0,
                full_requests: 0,
                first_words: Vec::new(),
                said_goodbye: false,
                accounting_reports: 0,
                failures: 0,
                successes: 0,
                commands: None,
            });
            peer.rows = ReportedRows::new(RowLimits::DEFAULT);
            peer.connected = true;
            peer.connections += 1;
            peer.said_goodbye = false;
            peer.commands = Some(command.clone());
            let acceptance = Acceptance {
                accounting_timer: Some(AccountingTimer(1)),
                synchronize: Synchronize::WhenNeeded,
                ..Acceptance::new(client_type, KaTimer(30))
            };
            session
                .handle_command(now, PdpCommand::Accept(acceptance))
                .unwrap();
        }
        PdpEvent::Request { request, message, .. } => {
            let peer = peers.get_mut(name).unwrap();
            let octets: Vec<_> = message.client_si.iter().map(|si| si.contents().clone()).collect();
            let contents: Vec<_> = octets
                .iter()
                .map(|octets| Contents { octets, offset: 0 })
                .collect();
            // An incremental REQ for a state that is not known here: the SSQ that was sent brings the whole.
            if let Ok(applied) = peer.rows.apply(&contents) {
                peer.full_requests += usize::from(applied.full_state);
                if peer.first_words.len() < peer.connections {
                    let mains = peer.table().only::<Domain>().map(|row| row.mains);
                    let is_absent = |row: &&Activity| row.state == ActivityState::Absent;
                    let absent = peer.table().all::<Activity>().filter(is_absent).count();
                    peer.first_words.push((mains, absent));
                }
            }
            *handle = Some(message.handle.clone());
            let body = DecisionBody::Decisions(vec![Decision::null(Context::CONFIGURATION)]);
            let decide = PdpCommand::Decide {
                client_type: POWER_CLIENT_TYPE,
                handle: message.handle,
                request,
                body,
            };
            session.handle_command(now, decide).unwrap();
        }
        PdpEvent::Report { report_type, .. } => {
            let peer = peers.get_mut(name).unwrap();
            match report_type {
                ReportType::ACCOUNTING => peer.accounting_reports += 1,
                ReportType::FAILURE => peer.failures += 1,
                _ => peer.successes += 1,
            }
        }
        PdpEvent::ClientClosed { cause, .. } => {
            if let Some(peer) = peers.get_mut(name) {
                peer.connected = false;
                peer.said_goodbye = format!("{cause:?}").contains("Peer");
                peer.commands = None;
            }
        }
        _ => {}
    }
}
