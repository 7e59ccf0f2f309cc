//! A PDP under load beside its floor: connection storm, steady state, flat out, a decision to all.
//!
//! Floor and PDP are measured one after the other at each size, so that both meet the machine as it is.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use pdp_server::api::CommandScope;
use pdp_server::io::admin::AdminClient;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::crew::{Crew, Figures, Latency, Load};
use super::peer::{Against, Control};
use super::report::{Cluster, Report, Side, Size};
use super::trigger::Trigger;
use super::{floor, machine};

/// How long a program may take to say where it listens.
const START: Duration = Duration::from_secs(30);
/// How often it is asked.
const ASK: Duration = Duration::from_millis(20);
/// How long an interruption of the cluster may take to be answered.
const INTERRUPT: Duration = Duration::from_secs(120);
/// How long processes get to come to rest before their memory is read.
const REST: Duration = Duration::from_millis(500);

/// What is measured.
#[derive(Debug, Clone)]
pub struct Plan {
    /// PEPs, smallest first.
    pub sizes: Vec<usize>,
    /// PEPs of the power client-type; none: not measured.
    pub cluster: Vec<usize>,
    /// Processes of the load.
    pub processes: usize,
    /// Length of the steady state.
    pub steady: Duration,
    /// Length of the time in which all ask as fast as they are answered.
    pub flat_out: Duration,
    /// Decisions to all, of either kind.
    pub decisions: usize,
    /// Milliseconds between two requests of a PEP, and two accounting reports, in the steady state.
    pub pace_millis: u64,
    /// The program `load`.
    pub program: PathBuf,
}

impl Plan {
    /// Few PEPs, for moments: that all of it works, not what it costs.
    #[must_use]
    pub fn short(program: PathBuf) -> Self {
        Self {
            sizes: vec![8, 24],
            cluster: vec![8],
            processes: 2,
            steady: Duration::from_millis(500),
            flat_out: Duration::from_millis(200),
            decisions: 1,
            pace_millis: 50,
            program,
        }
    }
}

/// Measures all of it. `say` is told what comes next.
///
/// # Errors
/// A program does not start, or a PEP is not served.
pub async fn run(plan: &Plan, mut say: impl FnMut(String)) -> Result<Report> {
    let mut report = Report {
        load_average: machine::load_average(),
        processors: std::thread::available_parallelism().map_or(0, usize::from),
        ..Report::default()
    };
    for &peps in &plan.sizes {
        say(format!("{peps} PEPs, floor"));
        let floor = side(plan, peps, Against::Floor).await?;
        say(format!("{peps} PEPs, PDP"));
        let pdp = side(plan, peps, Against::Load).await?;
        report.sizes.push(Size { peps, floor, pdp });
    }
    for &peps in &plan.cluster {
        say(format!("{peps} PEPs of the power client-type"));
        report.cluster.push(cluster(plan, peps).await?);
    }
    Ok(report)
}

/// A program that PEPs connect to; killed when dropped.
struct Target {
    process: Child,
    address: SocketAddr,
    admin: Option<AdminClient>,
    _folder: TempDir,
}

impl Target {
    async fn start(plan: &Plan, against: Against) -> Result<Self> {
        let folder = tempfile::tempdir().context("a folder")?;
        if against == Against::Floor {
            let mut process = Command::new(&plan.program)
                .arg("floor")
                .stdout(Stdio::piped())
                .kill_on_drop(true)
                .spawn()
                .context("starting the floor")?;
            let stdout = process.stdout.take().context("output of the floor")?;
            let line = timeout(START, BufReader::new(stdout).lines().next_line()).await;
            let line = line
                .context("address of the floor")??
                .context("address of the floor")?;
            return Ok(Self {
                process,
                address: line.parse().context("address of the floor")?,
                admin: None,
                _folder: folder,
            });
        }
        let config = folder.path().join("pdp.toml");
        std::fs::write(&config, pdp_file()).context("file of the PDP")?;
        let mut process = Command::new(&plan.program)
            .arg("pdp")
            .arg("--config")
            .arg(&config)
            .env("RUST_LOG", "warn")
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("starting the PDP")?;
        let admin = AdminClient::new(&folder.path().join("pdp.sock"));
        let address = listening(&mut process, &admin).await?;
        Ok(Self {
            process,
            address,
            admin: Some(admin),
            _folder: folder,
        })
    }

