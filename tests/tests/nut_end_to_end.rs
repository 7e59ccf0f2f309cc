//! Real input and real work: two of NUT's `upsd` with dummy UPSes behind them, processes of two classes under two
//! agents, and a PDP. The mains goes, the batteries get low, the mains comes back.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use pdp_server::api::{ActivityStatus, Event, EventKind, ReserveStatus, Status};
use pdp_server::io::admin::AdminClient;
use pep_agent::io::local::{LocalAnswer, LocalRequest, ask};
use power_policy::model::{Mains, Phase};
use system_tests::nut::Nut;
use system_tests::process::{Program, program, wait_for};
use system_tests::work::Work;
use tempfile::TempDir;

/// How long a state may take to come; generous, for machines that have other work.
const PATIENCE: Duration = Duration::from_secs(60);
/// Priority of the class that is to live.
const HIGH: u16 = 900;
/// Priority of the class that is shed.
const LOW: u16 = 100;
/// Energy of each full battery: 100 Wh.
const CAPACITY_JOULES: u64 = 360_000;
/// Below it nothing is drawn: the 20 % of lead-acid.
const CUTOFF_JOULES: u64 = CAPACITY_JOULES / 5;
/// When the PDP takes a figure for stale, three reports with the period below, and some more.
const STALE_MILLIS: u64 = 5_000;

/// One node: a UPS with its upsd, an agent, and work of two classes.
struct Node {
    name: &'static str,
    // In this order they end: who could start work anew first.
    agent: Option<Program>,
    high: Work,
    low: Work,
    nut: Nut,
    folder: PathBuf,
}

impl Node {
    fn new(folder: &Path, name: &'static str) -> Result<Self> {
        let nut = Nut::start(name, &ups("OL CHRG", 80))?;
        let folder = folder.join(name);
        fs::create_dir(&folder)?;
        let mut high = Work::new(&folder, &format!("{name}-db"))?;
        let mut low = Work::new(&folder, &format!("{name}-batch"))?;
        high.start()?;
        low.start()?;
        Ok(Self {
            name,
            agent: None,
            high,
            low,
            nut,
            folder,
        })
    }

    fn config(&self) -> PathBuf {
        self.folder.join("agent.toml")
    }

    /// Starts the agent as it comes out of the box: it observes.
    fn start_agent(&mut self, pdp: SocketAddr) -> Result<()> {
        let manage = |work: &Work, qos: &str, watts: u32| {
            let (name, script) = (work.name(), work.script().display());
            format!(
                r#"
[[manage]]
name = "{name}"
cmdline = "*{script}"
qos = "{qos}"
watts = {watts}
stop_seconds = 5
start_seconds = 20
restartable = true
start = ["/bin/sh", "{script}"]
"#
            )
        };
        let text = format!(
            r#"
[agent]
name = "{name}"
state_dir = "state"
[pdp]
address = "{pdp}"
reading_seconds = 1
retry_max_seconds = 1
[[server]]
name = "{name}"
idle_watts = 40
peak_watts = 200
inlets = [{{ domain = "feed-a", max_watts = 300 }}]
[[reserve]]
driver = "nut"
ups = "{name}"
address = "{upsd}"
capacity_wh = 100
max_watts = 300
poll_seconds = 0.2
stale_seconds = 2
{high}{low}"#,
            name = self.name,
            upsd = self.nut.address(),
            high = manage(&self.high, "gold", 60),
            low = manage(&self.low, "bronze", 40),
        );
        fs::write(self.config(), text)?;
        let mut command = Command::new(program("pep-agent")?);
        command.arg("run").arg("--config").arg(self.config());
        self.agent = Some(Program::start(
            self.name,
            &mut command,
            &self.folder.join("agent.log"),
        )?);
        Ok(())
    }

    /// What the operator of the node types.
    fn arm(&self) -> Result<()> {
        let output = Command::new(program("pep-agent")?)
            .args(["arm", "--config"])
            .arg(self.config())
            .output()?;
        ensure!(output.status.success(), "pep-agent arm: {output:?}");
        Ok(())
    }

    /// What the agent says of itself, once it listens.
    async fn agent_status(&self) -> Option<pep_agent::node::Status> {
        match ask(&self.folder.join("state/agent.sock"), LocalRequest::Status {}).await {
            Ok(LocalAnswer::Status(status)) => Some(*status),
            _ => None,
        }
    }

    /// Waits until the agent gives its only reserve this state; its charge then, in joules.
    async fn until_reserve(&self, wanted: &str) -> Result<Option<u64>> {
        let what = format!("{}: its reserve is {wanted}", self.name);
        wait_for(&what, PATIENCE, async || {
            let reserve = self.agent_status().await?.reserves.pop()?;
            (reserve.state == wanted).then_some(reserve.charge_joules)
        })
        .await
    }

