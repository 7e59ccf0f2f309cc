//! The demo: a plant, a PDP and an agent a server ride through a power interruption, as real processes on loopback.
//!
//! The runner fails the plant's mains and prints what the PDP says. It knows no server, no set and no figure: those stand
//! in the files of `tests/demo/`.

mod cluster;
pub mod plot;
mod report;
mod screen;
mod stop;
pub mod summary;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use pdp_server::api::Status;
use power_policy::model::Phase;

use self::cluster::Cluster;
use self::report::{Outcome, Report};
use self::screen::Screen;
use self::stop::StopSignals;

/// How the demo is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Folder with `plant.toml`, `pdp.toml` and the agents' files.
    pub config: PathBuf,
    /// Folder that gets the run's files and its report; what an earlier run left there is replaced.
    pub report: PathBuf,
    /// How much faster than the world the simulated electricity runs.
    pub clock_scale: u32,
    /// Records the COPS traffic into this file, for Wireshark.
    pub capture: Option<PathBuf>,
    /// Prints plain lines and no progress display.
    pub plain: bool,
}

/// How long the first domain alone is without mains, in milliseconds of the plant's time.
const FIRST_DOMAIN_ALONE_MILLIS: u64 = 120_000;
/// The mains returns when so little of what could be drawn at first is left, in percent.
const RETURN_BELOW_PERCENT: u64 = 25;
/// Longest real time that a part of the run may take before the demo gives up.
const START_WITHIN: Duration = Duration::from_secs(30);
const DWINDLE_WITHIN: Duration = Duration::from_secs(120);
const RESTORE_WITHIN: Duration = Duration::from_secs(40);

/// Runs the demo; the error says what went against the promise of the software.
///
/// # Errors
/// A program failed, or the run did not show what it has to show.
pub async fn run(options: &Options) -> Result<()> {
    let began = Instant::now();
    // Before anything is started: what is started must not outlive a stop in that very moment.
    let mut stop = StopSignals::listen().context("signals")?;
    let mut screen = Screen::new(options.plain);
    screen.say("starting a plant, a PDP and the agents");
    let mut cluster = tokio::select! {
        cluster = Cluster::start(options) => match cluster {
            Ok(cluster) => cluster,
            Err(error) => return Err(stop.explain(error).await),
        },
        signal = stop.next() => return Err(stop::interrupted(signal)),
    };
    let result = tokio::select! {
        result = ride(&mut cluster, &mut screen) => result,
        signal = stop.next() => Err(stop::interrupted(signal)),
    };
    screen.finish();
    let outcome = match result {
        Ok(outcome) => outcome,
        Err(error) => {
            // A terminal's Ctrl-C goes to every program of the demo, and their ends may be seen first.
            let error = stop.explain(error).await;
            if error.is::<stop::Interrupted>() {
                cluster.stop();
                return Err(error);
            }
            // What an engineer wants to see first.
            if let Ok(explanation) = cluster.admin().explain().await {
                let _ = std::fs::write(options.report.join("explain.txt"), explanation.to_text());
            }
            if let Ok(status) = cluster.admin().status().await {
                let _ = std::fs::write(
                    options.report.join("status.json"),
                    serde_json::to_vec_pretty(&status)?,
                );
            }
            cluster.stop();
            let logs = options.report.join("run").display().to_string();
            return Err(error.context(format!(
                "the demo did not come to its end; the programs' logs are in {logs}"
            )));
        }
    };
    cluster.stop();
    let report = Report::new(outcome);
    report.write(&options.report)?;
    println!("{}", report.table());
    println!(
        "report in {} (run.svg is the plot), {} s",
        options.report.display(),
        began.elapsed().as_secs()
    );
    let faults = report.faults();
    ensure!(
        faults.is_empty(),
        "the run did not show what it has to show:\n  {}",
        faults.join("\n  ")
    );
    Ok(())
}

