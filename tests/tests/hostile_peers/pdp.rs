//! The real `pdp-server` under attack, with well-behaved peers beside the attacker: one made of the codec, which counts
//! every answer that is due to it, and a real agent.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use cops_codec::client_type::framework::{AdminString, DeviceId, Longevity, PibIncarnation, PrcSupport};
use cops_codec::client_type::store::{InstalledRows, RowLimits, build};
use cops_codec::client_type::{Bounded, Row};
use cops_codec::limits::Limits;
use cops_codec::message::{Message, Request};
use cops_codec::provisioning::InstanceId;
use cops_codec::wire::{ClientHandle, ClientSi, ClientType, Context};
use system_tests::cluster_run::{ClusterOptions, PATIENCE, PdpRun};
use system_tests::process::{Program, program, wait_for};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::octets;
use super::script::{Answer, Case, Honest, Peer, Step, judge};

/// A PDP, and who must not notice that it is attacked.
pub(crate) struct Attacked {
    pub(crate) pdp: PdpRun,
    bystander: Bystander,
    agent: Program,
    /// The agent's connection as the PDP saw it first.
    agent_address: String,
    _folder: tempfile::TempDir,
}

/// Further lines of `[listen]`, short so that what waits for a time-out does not take long.
pub(crate) const SHORT: &str = "write_timeout_seconds = 3\nframe_timeout_seconds = 3\n\
                         max_unopened_per_address = 40\nmax_connections_per_address = 200";

impl Attacked {
    /// With these further lines of `[listen]`; strangers have three seconds.
    pub(crate) async fn start(listen: &str) -> Self {
        Self::start_with(3, listen).await
    }

    pub(crate) async fn start_with(open_timeout_seconds: u64, listen: &str) -> Self {
        Self::of(&ClusterOptions {
            open_timeout_seconds,
            listen: listen.to_owned(),
            clock_scale: 1,
            ..ClusterOptions::default()
        })
        .await
    }

    pub(crate) async fn start_kept_alive(keep_alive_seconds: u16) -> Self {
        Self::of(&ClusterOptions {
            keep_alive_seconds,
            clock_scale: 1,
            ..ClusterOptions::default()
        })
        .await
    }

    async fn of(options: &ClusterOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut pdp = PdpRun::start(folder.path(), options).await.unwrap();
        let agent = start_agent(folder.path(), pdp.address());
        let status = pdp
            .until("the agent is there", |status| {
                status.peers.iter().any(|p| p.name == "s1" && p.connected)
            })
            .await
            .unwrap();
        let agent_address = address_of_agent(&status);
        let bystander = Bystander::start(pdp.address());
        Self {
            pdp,
            bystander,
            agent,
            agent_address,
            _folder: folder,
        }
    }