    fn log(&self) -> String {
        self.agent.as_ref().map(Program::log).unwrap_or_default()
    }
}

/// The variables of a UPS that gives its load as real power.
fn ups(status: &'static str, percent: u32) -> [(&'static str, &'static str); 3] {
    let charge = match percent {
        80 => "80",
        60 => "60",
        40 => "40",
        _ => "20.4",
    };
    [
        ("ups.status", status),
        ("battery.charge", charge),
        ("ups.realpower", "100"),
    ]
}

/// The cluster; everything ends and is removed when it is dropped.
struct Cluster {
    nodes: Vec<Node>,
    _pdp: Program,
    admin: AdminClient,
    address: SocketAddr,
    // Last: the others write into it.
    _folder: TempDir,
}

impl Cluster {
    /// Starts the PDP, and what each node has but its agent.
    async fn start(names: &[&'static str]) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("nut-cluster-").tempdir()?;
        let config = folder.path().join("pdp.toml");
        fs::write(
            &config,
            format!(
                r#"
[listen]
address = "127.0.0.1:0"
[journal]
path = "journal.sqlite"
[admin]
socket = "pdp.sock"
[[peer]]
name = "node-*"
armed = true
[qos.gold]
priority = {HIGH}
weight = 64
target_seconds = "forever"
[qos.bronze]
priority = {LOW}
weight = 1
target_seconds = 0
[[group]]
match = "qos_class"
pattern = "gold"
set = "gold"
[[group]]
match = "qos_class"
pattern = "bronze"
set = "bronze"
[policy]
debounce_milliseconds = 500
mains_good_seconds = 1
mains_good_max_seconds = 2
restart_stagger_seconds = 1
report_period_seconds = 1
[cops]
accounting_seconds = 1
"#
            ),
        )?;
        let mut command = Command::new(program("pdp-server")?);
        command.arg("run").arg("--config").arg(&config);
        let mut pdp = Program::start("pdp-server", &mut command, &folder.path().join("pdp.log"))?;
        let socket = folder.path().join("pdp.sock");
        pdp.wait_until("its admin socket", PATIENCE, || socket.exists())?;
        let admin = AdminClient::new(&socket);
        let status = wait_for("the PDP answers", PATIENCE, async || admin.status().await.ok()).await?;
        let nodes = names.iter().map(|name| Node::new(folder.path(), name));
        Ok(Self {
            nodes: nodes.collect::<Result<_>>()?,
            _pdp: pdp,
            admin,
            address: status.listen.parse()?,
            _folder: folder,
        })
    }

    fn set(&self, status: &'static str, percent: u32) -> Result<()> {
        self.nodes
            .iter()
            .try_for_each(|node| node.nut.set(&ups(status, percent)))
    }

    async fn until(&self, what: &str, mut holds: impl FnMut(&Status) -> bool) -> Result<Status> {
        wait_for(what, PATIENCE, async || {
            let status = self.admin.status().await.ok()?;
            holds(&status).then_some(status)
        })
        .await
    }

    /// All that there is to know, for whoever reads of a failure.
    async fn told(&self, error: anyhow::Error) -> anyhow::Error {
        let mut said = format!("{error}\n");
        if let Ok(status) = self.admin.status().await {
            said.push_str(&format!("{:#?}\n{:#?}\n", status.activities, status.reserves));
        }
        if let Ok(explained) = self.admin.explain().await {
            said.push_str(&explained.to_text());
        }
        for event in self.events(0).await.unwrap_or_default() {
            said.push_str(&format!(
                "{} ms {:?}: {}\n",
                event.at_millis, event.kind, event.text
            ));
        }
        for node in &self.nodes {
            said.push_str(&format!("\n{}:\n{}", node.name, node.log()));
        }
        anyhow::anyhow!(said)
    }

    /// The events after number `since`.
    async fn events(&self, since: u64) -> Result<Vec<Event>> {
        let last = self.admin.status().await?.last_event;
        let mut stream = self.admin.events(Some(since)).await?;
        let mut events: Vec<Event> = Vec::new();
        while events.last().map_or(since, |event| event.seq) < last {
            events.push(stream.next().await?.context("the PDP ended")?);
        }
        Ok(events)
    }
}

fn activity<'a>(status: &'a Status, work: &Work) -> Option<&'a ActivityStatus> {
    status
        .activities
        .iter()
        .find(|activity| activity.name == work.name())
}