/// From the first loss of mains to the last restart.
async fn ride(cluster: &mut Cluster, screen: &mut Screen) -> Result<Outcome> {
    let mut events = cluster.admin().events(Some(0)).await?;
    let ready = watch(
        cluster,
        screen,
        &mut events,
        START_WITHIN,
        "every agent has reported and holds a plan",
        {
            let agents = cluster.agent_count();
            move |status| is_ready(status, agents)
        },
    )
    .await?;
    let classes: BTreeMap<String, u16> = ready
        .activities
        .iter()
        .filter_map(|a| Some((a.name.clone(), a.priority?)))
        .collect();
    let before = ready.activities.iter().filter(|a| a.state == "running").count();
    let drawable_at_first = drawable(&ready).max(1);

    let domains = cluster.plant().names().await?.domains;
    let (first, others) = domains
        .split_first()
        .context("a plant without mains cannot lose it")?;
    screen.headline(&format!("the mains of {first} fails"));
    cluster.plant().fail_mains(first.as_str()).await?;
    let alone_until = cluster.plant().ledger().await?.at_millis + FIRST_DOMAIN_ALONE_MILLIS;
    follow(cluster, screen, &mut events, alone_until).await?;

    if !others.is_empty() {
        screen.headline(&format!("the mains of {} fails too", others.join(", ")));
        for domain in others {
            cluster.plant().fail_mains(domain.as_str()).await?;
        }
    }
    watch(
        cluster,
        screen,
        &mut events,
        DWINDLE_WITHIN,
        "the reserves dwindle to the last activity",
        move |status| {
            let running = status.activities.iter().filter(|a| a.state == "running").count();
            let left = drawable(status) * 100 / drawable_at_first;
            running == 0 || (running == 1 && left < RETURN_BELOW_PERCENT)
        },
    )
    .await?;

    screen.headline("the mains returns everywhere");
    let at_return = cluster.plant().activities().await?;
    let unmanaged = cluster.plant().unmanaged().await?;
    let ledger_at_return = cluster.plant().ledger().await?;
    for domain in &domains {
        cluster.plant().restore_mains(domain.as_str()).await?;
    }
    let after = watch(
        cluster,
        screen,
        &mut events,
        RESTORE_WITHIN,
        "everything runs again",
        move |status| {
            let running = status.activities.iter().filter(|a| a.state == "running").count();
            status.phase == Phase::Normal && running == before
        },
    )
    .await?;

    Ok(Outcome {
        plant: cluster.plant_config().clone(),
        classes,
        at_return,
        unmanaged: *unmanaged,
        ledger_at_return: *ledger_at_return,
        ledger: *cluster.plant().ledger().await?,
        history: *cluster.plant().history().await?,
        status: after,
        events: screen.take_events(),
    })
}

/// Energy above the cut-offs.
fn drawable(status: &Status) -> u64 {
    status
        .reserves
        .iter()
        .map(|r| r.charge_millijoules.saturating_sub(r.cutoff_millijoules))
        .sum()
}

fn is_ready(status: &Status, agents: usize) -> bool {
    let connected = status.peers.iter().filter(|p| p.connected).count();
    let hold_it = status
        .peers
        .iter()
        .all(|p| p.acknowledged == p.generation && p.acknowledged > 0);
    connected >= agents && status.plan.is_some() && hold_it
}

/// Prints events until `holds` says so of the status.
async fn watch(
    cluster: &mut Cluster,
    screen: &mut Screen,
    events: &mut pdp_server::io::admin::EventStream,
    within: Duration,
    what: &str,
    holds: impl Fn(&Status) -> bool,
) -> Result<Status> {
    let deadline = Instant::now() + within;
    loop {
        let status = step(cluster, screen, events).await?;
        if holds(&status) {
            return Ok(status);
        }
        if Instant::now() > deadline {
            bail!("not within {within:?}: {what}");
        }
    }
}

/// Prints events until the plant's clock has come so far.
async fn follow(
    cluster: &mut Cluster,
    screen: &mut Screen,
    events: &mut pdp_server::io::admin::EventStream,
    until_millis: u64,
) -> Result<()> {
    while cluster.plant().ledger().await?.at_millis < until_millis {
        step(cluster, screen, events).await?;
    }
    Ok(())
}

/// How often the status is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

async fn step(
    cluster: &mut Cluster,
    screen: &mut Screen,
    events: &mut pdp_server::io::admin::EventStream,
) -> Result<Status> {
    cluster.check_alive()?;
    let look = tokio::time::sleep(LOOK_EVERY);
    tokio::pin!(look);
    loop {
        tokio::select! {
            event = events.next() => match event? {
                // What is lost would be missing in the report.
                Some(_) if events.lost() > 0 => bail!("{} events were lost", events.lost()),
                Some(event) => screen.event(event),
                None => bail!("the PDP has ended"),
            },
            () = &mut look => break,
        }
    }
    let status = cluster.admin().status().await?;
    screen.progress(&status);
    Ok(status)
}

/// The default folder of the demo's files.
pub fn default_config() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("demo")
}
