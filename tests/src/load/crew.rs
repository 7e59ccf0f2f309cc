//! The processes of a load, and what they saw put together.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use futures::future::try_join_all;
use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::peer::{Against, Control, histogram};
use super::worker::{Answer, Order, Share};

/// A load.
#[derive(Debug, Clone)]
pub struct Load {
    /// Where the PDP listens.
    pub pdp: SocketAddr,
    /// What it is.
    pub against: Against,
    /// PEPs in all.
    pub peps: usize,
    /// Processes that they are divided among.
    pub processes: usize,
    /// PEPs that read late.
    pub slow: usize,
    /// PEPs that open and then neither read nor write.
    pub dead: usize,
    /// The program whose `worker` command runs a share: this one, where it is `load`.
    pub program: PathBuf,
}

/// Worker processes; they end when this is dropped.
#[derive(Debug)]
pub struct Crew {
    workers: Vec<Worker>,
}

#[derive(Debug)]
struct Worker {
    // Killed when dropped.
    _process: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

/// What all PEPs saw since they were last asked.
#[derive(Debug)]
pub struct Figures {
    /// PEPs that are open now.
    pub open: u64,
    /// Connections that have ended.
    pub ended: u64,
    /// Decisions that nobody asked for.
    pub decisions: u64,
    /// When the last of them came, on the machine's monotonic clock.
    pub last_decision_nanos: u64,
    /// When the last process had carried out the order.
    pub at_nanos: u64,
    /// From connecting to the first decision.
    pub opening: Histogram<u64>,
    /// From a REQ to its DEC.
    pub asking: Histogram<u64>,
    /// What went wrong, in words, and how often.
    pub faults: BTreeMap<String, u64>,
}

/// A histogram in a few figures, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Latency {
    /// How many.
    pub count: u64,
    /// Half are below.
    pub p50_micros: f64,
    /// Of ten, one is above.
    pub p90_micros: f64,
    /// Of a hundred, one is above.
    pub p99_micros: f64,
    /// Of a thousand, one is above.
    pub p999_micros: f64,
    /// The largest.
    pub max_micros: f64,
}

impl From<&Histogram<u64>> for Latency {
    fn from(histogram: &Histogram<u64>) -> Self {
        let micros = |nanos: u64| nanos as f64 / 1e3;
        let at = |quantile| micros(histogram.value_at_quantile(quantile));
        Self {
            count: histogram.len(),
            p50_micros: at(0.5),
            p90_micros: at(0.9),
            p99_micros: at(0.99),
            p999_micros: at(0.999),
            max_micros: micros(histogram.max()),
        }
    }
}

impl Crew {
    /// Starts the processes. Nothing is connected yet.
    ///
    /// # Errors
    /// One does not start, or there are more processes than addresses for them.
    pub fn start(load: &Load) -> Result<Self> {
        let processes = load.processes.max(1);
        let mut workers = Vec::new();
        let part = |all: usize, nth: usize| all / processes + usize::from(nth < all % processes);
        let mut first = 0;
        for nth in 0..processes {
            let share = Share {
                pdp: load.pdp,
                against: load.against,
                process: u8::try_from(nth + 1).context("at most 255 processes")?,
                first,
                peps: part(load.peps, nth),
                slow: part(load.slow, nth),
                dead: part(load.dead, nth),
            };
            first += share.peps;
            let mut process = Command::new(&load.program)
                .arg("worker")
                .arg(serde_json::to_string(&share).context("the share of a process")?)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .kill_on_drop(true)
                .spawn()
                .with_context(|| format!("starting {}", load.program.display()))?;
            let orders = process.stdin.take().context("input of a process")?;
            let answers = process.stdout.take().context("output of a process")?;
            workers.push(Worker {
                _process: process,
                orders,
                answers: BufReader::new(answers).lines(),
            });
        }
        Ok(Self { workers })
    }

    /// Connects all PEPs; done when each is open, or has failed.
    ///
    /// # Errors
    /// A process has ended.
    pub async fn connect(&mut self) -> Result<Figures> {
        self.order(&Order::Connect).await
    }

    /// Has them behave so.
    ///
    /// # Errors
    /// A process has ended.
    pub async fn control(&mut self, control: Control) -> Result<Figures> {
        self.order(&Order::Control(control)).await
    }

    /// What was seen since this was last asked.
    ///
    /// # Errors
    /// A process has ended.
    pub async fn look(&mut self) -> Result<Figures> {
        self.order(&Order::Look).await
    }

    /// Waits until so many octets lie unread in the socket of each PEP.
    ///
    /// # Errors
    /// A process has ended.
    pub async fn octets(&mut self, octets: u64) -> Result<Figures> {
        self.order(&Order::Await { octets }).await
    }

    async fn order(&mut self, order: &Order) -> Result<Figures> {
        let mut line = serde_json::to_vec(order).context("a command")?;
        line.push(b'\n');
        let answers = self.workers.iter_mut().map(|worker| worker.obey(&line));
        let mut figures = Figures {
            open: 0,
            ended: 0,
            decisions: 0,
            last_decision_nanos: 0,
            at_nanos: 0,
            opening: histogram()?,
            asking: histogram()?,
            faults: BTreeMap::new(),
        };
        for answer in try_join_all(answers).await? {
            figures.add(answer);
        }
        Ok(figures)
    }
}

impl Worker {
    async fn obey(&mut self, line: &[u8]) -> Result<Answer> {
        self.orders.write_all(line).await.context("telling a process")?;
        self.orders.flush().await.context("telling a process")?;
        match self.answers.next_line().await.context("hearing a process")? {
            Some(line) => serde_json::from_str(&line).context("the answer of a process"),
            None => bail!("a process of the load has ended; its words are above"),
        }
    }
}

impl Figures {
    fn add(&mut self, answer: Answer) {
        self.open += answer.open;
        self.ended += answer.ended;
        self.decisions += answer.decisions;
        self.last_decision_nanos = self.last_decision_nanos.max(answer.last_decision_nanos);
        self.at_nanos = self.at_nanos.max(answer.at_nanos);
        for (nanos, times) in answer.opening {
            self.opening.saturating_record_n(nanos, times);
        }
        for (nanos, times) in answer.asking {
            self.asking.saturating_record_n(nanos, times);
        }
        for (fault, times) in answer.faults {
            *self.faults.entry(fault).or_default() += times;
        }
    }

    /// Adds what was seen later.
    pub fn merge(&mut self, later: Self) {
        self.open = later.open;
        self.ended += later.ended;
        self.decisions += later.decisions;
        self.last_decision_nanos = self.last_decision_nanos.max(later.last_decision_nanos);
        self.at_nanos = later.at_nanos;
        // Both have the same bounds.
        let _ = self.opening.add(&later.opening);
        let _ = self.asking.add(&later.asking);
        for (fault, times) in later.faults {
            *self.faults.entry(fault).or_default() += times;
        }
    }
}