fn is_running(status: &Status, work: &Work) -> bool {
    activity(status, work).is_some_and(|a| a.state == "running" && a.armed && !a.shed)
}

fn is_shed(status: &Status, work: &Work) -> bool {
    activity(status, work).is_some_and(|a| a.state == "stopped" && a.shed)
}

fn reserve<'a>(status: &'a Status, node: &Node) -> Option<&'a ReserveStatus> {
    status.reserves.iter().find(|reserve| reserve.pep == node.name)
}

fn mains(status: &Status, node: &Node) -> Option<Mains> {
    let server = status.servers.iter().find(|server| server.name == node.name);
    server.map(|server| server.mains)
}

/// The kinds that tell of an activity that was touched, or that something went wrong with one.
fn is_act(event: &Event) -> bool {
    matches!(
        event.kind,
        EventKind::Shed
            | EventKind::Restored
            | EventKind::Shift
            | EventKind::ActionDone
            | EventKind::ActionFailed
    )
}

#[tokio::test]
async fn a_low_class_makes_way_on_battery_and_all_runs_again_on_line() {
    let mut cluster = Cluster::start(&["node-1", "node-2"]).await.unwrap();
    if let Err(error) = ride(&mut cluster).await {
        panic!("{}", cluster.told(error).await);
    }
}

async fn ride(cluster: &mut Cluster) -> Result<()> {
    let address = cluster.address;
    for node in &mut cluster.nodes {
        node.start_agent(address)?;
    }
    cluster
        .until("all is reported, and nobody is armed there", |status| {
            status.peers.len() == 2
                && status
                    .peers
                    .iter()
                    .all(|p| p.connected && p.armed_here && !p.armed_there)
                && status.activities.len() == 4
                && status.activities.iter().all(|a| a.state == "running")
        })
        .await?;
    for node in &cluster.nodes {
        node.arm()?;
    }
    let quiet = cluster
        .until("both are armed and on line", |status| {
            status.peers.iter().all(|peer| peer.armed)
                && cluster.nodes.iter().all(|node| {
                    mains(status, node) == Some(Mains::Present)
                        && reserve(status, node).is_some_and(|reserve| reserve.armed && !reserve.simulated)
                        && is_running(status, &node.high)
                        && is_running(status, &node.low)
                })
        })
        .await?;
    ensure!(quiet.phase == Phase::Normal, "{:?}", quiet.phase);
    let first_high: Vec<_> = cluster.nodes.iter().map(|node| node.high.running()).collect();

    // On battery: the low class makes way, by SIGTERM; the high class does not notice.
    cluster.set("OB DISCHRG", 80)?;
    cluster
        .until("the low class is shed", |status| {
            status.phase == Phase::Interrupted && cluster.nodes.iter().all(|node| is_shed(status, &node.low))
        })
        .await?;
    for (node, first) in cluster.nodes.iter().zip(&first_high) {
        let record = node.low.record();
        ensure!(record.len() == 2 && record[1].ends_with("ended"), "{record:?}");
        ensure!(node.low.running().is_empty());
        ensure!(first.len() == 1 && node.high.running() == *first);
    }

    // One upsd is lost: what it said grows old. It is no empty battery, no mains that is back, and no new outage.
    let before = cluster
        .until("the plan is carried out", |status| {
            status.plan.as_ref().is_some_and(|plan| plan.outstanding == 0)
        })
        .await?;
    let charge = reserve(&before, &cluster.nodes[0])
        .context("reserve")?
        .charge_millijoules;
    cluster.nodes[0].nut.kill_daemon()?;
    let stale = cluster.nodes[0].until_reserve("stale, last discharging").await?;
    ensure!(stale.is_some_and(|joules| joules > CUTOFF_JOULES), "{stale:?}");
    let blind = cluster
        .until("its figure is old in the PDP too", |status| {
            reserve(status, &cluster.nodes[0]).is_some_and(|reserve| reserve.age_millis > STALE_MILLIS)
        })
        .await?;
    let held = reserve(&blind, &cluster.nodes[0]).context("reserve")?;
    // Counted down with its last power and a margin; 5 % of the battery are minutes of that.
    ensure!(
        held.charge_millijoules + CAPACITY_JOULES * 50 > charge,
        "{held:?}, before {charge}"
    );
    ensure!(blind.phase == Phase::Interrupted, "{:?}", blind.phase);
    ensure!(
        cluster
            .nodes
            .iter()
            .all(|node| is_running(&blind, &node.high) && is_shed(&blind, &node.low)),
        "{:#?}",
        blind.activities
    );
    let acts: Vec<Event> = cluster
        .events(before.last_event)
        .await?
        .into_iter()
        .filter(is_act)
        .collect();
    ensure!(acts.is_empty(), "{acts:#?}");
    cluster.nodes[0].nut.start_daemon()?;
    cluster.nodes[0].until_reserve("discharging").await?;

    // Low, but far above what stopping takes: the high class goes on.
    cluster.set("OB LB DISCHRG", 40)?;
    for node in &cluster.nodes {
        node.until_reserve("low").await?;
    }
    cluster
        .until("the PDP knows of the low batteries", |status| {
            status.reserves.iter().all(|reserve| {
                reserve.charge_millijoules <= CAPACITY_JOULES * 400 && reserve.age_millis < STALE_MILLIS
            })
        })
        .await?;
    // Then one of them comes near its end: its node stops what it runs, while it still can.
    cluster.nodes[0].nut.set(&ups("OB LB DISCHRG", 20))?;
    let ended = cluster
        .until("the first node stops its high class", |status| {
            is_shed(status, &cluster.nodes[0].high)
        })
        .await?;
    let record = cluster.nodes[0].high.record();
    ensure!(record.len() == 2 && record[1].ends_with("ended"), "{record:?}");
    ensure!(
        is_running(&ended, &cluster.nodes[1].high),
        "{:#?}",
        ended.activities
    );
    ensure!(cluster.nodes[1].high.running() == first_high[1]);

    // Back on line: everything runs again, started by the agents' own files.
    cluster.set("OL CHRG", 60)?;
    let back = cluster
        .until("all runs again", |status| {
            status.phase == Phase::Normal
                && cluster
                    .nodes
                    .iter()
                    .all(|node| is_running(status, &node.high) && is_running(status, &node.low))
        })
        .await?;
    for node in &cluster.nodes {
        let record = node.low.record();
        ensure!(record.len() == 3 && record[2].ends_with("began"), "{record:?}");
        ensure!(node.low.running().len() == 1 && node.high.running().len() == 1);
    }
    ensure!(cluster.nodes[1].high.record().len() == 1, "it was never touched");
    ensure!(
        back.counts.violations == 0,
        "{:#?}",
        cluster.admin.explain().await?.violations
    );

    let events = cluster.events(quiet.last_event).await?;
    let of = |kind: EventKind| events.iter().filter(move |event| event.kind == kind);
    ensure!(
        of(EventKind::Divert).next().is_none(),
        "nothing is diverted without a line"
    );
    ensure!(of(EventKind::ActionFailed).next().is_none(), "{events:#?}");
    // Those of the higher class first.
    let restored: Vec<&str> = of(EventKind::Restored)
        .map(|event| event.subject.as_str())
        .collect();
    ensure!(restored.len() == 3 && restored[0] == "node-1-db", "{restored:?}");
    Ok(())
}

