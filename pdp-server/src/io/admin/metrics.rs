//! `GET /metrics`: the status as Prometheus reads it (text format 0.0.4). `docs/metrics.md` lists the metrics; a test keeps
//! that list and [`METRICS`] the same.

use std::collections::BTreeMap;

use power_policy::model::{Mains, Phase, Powered};
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Encoder, TextEncoder};

use crate::api::{Availability, Status};

/// What `GET /metrics` answers as content type.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A metric that the PDP has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Definition {
    /// Its name; the unit is in it.
    pub name: &'static str,
    /// It only rises, until the process starts again.
    pub is_counter: bool,
    /// Labels, in order.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Definition {
    Definition {
        name,
        is_counter: false,
        labels,
        help,
    }
}

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Definition {
    Definition {
        name,
        is_counter: true,
        labels,
        help,
    }
}

/// Every metric.
#[rustfmt::skip]
pub const METRICS: &[Definition] = &[
    gauge("pdp_info", &["name", "version"], "Always 1; the labels name the PDP and its version."),
    gauge("pdp_term", &[], "Term of this PDP; rises with each start."),
    gauge("pdp_generation", &[], "Highest generation of a plan."),
    gauge("pdp_clock_scale", &[], "How much faster than the world the clock runs; 1 outside simulations."),
    gauge("pdp_journal_up", &[], "1 while the journal takes what it is given."),
    gauge("pdp_alarms", &[], "Alarms that are up."),
    gauge("pdp_warnings", &[], "Warnings about how this PDP is set up."),
    counter("pdp_connections_refused_total", &[], "COPS connections refused or ended for breaking a bound."),
    counter("pdp_plans_total", &[], "Plans made."),
    counter("pdp_plan_violations_total", &[], "Objections of the independent checker to plans; any is a defect."),
    gauge("pdp_interruption_phase", &["phase"], "1 for the phase that holds now, 0 for the others."),
    gauge("pdp_interruption_elapsed_seconds", &[], "Time since the interruption began; 0 without one."),
    gauge("pdp_plan_age_seconds", &[], "Age of the plan in force; absent without one."),
    gauge("pdp_plan_stages", &[], "Central stages of the plan in force; absent without one."),
    gauge("pdp_plan_stages_released", &[], "Those of them that are released; absent without a plan."),
    gauge("pdp_plan_steps_outstanding", &[], "Released steps whose results have not come; absent without a plan."),
    gauge("pdp_class_activities", &["priority"], "Activities of a class."),
    gauge("pdp_class_activities_running", &["priority"], "Activities of a class that run."),
    gauge("pdp_class_activities_shed", &["priority"], "Activities of a class that were shed and are owed a start."),
    gauge("pdp_class_target_seconds", &["priority"], "Ride-through time that a class is to reach; +Inf: for ever."),
    gauge("pdp_class_ride_through_seconds", &["priority"], "Ride-through time that the plan in force expects, from the start of the interruption; +Inf: no end in sight; absent without a plan."),
    gauge("pdp_pep_connected", &["pep"], "1 while a PEP is connected."),
    gauge("pdp_pep_armed", &["pep"], "1 while plans may actuate through a PEP."),
    gauge("pdp_pep_silent_seconds", &["pep"], "Time since a PEP was heard from."),
    gauge("pdp_client_type_peps", &["client_type"], "PEPs on which a client-type is open."),
    gauge("pdp_client_type_served", &["client_type"], "1 while PEPs of a client-type are served here, 0 while they are redirected or sent away."),
    gauge("pdp_domain_mains", &["domain", "mains"], "1 for the state of a domain's mains that holds now, 0 for the others."),
    gauge("pdp_server_powered", &["server", "powered"], "1 for the state of a server's power that holds now, 0 for the others."),
    gauge("pdp_server_mains", &["server", "mains"], "1 for the state of a server's mains that holds now, 0 for the others."),
    gauge("pdp_server_draw_watts", &["server"], "Measured draw; absent where it is not measured."),
    gauge("pdp_reserve_capacity_joules", &["reserve"], "Energy of the full reserve."),
    gauge("pdp_reserve_charge_joules", &["reserve"], "Energy left in a reserve."),
    gauge("pdp_reserve_cutoff_joules", &["reserve"], "Energy of a reserve that is never drawn."),
    gauge("pdp_reserve_age_seconds", &["reserve"], "Age of the last figure of a reserve; +Inf: there was none."),
    counter("pdp_reserve_drawn_joules_total", &["reserve"], "Energy drawn from a reserve, as metered."),
    counter("pdp_reserve_charged_joules_total", &["reserve"], "Energy charged into a reserve, as metered."),
    gauge("pdp_line_closed", &["line"], "1 while a line joins something."),
    gauge("pdp_line_fault", &["line"], "1 while a line is stuck or unreadable."),
    gauge("pdp_line_carried_watts", &["line", "reserve", "server"], "Most power that a line carries from a reserve to a server, at the line's input; absent while it carries none."),
];

