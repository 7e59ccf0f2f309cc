//! What a bench found, as text and as JSON. What counts is ratios: the figures themselves are those of one machine, which
//! had other work.

use std::fmt::Write as _;

use serde::Serialize;

use super::crew::Latency;

/// Everything.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// Average number of processes that wanted a processor at the beginning.
    pub load_average: f64,
    /// Processors.
    pub processors: usize,
    /// A PDP without planning, and its floor, at each size.
    pub sizes: Vec<Size>,
    /// A PDP with the power client-type and an engine that plans.
    pub cluster: Vec<Cluster>,
    /// What `cargo bench -p cops-codec` found, if it ran before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub codec: Option<serde_json::Value>,
    /// What it counted under valgrind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instructions: Option<serde_json::Value>,
}

/// The PDP and the floor with so many PEPs.
#[derive(Debug, Clone, Serialize)]
pub struct Size {
    /// PEPs.
    pub peps: usize,
    /// Without COPS.
    pub floor: Side,
    /// With it.
    pub pdp: Side,
}

/// What one of them took.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Side {
    /// From the first connection to the last first decision.
    pub storm_millis: f64,
    /// Time on the processors for one connection with its first decision.
    pub storm_processor_micros: f64,
    /// From connecting to the first decision.
    pub opening: Latency,
    /// Resident octets a connection, without the kernel's.
    pub resident_octets: f64,
    /// Length of the steady state.
    pub steady_seconds: f64,
    /// From a REQ to its DEC, in it.
    pub asking: Latency,
    /// Time on the processors, in it, for one second.
    pub steady_processor_millis: f64,
    /// REQs a second when all ask as fast as they are answered.
    pub flat_out_a_second: f64,
    /// Time on the processors for one such REQ, its DEC and RPT.
    pub flat_out_processor_micros: f64,
    /// From the command to the last octet of the last DEC being with the kernel of its PEP; nobody reads meanwhile.
    pub written_millis: Vec<f64>,
    /// Time on the processors for one of those DECs.
    pub written_processor_micros: Vec<f64>,
    /// From the command to the last DEC read, PEPs reading.
    pub read_millis: Vec<f64>,
    /// From the command to the last RPT having come.
    pub reported_millis: Vec<f64>,
    /// What went wrong at the PEPs.
    pub faults: Vec<String>,
}

/// A PDP whose engine knows every PEP's server.
#[derive(Debug, Clone, Serialize)]
pub struct Cluster {
    /// PEPs.
    pub peps: usize,
    /// From the first connection to the last first decision.
    pub storm_millis: f64,
    /// Resident octets a PEP, transport and session included.
    pub resident_octets: f64,
    /// From a REQ to its DEC.
    pub asking: Latency,
    /// Time on the processors for one second of the steady state.
    pub steady_processor_millis: f64,
    /// From `interrupt` to its answer; `None`: none came in time.
    pub interrupt_millis: Option<f64>,
    /// From `interrupt` to the last DEC.
    pub read_millis: Option<f64>,
    /// What went wrong at the PEPs.
    pub faults: Vec<String>,
}

/// The middle one.
#[must_use]
pub fn median(of: &[f64]) -> f64 {
    let mut sorted = of.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The goals of the PDP, in the order of the lines of [`Report::text`].
const GOALS: [&str; 4] = ["<= 1.5", "<= 3", "<= 8192", "<= 1.1"];

impl Report {
    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!(
            "{} processors, load average {:.1} at the beginning\n",
            self.processors, self.load_average
        );
        for size in &self.sizes {
            size.describe(&mut text);
        }
        if let [small, .., large] = self.sizes.as_slice() {
            let _ = writeln!(
                text,
                "\nGrowth from {} to {} PEPs, for each PEP",
                small.peps, large.peps
            );
            let each = |side: &Side, peps: usize| {
                let peps = peps as f64;
                [
                    ("storm, processor time", side.storm_processor_micros),
                    ("resident memory", side.resident_octets),
                    (
                        "steady state, processor time",
                        side.steady_processor_millis / peps,
                    ),
                    ("flat out, processor time a REQ", side.flat_out_processor_micros),
                    ("decision to all, written", median(&side.written_millis) / peps),
                    (
                        "decision to all, processor time",
                        median(&side.written_processor_micros),
                    ),
                ]
            };
            let (before, after) = (each(&small.pdp, small.peps), each(&large.pdp, large.peps));
            let (floor_before, floor_after) =
                (each(&small.floor, small.peps), each(&large.floor, large.peps));
            for (((what, before), (_, after)), ((_, fb), (_, fa))) in
                before.iter().zip(after).zip(floor_before.iter().zip(floor_after))
            {
                let _ = writeln!(
                    text,
                    "  {what:<34} x {:<6.2} goal {}   (floor x {:.2})",
                    after / before,
                    GOALS[3],
                    fa / fb
                );
            }
        }
        for cluster in &self.cluster {
            cluster.describe(&mut text);
        }
        text
    }
}