#[tokio::test]
async fn a_missing_upsd_is_one_line_and_the_agent_goes_on() {
    let mut cluster = Cluster::start(&["node-1"]).await.unwrap();
    if let Err(error) = without_upsd(&mut cluster).await {
        panic!("{}", cluster.told(error).await);
    }
}

async fn without_upsd(cluster: &mut Cluster) -> Result<()> {
    let address = cluster.address;
    let node = &mut cluster.nodes[0];
    node.nut.kill_daemon()?;
    node.start_agent(address)?;
    let status = cluster
        .until("its work is reported all the same", |status| {
            status.activities.len() == 2 && status.activities.iter().all(|a| a.state == "running")
        })
        .await?;
    ensure!(status.phase == Phase::Normal, "no news is no outage");
    ensure!(
        mains(&status, &cluster.nodes[0]) == Some(Mains::Unknown),
        "{:?}",
        status.domains
    );
    let unread = wait_for("the agent knows its reserve", PATIENCE, async || {
        cluster.nodes[0].agent_status().await?.reserves.pop()
    })
    .await?;
    ensure!(
        unread.charge_joules.is_none() && unread.age_millis.is_none(),
        "{unread:?}"
    );

    let node = &mut cluster.nodes[0];
    node.nut.start_daemon()?;
    let read = node.until_reserve("charging").await?;
    ensure!(read == Some(CAPACITY_JOULES / 100 * 80), "{read:?}");
    let node = &cluster.nodes[0];
    cluster
        .until("the PDP knows its mains", |status| {
            mains(status, node) == Some(Mains::Present)
        })
        .await?;
    // Tried again many times meanwhile, and told once.
    let log = node.log();
    let said: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("cannot be read"))
        .collect();
    let upsd = node.nut.address().to_string();
    ensure!(said.len() == 1 && said[0].contains(&upsd), "{log}");
    Ok(())
}