/// The phases, as the label names them.
const PHASES: [(Phase, &str); 5] = [
    (Phase::Normal, "normal"),
    (Phase::Debounce, "debounce"),
    (Phase::Interrupted, "interrupted"),
    (Phase::MainsGood, "mains_good"),
    (Phase::Restoring, "restoring"),
];
/// The states of mains.
const MAINS: [(Mains, &str); 4] = [
    (Mains::Present, "present"),
    (Mains::Absent, "absent"),
    (Mains::Unstable, "unstable"),
    (Mains::Unknown, "unknown"),
];
/// The states of a server's power.
const POWERED: [(Powered, &str); 4] = [
    (Powered::On, "on"),
    (Powered::OffCommanded, "off_commanded"),
    (Powered::OffSeen, "off_seen"),
    (Powered::Unreachable, "unreachable"),
];

/// The status as text.
///
/// # Errors
/// The encoder refuses what it is given, which would be a defect.
pub fn render(status: &Status) -> Result<String, prometheus::Error> {
    let mut samples = Samples::default();
    whole(&mut samples, status);
    interruption(&mut samples, status);
    classes(&mut samples, status);
    peers(&mut samples, status);
    things(&mut samples, status);
    samples.encode()
}

/// Values by name of their metric.
#[derive(Default)]
struct Samples(BTreeMap<&'static str, Vec<(Vec<String>, f64)>>);

impl Samples {
    fn add(&mut self, name: &'static str, labels: &[&str], value: f64) {
        let labels = labels.iter().map(ToString::to_string).collect();
        self.0.entry(name).or_default().push((labels, value));
    }

    /// One value for each state that there is: 1 for the one that holds.
    fn states<S: PartialEq>(&mut self, name: &'static str, of: &[&str], states: &[(S, &str)], now: &S) {
        for (state, word) in states {
            let labels: Vec<&str> = of.iter().copied().chain([*word]).collect();
            self.add(name, &labels, flag(state == now));
        }
    }

    fn encode(mut self) -> Result<String, prometheus::Error> {
        let families: Vec<MetricFamily> = METRICS
            .iter()
            .filter_map(|definition| Some(family(definition, self.0.remove(definition.name)?)))
            .collect();
        debug_assert!(self.0.is_empty(), "not in METRICS: {:?}", self.0.keys());
        let mut text = Vec::new();
        TextEncoder::new().encode(&families, &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

fn family(definition: &Definition, samples: Vec<(Vec<String>, f64)>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(definition.name.to_owned());
    family.set_help(definition.help.to_owned());
    family.set_field_type(if definition.is_counter {
        MetricType::COUNTER
    } else {
        MetricType::GAUGE
    });
    let metrics = samples.into_iter().map(|(values, value)| {
        let labels = definition.labels.iter().zip(values).map(|(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value(value);
            pair
        });
        let mut metric = Metric::from_label(labels.collect());
        if definition.is_counter {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        metric
    });
    family.set_metric(metrics.collect());
    family
}

fn whole(samples: &mut Samples, status: &Status) {
    samples.add("pdp_info", &[&status.name, &status.version], 1.0);
    samples.add("pdp_term", &[], number(status.term));
    samples.add("pdp_generation", &[], number(status.generation));
    samples.add("pdp_clock_scale", &[], f64::from(status.clock_scale));
    samples.add("pdp_journal_up", &[], flag(status.counts.journal_works));
    samples.add("pdp_alarms", &[], count(status.counts.alarms));
    samples.add("pdp_warnings", &[], count(status.warnings.len()));
    samples.add(
        "pdp_connections_refused_total",
        &[],
        number(status.counts.connections_refused),
    );
    samples.add("pdp_plans_total", &[], number(status.counts.plans));
    samples.add("pdp_plan_violations_total", &[], number(status.counts.violations));
}

fn interruption(samples: &mut Samples, status: &Status) {
    samples.states("pdp_interruption_phase", &[], &PHASES, &status.phase);
    let elapsed = status.outage.as_ref().map_or(0, |outage| outage.elapsed_millis);
    samples.add("pdp_interruption_elapsed_seconds", &[], thousandths(elapsed));
    if let Some(plan) = &status.plan {
        samples.add("pdp_plan_age_seconds", &[], thousandths(plan.age_millis));
        samples.add("pdp_plan_stages", &[], count(plan.stages));
        samples.add("pdp_plan_stages_released", &[], count(plan.released));
        samples.add("pdp_plan_steps_outstanding", &[], count(plan.outstanding));
    }
}

fn classes(samples: &mut Samples, status: &Status) {
    let or_for_ever = |millis: Option<u64>| millis.map_or(f64::INFINITY, thousandths);
    for class in &status.classes {
        let priority = class.priority.to_string();
        let labels = [priority.as_str()];
        samples.add("pdp_class_activities", &labels, count(class.activities));
        samples.add("pdp_class_activities_running", &labels, count(class.running));
        samples.add("pdp_class_activities_shed", &labels, count(class.shed));
        samples.add(
            "pdp_class_target_seconds",
            &labels,
            or_for_ever(class.target_millis),
        );
        if status.plan.is_some() {
            let expected = or_for_ever(class.ride_through_millis);
            samples.add("pdp_class_ride_through_seconds", &labels, expected);
        }
    }
}

fn peers(samples: &mut Samples, status: &Status) {
    for peer in &status.peers {
        let labels = [peer.name.as_str()];
        samples.add("pdp_pep_connected", &labels, flag(peer.connected));
        samples.add("pdp_pep_armed", &labels, flag(peer.armed));
        samples.add(
            "pdp_pep_silent_seconds",
            &labels,
            thousandths(peer.heard_millis_ago),
        );
    }
    for client_type in &status.client_types {
        let name = client_type.client_type.to_string();
        let served = client_type.availability == Availability::Serve;
        samples.add("pdp_client_type_peps", &[&name], count(client_type.peps));
        samples.add("pdp_client_type_served", &[&name], flag(served));
    }
}

fn things(samples: &mut Samples, status: &Status) {
    for domain in &status.domains {
        samples.states("pdp_domain_mains", &[&domain.name], &MAINS, &domain.mains);
    }
    for server in &status.servers {
        let name = server.name.as_str();
        samples.states("pdp_server_powered", &[name], &POWERED, &server.powered);
        samples.states("pdp_server_mains", &[name], &MAINS, &server.mains);
        if let Some(milliwatts) = server.milliwatts {
            samples.add("pdp_server_draw_watts", &[name], thousandths(milliwatts));
        }
    }
    for reserve in &status.reserves {
        let age = match reserve.age_millis {
            u64::MAX => f64::INFINITY,
            millis => thousandths(millis),
        };
        for (name, value) in [
            (
                "pdp_reserve_capacity_joules",
                thousandths(reserve.capacity_millijoules),
            ),
            (
                "pdp_reserve_charge_joules",
                thousandths(reserve.charge_millijoules),
            ),
            (
                "pdp_reserve_cutoff_joules",
                thousandths(reserve.cutoff_millijoules),
            ),
            ("pdp_reserve_age_seconds", age),
            (
                "pdp_reserve_drawn_joules_total",
                thousandths(reserve.drawn_millijoules),
            ),
            (
                "pdp_reserve_charged_joules_total",
                thousandths(reserve.charged_millijoules),
            ),
        ] {
            samples.add(name, &[&reserve.name], value);
        }
    }
    for line in &status.lines {
        samples.add("pdp_line_closed", &[&line.name], flag(line.state == "closed"));
        samples.add("pdp_line_fault", &[&line.name], flag(line.state == "fault"));
        // Several pairs of one reserve and server would be one sample twice, which Prometheus refuses.
        let mut pairs: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for pair in &line.carries {
            let watts = pairs.entry((&pair.reserve, &pair.server)).or_default();
            *watts = watts.saturating_add(pair.milliwatts);
        }
        for ((reserve, server), milliwatts) in pairs {
            let labels = [line.name.as_str(), reserve, server];
            samples.add("pdp_line_carried_watts", &labels, thousandths(milliwatts));
        }
    }
}

fn flag(holds: bool) -> f64 {
    f64::from(u8::from(holds))
}

/// Prometheus has floating-point numbers only; those above 2^53 lose their last digits.
#[expect(clippy::cast_precision_loss, reason = "what Prometheus has")]
fn number(value: u64) -> f64 {
    value as f64
}

fn count(value: usize) -> f64 {
    number(u64::try_from(value).unwrap_or(u64::MAX))
}

/// Milliseconds as seconds, milliwatts as watts, millijoules as joules.
fn thousandths(value: u64) -> f64 {
    number(value) / 1_000.0
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