    fn pid(&self) -> Result<u32> {
        self.process.id().context("the program runs")
    }

    fn processor_nanos(&self) -> Result<u64> {
        machine::processor_nanos(self.pid()?)
    }

    fn crew(&self, plan: &Plan, peps: usize, against: Against) -> Result<Crew> {
        Crew::start(&Load {
            pdp: self.address,
            against,
            peps,
            processes: plan.processes,
            slow: 0,
            dead: 0,
            program: plan.program.clone(),
        })
    }
}

async fn listening(process: &mut Child, admin: &AdminClient) -> Result<SocketAddr> {
    let begun = Instant::now();
    loop {
        if let Ok(status) = admin.status().await {
            return status.listen.parse().context("address of the PDP");
        }
        if let Some(status) = process.try_wait().context("the PDP")? {
            bail!("the PDP ended ({status}) before it listened");
        }
        ensure!(begun.elapsed() < START, "the PDP does not answer");
        sleep(ASK).await;
    }
}

/// The file of a PDP that takes all PEPs of a load. Paths are beside it.
#[must_use]
pub fn pdp_file() -> String {
    r#"
name = "load"

[listen]
address = "127.0.0.1:0"
max_connections = 19000
max_unopened = 4096
max_unopened_per_address = 4096
open_timeout_seconds = 60

[cops]
keep_alive_seconds = 30
accounting_seconds = 10

[journal]
path = "journal.sqlite"

[admin]
socket = "pdp.sock"

[peer_default]
armed = true

[qos.gold]
priority = 300
weight = 8
target_seconds = 600
"#
    .to_owned()
}

fn millis(nanos: u64) -> f64 {
    nanos as f64 / 1e6
}

fn words(figures: &Figures) -> Vec<String> {
    figures
        .faults
        .iter()
        .map(|(fault, times)| format!("{times} times: {fault}"))
        .collect()
}

async fn side(plan: &Plan, peps: usize, against: Against) -> Result<Side> {
    let target = Target::start(plan, against).await?;
    let mut crew = target.crew(plan, peps, against)?;
    let each = peps as f64;
    let mut side = Side::default();

    // The processes are there before the clock is read.
    crew.look().await?;
    let (resident, processor) = (
        machine::resident_octets(target.pid()?)?,
        target.processor_nanos()?,
    );
    let begun = machine::now_nanos();
    let mut seen = crew.connect().await?;
    side.storm_millis = millis(seen.at_nanos - begun);
    sleep(REST).await;
    side.storm_processor_micros = (target.processor_nanos()? - processor) as f64 / 1e3 / each;
    let resident_now = machine::resident_octets(target.pid()?)?;
    side.resident_octets = resident_now.saturating_sub(resident) as f64 / each;
    side.opening = Latency::from(&seen.opening);

    let (steady, figures) = steady_state(plan, &target, &mut crew).await?;
    side.steady_seconds = plan.steady.as_secs_f64();
    side.steady_processor_millis = steady;
    side.asking = Latency::from(&figures.asking);
    seen.merge(figures);

    crew.control(Control {
        flat_out: true,
        ..Control::default()
    })
    .await?;
    let (processor, begun) = (target.processor_nanos()?, Instant::now());
    crew.look().await?;
    sleep(plan.flat_out).await;
    let figures = crew.look().await?;
    let requests = figures.asking.len() as f64;
    side.flat_out_a_second = requests / begun.elapsed().as_secs_f64();
    side.flat_out_processor_micros = (target.processor_nanos()? - processor) as f64 / 1e3 / requests;
    crew.control(Control::default()).await?;
    // What was asked is answered, and answered for.
    sleep(REST).await;
    seen.merge(figures);
    seen.merge(crew.look().await?);

    let octets = floor::decision_octets()? as u64;
    for _ in 0..plan.decisions {
        crew.control(Control {
            hold: true,
            ..Control::default()
        })
        .await?;
        sleep(REST).await;
        let trigger = Trigger::connect(target.address).await?;
        let processor = target.processor_nanos()?;
        let pulled = trigger.pull().await?;
        let at = pulled.at_nanos;
        let figures = crew.octets(octets).await?;
        side.written_millis.push(millis(figures.at_nanos - at));
        side.written_processor_micros
            .push((target.processor_nanos()? - processor) as f64 / 1e3 / each);
        crew.control(Control::default()).await?;
        pulled.all_reported().await?;
        seen.merge(figures);
        seen.merge(crew.look().await?);
    }
    for _ in 0..plan.decisions {
        sleep(REST).await;
        let pulled = Trigger::connect(target.address).await?.pull().await?;
        let at = pulled.at_nanos;
        side.reported_millis.push(millis(pulled.all_reported().await?));
        let figures = crew.look().await?;
        side.read_millis
            .push(millis(figures.last_decision_nanos.saturating_sub(at)));
        seen.merge(figures);
    }
    side.faults = words(&seen);
    ensure!(
        seen.open == peps as u64,
        "{} of {peps} PEPs are served: {}",
        seen.open,
        side.faults.join("; ")
    );
    Ok(side)
}

