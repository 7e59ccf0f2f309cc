//! A process of many PEPs: takes commands from its standard input and answers on its standard output, a line of JSON each.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::sync::{Semaphore, watch};
use tokio::task::LocalSet;

use super::machine::now_nanos;
use super::peer::{self, Against, Control, Kind, Shared};

/// PEPs that connect at one time: more only fill the backlog of the listener.
const CONNECTING: usize = 256;
/// How often a socket is looked at whose octets have not come.
const LOOK: Duration = Duration::from_micros(500);

/// What a worker is started with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Share {
    /// Where the PDP listens.
    pub pdp: SocketAddr,
    /// What it is.
    pub against: Against,
    /// Number of this process, from 1.
    pub process: u8,
    /// Numbers of its PEPs: the first, and how many.
    pub first: usize,
    /// How many.
    pub peps: usize,
    /// The first of them that read late.
    pub slow: usize,
    /// The next of them that are dead.
    pub dead: usize,
}

/// A command.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Connect all; answered when each is open or has failed.
    Connect,
    /// Behave like this from now on; answered when they were told.
    Control(Control),
    /// What was seen since this was last asked.
    Look,
    /// Wait, without reading, until so many octets lie in each socket.
    Await {
        /// Octets.
        octets: u64,
    },
    /// End.
    End,
}

/// An answer.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Answer {
    /// PEPs that are open now.
    pub open: u64,
    /// Connections that have ended.
    pub ended: u64,
    /// Decisions that nobody asked for.
    pub decisions: u64,
    /// When the last of them came, on the machine's monotonic clock.
    pub last_decision_nanos: u64,
    /// When the order was carried out.
    pub at_nanos: u64,
    /// Times from connecting to the first decision: nanoseconds and how often.
    pub opening: Vec<(u64, u64)>,
    /// Times from a REQ to its DEC.
    pub asking: Vec<(u64, u64)>,
    /// What went wrong, in words, and how often.
    pub faults: Vec<(String, u64)>,
}

/// Runs a worker until its input ends.
///
/// # Errors
/// The share, or a command, is not understood.
pub fn run(share: &str) -> Result<()> {
    let share: Share = serde_json::from_str(share).context("the share of this process")?;
    ensure!(
        share.slow + share.dead <= share.peps,
        "more slow and dead PEPs than PEPs"
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    LocalSet::new().block_on(&runtime, obey(share))
}

async fn obey(share: Share) -> Result<()> {
    let shared = Rc::new(Shared::new(share.pdp, share.against, share.process)?);
    let (control, _) = watch::channel(Control::default());
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut stdout = tokio::io::stdout();
    while let Some(line) = lines.next_line().await.context("reading commands")? {
        match serde_json::from_str(&line).with_context(|| format!("command {line}"))? {
            Order::Connect => connect(&share, &shared, &control).await?,
            Order::Control(wanted) => drop(control.send_replace(wanted)),
            Order::Look => {}
            Order::Await { octets } => wait_for_octets(&shared, octets).await,
            Order::End => {
                control.send_modify(|wanted| wanted.end = true);
                return Ok(());
            }
        }
        let mut answer = serde_json::to_vec(&look(&shared)).context("an answer")?;
        answer.push(b'\n');
        stdout.write_all(&answer).await.context("answering")?;
        stdout.flush().await.context("answering")?;
    }
    Ok(())
}

async fn connect(share: &Share, shared: &Rc<Shared>, control: &watch::Sender<Control>) -> Result<()> {
    let places = Arc::new(Semaphore::new(CONNECTING));
    for nth in 0..share.peps {
        let kind = match nth {
            nth if nth < share.slow => Kind::Slow,
            nth if nth < share.slow + share.dead => Kind::Dead,
            _ => Kind::Lively,
        };
        let place = Arc::clone(&places).acquire_owned().await.context("a place")?;
        let (shared, control) = (Rc::clone(shared), control.subscribe());
        tokio::task::spawn_local(peer::run(shared, share.first + nth, kind, control, place));
    }
    // Those that are still at it have a place each.
    let all = u32::try_from(CONNECTING).unwrap_or(u32::MAX);
    drop(places.acquire_many(all).await.context("all places")?);
    Ok(())
}

/// Until so many octets lie in each socket unread. Nothing is read meanwhile, so that whoever writes has the processors.
async fn wait_for_octets(shared: &Shared, octets: u64) {
    let sockets = shared.sockets.borrow().clone();
    for socket in sockets {
        while rustix::io::ioctl_fionread(&*socket).is_ok_and(|there| there < octets) {
            tokio::time::sleep(LOOK).await;
        }
    }
}

fn look(shared: &Shared) -> Answer {
    let seen = &shared.seen;
    let drain = |histogram: &std::cell::RefCell<hdrhistogram::Histogram<u64>>| {
        let mut histogram = histogram.borrow_mut();
        let counts = histogram
            .iter_recorded()
            .map(|step| (step.value_iterated_to(), step.count_at_value()))
            .collect();
        histogram.reset();
        counts
    };
    Answer {
        open: seen.open.get(),
        ended: seen.ended.replace(0),
        decisions: seen.decisions.replace(0),
        last_decision_nanos: seen.last_decision_nanos.get(),
        at_nanos: now_nanos(),
        opening: drain(&seen.opening),
        asking: drain(&seen.asking),
        faults: seen.faults.take().into_iter().collect(),
    }
}