impl Size {
    fn describe(&self, text: &mut String) {
        let (floor, pdp) = (&self.floor, &self.pdp);
        let _ = writeln!(
            text,
            "\n{} PEPs, transport and sessions{:>12} {:>12} {:>8}",
            self.peps, "floor", "PDP", "ratio"
        );
        let mut line = |what: &str, floor: f64, pdp: f64, goal: &str| {
            let ratio = pdp / floor;
            let _ = writeln!(
                text,
                "  {what:<34} {floor:>10.1} {pdp:>12.1} {ratio:>8.2}  {goal}"
            );
        };
        line("storm, ms", floor.storm_millis, pdp.storm_millis, "");
        line(
            "storm, processor us a PEP",
            floor.storm_processor_micros,
            pdp.storm_processor_micros,
            "",
        );
        line(
            "opening p50, us",
            floor.opening.p50_micros,
            pdp.opening.p50_micros,
            "",
        );
        line(
            "opening p99, us",
            floor.opening.p99_micros,
            pdp.opening.p99_micros,
            "",
        );
        line(
            "REQ to DEC p50, us",
            floor.asking.p50_micros,
            pdp.asking.p50_micros,
            "",
        );
        line(
            "REQ to DEC p99, us",
            floor.asking.p99_micros,
            pdp.asking.p99_micros,
            &format!("goal {}", GOALS[1]),
        );
        line(
            "REQ to DEC p99.9, us",
            floor.asking.p999_micros,
            pdp.asking.p999_micros,
            "",
        );
        line(
            "steady state, processor ms a s",
            floor.steady_processor_millis,
            pdp.steady_processor_millis,
            "",
        );
        line(
            "flat out, REQs a s",
            floor.flat_out_a_second,
            pdp.flat_out_a_second,
            "",
        );
        line(
            "flat out, processor us a REQ",
            floor.flat_out_processor_micros,
            pdp.flat_out_processor_micros,
            "",
        );
        line(
            "to all, last DEC written, ms",
            median(&floor.written_millis),
            median(&pdp.written_millis),
            &format!("goal {}", GOALS[0]),
        );
        line(
            "to all, processor us a DEC",
            median(&floor.written_processor_micros),
            median(&pdp.written_processor_micros),
            "",
        );
        line(
            "to all, last DEC read, ms",
            median(&floor.read_millis),
            median(&pdp.read_millis),
            "",
        );
        line(
            "to all, last RPT come, ms",
            median(&floor.reported_millis),
            median(&pdp.reported_millis),
            "goal <= 1000 ms at 10,000",
        );
        line(
            "resident octets a connection",
            floor.resident_octets,
            pdp.resident_octets,
            &format!("goal {}", GOALS[2]),
        );
        for (side, faults) in [("floor", &floor.faults), ("PDP", &pdp.faults)] {
            for fault in faults {
                let _ = writeln!(text, "  WRONG at the {side}: {fault}");
            }
        }
    }
}

impl Cluster {
    fn describe(&self, text: &mut String) {
        let _ = writeln!(
            text,
            "\n{} PEPs of the power client-type, with its engine",
            self.peps
        );
        let mut line = |what: &str, value: f64| {
            let _ = writeln!(text, "  {what:<34} {value:>10.1}");
        };
        line("storm, ms", self.storm_millis);
        line("resident octets a PEP", self.resident_octets);
        line("REQ to DEC p50, us", self.asking.p50_micros);
        line("REQ to DEC p99, us", self.asking.p99_micros);
        line("steady state, processor ms a s", self.steady_processor_millis);
        line(
            "interrupt, answered, ms",
            self.interrupt_millis.unwrap_or(f64::NAN),
        );
        line(
            "interrupt, last DEC read, ms",
            self.read_millis.unwrap_or(f64::NAN),
        );
        for fault in &self.faults {
            let _ = writeln!(text, "  WRONG: {fault}");
        }
    }
}