/// Keep-alives, accounting and requests at a pace: milliseconds on the processors for a second of it, and what was seen.
async fn steady_state(plan: &Plan, target: &Target, crew: &mut Crew) -> Result<(f64, Figures)> {
    let steady = Control {
        pace_millis: Some(plan.pace_millis),
        accounting_millis: Some(plan.pace_millis.max(10_050)),
        ..Control::default()
    };
    crew.control(steady).await?;
    crew.look().await?;
    let (processor, begun) = (target.processor_nanos()?, Instant::now());
    sleep(plan.steady).await;
    let figures = crew.look().await?;
    let spent = (target.processor_nanos()? - processor) as f64 / 1e6;
    let a_second = spent / begun.elapsed().as_secs_f64();
    crew.control(Control::default()).await?;
    Ok((a_second, figures))
}

async fn cluster(plan: &Plan, peps: usize) -> Result<Cluster> {
    let target = Target::start(plan, Against::Power).await?;
    let mut crew = target.crew(plan, peps, Against::Power)?;
    crew.look().await?;
    let resident = machine::resident_octets(target.pid()?)?;
    let begun = machine::now_nanos();
    let mut seen = crew.connect().await?;
    let storm_millis = millis(seen.at_nanos - begun);
    sleep(REST).await;
    let resident_now = machine::resident_octets(target.pid()?)?;
    let resident_octets = resident_now.saturating_sub(resident) as f64 / peps as f64;
    let (steady_processor_millis, figures) = steady_state(plan, &target, &mut crew).await?;
    let asking = Latency::from(&figures.asking);
    seen.merge(figures);

    let admin = target.admin.clone().context("an admin socket")?;
    let begun = machine::now_nanos();
    let answer = timeout(INTERRUPT, admin.interrupt("load", CommandScope::Cluster)).await;
    let interrupt_millis = matches!(answer, Ok(Ok(_))).then(|| millis(machine::now_nanos() - begun));
    let mut decisions = 0;
    let mut last = 0;
    let waiting = Instant::now();
    // Each PEP is told of the plan.
    while interrupt_millis.is_some() && decisions < peps as u64 && waiting.elapsed() < INTERRUPT {
        sleep(REST).await;
        let figures = crew.look().await?;
        decisions += figures.decisions;
        last = figures.last_decision_nanos;
        seen.merge(figures);
    }
    Ok(Cluster {
        peps,
        storm_millis,
        resident_octets,
        asking,
        steady_processor_millis,
        interrupt_millis,
        read_millis: (decisions >= peps as u64).then(|| millis(last.saturating_sub(begun))),
        faults: words(&seen),
    })
}

/// Writes the report into a folder: `pdp.txt` and `pdp.json`.
///
/// # Errors
/// It cannot be written.
pub fn write(report: &Report, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let json = serde_json::to_string_pretty(report).context("the report")?;
    for (name, text) in [("pdp.txt", report.text()), ("pdp.json", json)] {
        let file = folder.join(name);
        std::fs::write(&file, text).with_context(|| file.display().to_string())?;
    }
    Ok(())
}