    /// Memory of the PDP's process that is resident.
    pub(crate) fn resident_kibibytes(&self) -> u64 {
        let file = format!("/proc/{}/status", self.pdp.pid().unwrap());
        let status = std::fs::read_to_string(file).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    pub(crate) async fn connect(&self) -> Peer {
        let stream = TcpStream::connect(self.pdp.address()).await.unwrap();
        Peer::new(stream, Honest::Pep)
    }

    /// One row: its steps on a connection of their own, then the well-behaved peer's next answers.
    async fn row(&mut self, case: &Case) -> Result<(), String> {
        let mut peer = self.connect().await;
        peer.play(&case.steps).await?;
        self.unharmed().await
    }

    /// The PDP lives, and the well-behaved peer gets its answers.
    pub(crate) async fn unharmed(&mut self) -> Result<(), String> {
        self.bystander.next_answers().await
    }

    /// All rows of a table, and then what the well-behaved peers have noticed.
    pub(crate) async fn play(mut self, table: &str, cases: &[Case]) {
        let mut results = Vec::new();
        for case in cases {
            results.push((case, self.row(case).await));
        }
        judge(table, &results);
        self.have_noticed_nothing().await;
    }

    /// The agent's connection is still its first one, and the other's too.
    pub(crate) async fn have_noticed_nothing(mut self) {
        self.bystander.next_answers().await.unwrap();
        let status = self.pdp.until("an answer", |_| true).await.unwrap();
        assert_eq!(
            address_of_agent(&status),
            self.agent_address,
            "the agent stays connected"
        );
        assert!(self.agent.ended().unwrap().is_none(), "the agent lives");
        self.pdp.terminate().unwrap();
    }
}

fn address_of_agent(status: &pdp_server::api::Status) -> String {
    status
        .peers
        .iter()
        .find(|p| p.name == "s1" && p.connected)
        .map(|p| format!("{:?}", p.address))
        .unwrap_or_else(|| "gone".to_owned())
}

fn start_agent(folder: &Path, pdp: SocketAddr) -> Program {
    let file = include_str!("../../../pep-agent/examples/simulated-node.toml")
        .replace("127.0.0.1:3288", &pdp.to_string());
    let path = folder.join("agent.toml");
    std::fs::write(&path, file).unwrap();
    let mut command = Command::new(program("pep-agent").unwrap());
    command
        .current_dir(folder)
        .args(["run", "--config", "agent.toml"]);
    Program::start("agent", &mut command, &folder.join("agent.log")).unwrap()
}

/// A full-state REQ of a PEP that reports nothing but itself, under this handle.
pub(crate) fn honest_request(handle: u32) -> Vec<u8> {
    let opening = PibIncarnation::opening(Longevity::ExpireOnTimeout, 86_400);
    let held = InstalledRows::new(RowLimits::DEFAULT, opening.clone()).held(false);
    let mut rows = vec![Row::from(held)];
    rows.extend(PrcSupport::all().into_iter().map(Row::from));
    rows.push(Row::from(DeviceId {
        instance: InstanceId::FIRST,
        descr: AdminString::new("well-behaved").unwrap(),
        max_msg: Bounded::clamped(65_536),
        max_contexts: Bounded::clamped(1),
    }));
    let request = Request {
        client_type: ClientType(octets::POWER),
        handle: ClientHandle::from(handle),
        context: Context::CONFIGURATION,
        in_interface: None,
        out_interface: None,
        client_si: build::request(&opening, [], &rows)
            .into_iter()
            .map(ClientSi::Named)
            .collect::<Vec<_>>(),
        lpdp_decisions: Vec::new(),
        integrity: None,
    };
    let frame: Bytes = Message::from(request)
        .encode(&Limits::DEFAULT)
        .unwrap()
        .into_octets();
    frame.to_vec()
}

/// Opens a session as an honest PEP does, and has its first REQ answered and reported on.
pub(crate) fn established(name: &str) -> Vec<Step> {
    vec![
        Step::Send(octets::open(name)),
        Step::Expect(Answer::Accept(octets::POWER)),
        Step::Send(honest_request(1)),
        Step::Expect(Answer::Null),
        Step::Send(octets::message_of(
            0x11,
            octets::op::RPT,
            octets::POWER,
            &[octets::handle(&[0, 0, 0, 1]), octets::report_type(1)],
        )),
    ]
}

/// OPN and CAT.
pub(crate) fn opened(name: &str) -> Vec<Step> {
    vec![
        Step::Send(octets::open(name)),
        Step::Expect(Answer::Accept(octets::POWER)),
    ]
}

/// KA, and its echo as the very next message: nothing was said before it, and the connection works.
pub(crate) fn alive() -> [Step; 2] {
    [Step::Send(octets::keep_alive()), Step::Expect(Answer::KeepAlive)]
}

/// A well-behaved PEP: keep-alives and REQs, one after the other, for ever, each answered.
struct Bystander {
    rounds: Arc<AtomicU64>,
    noticed: watch::Receiver<Option<String>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Bystander {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Bystander {
    fn start(pdp: SocketAddr) -> Self {
        let rounds = Arc::new(AtomicU64::new(0));
        let (tell, noticed) = watch::channel(None);
        let counted = Arc::clone(&rounds);
        let task = tokio::spawn(async move {
            let Err(error) = behave(pdp, &counted).await;
            let _ = tell.send(Some(error));
        });
        Self {
            rounds,
            noticed,
            task,
        }
    }

    /// Waits until a KA and a REQ that it sends from now on are answered.
    async fn next_answers(&self) -> Result<(), String> {
        // One may be under way.
        let wanted = self.rounds.load(Ordering::Relaxed) + 2;
        wait_for("answers to the well-behaved peer", PATIENCE, async || {
            let done = self.rounds.load(Ordering::Relaxed) >= wanted || self.noticed.borrow().is_some();
            done.then_some(())
        })
        .await
        .map_err(|error| error.to_string())?;
        match self.noticed.borrow().as_ref() {
            None => Ok(()),
            Some(noticed) => Err(format!("the well-behaved peer noticed: {noticed}")),
        }
    }
}

async fn behave(pdp: SocketAddr, rounds: &AtomicU64) -> Result<std::convert::Infallible, String> {
    let stream = TcpStream::connect(pdp).await.map_err(|e| e.to_string())?;
    let mut peer = Peer::new(stream, Honest::Pep);
    peer.play(&established("well-behaved")).await?;
    let steps = established("well-behaved").split_off(2);
    loop {
        peer.play(&alive()).await?;
        peer.play(&steps).await?;
        rounds.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}
