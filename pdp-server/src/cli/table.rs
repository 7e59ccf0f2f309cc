//! Answers as tables for a terminal.

use std::fmt::Write;

use cops_codec::integrity::{KeyTable, UnixTime};
use power_policy::plan::text::{Duration, Energy, Watts};

use crate::api::{Event, Status};
use crate::config::Config;

/// Rows of text in aligned columns under a heading.
pub(super) struct Table {
    heading: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(heading: &[&'static str]) -> Self {
        Self {
            heading: heading.to_vec(),
            rows: Vec::new(),
        }
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub(super) fn write(&self, title: &str, out: &mut String) {
        if self.rows.is_empty() {
            return;
        }
        let heading = self.heading.iter().map(|cell| (*cell).to_owned()).collect();
        let lines: Vec<&Vec<String>> = std::iter::once(&heading).chain(&self.rows).collect();
        let width = |column: usize| {
            lines
                .iter()
                .filter_map(|line| line.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.heading.len()).map(width).collect();
        // Writing to a String does not fail.
        let _ = writeln!(out, "\n{title}");
        for line in lines {
            let cells: Vec<String> = line
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:<width$}"))
                .collect();
            let _ = writeln!(out, "  {}", cells.join("  ").trim_end());
        }
    }
}

fn word(value: impl std::fmt::Debug) -> String {
    format!("{value:?}").to_lowercase()
}

fn percent(part: u64, whole: u64) -> String {
    format!("{} %", u128::from(part) * 100 / u128::from(whole.max(1)))
}

fn yes(is: bool) -> String {
    if is { "yes" } else { "no" }.to_owned()
}

/// `pdp-server status`.
pub(super) fn status(status: &Status) -> String {
    let mut out = String::new();
    let experimental = if status.experimental { ", experimental" } else { "" };
    let _ = writeln!(
        out,
        "{} {}{experimental}, COPS on {}",
        status.name, status.version, status.listen
    );
    for warning in &status.warnings {
        let _ = writeln!(out, "warning: {warning}");
    }
    let _ = match &status.outage {
        None => writeln!(out, "phase: {}", word(status.phase)),
        Some(outage) => writeln!(
            out,
            "phase: {}, interruption {}, {:?} over {:?}, for {}",
            word(status.phase),
            outage.id.as_deref().unwrap_or("of old"),
            outage.cause,
            outage.scope,
            Duration(outage.elapsed_millis)
        ),
    };
    if let Some(plan) = &status.plan {
        let next = plan
            .next
            .as_deref()
            .map_or_else(String::new, |next| format!("; next: {next}"));
        let _ = writeln!(
            out,
            "plan: generation {}, {:?}, {} of {} stages released{next}",
            plan.generation, plan.cause, plan.released, plan.stages
        );
    }
    if !status.counts.journal_works {
        let _ = writeln!(out, "THE JOURNAL FAILS: decisions are not kept");
    }
    for alarm in &status.alarms {
        let _ = writeln!(
            out,
            "ALARM {}: {} (for {})",
            alarm.subject,
            alarm.text,
            Duration(alarm.millis)
        );
    }
    classes(status, &mut out);
    mains_and_servers(status, &mut out);
    reserves_and_lines(status, &mut out);
    peers(status, &mut out);
    out
}

fn classes(status: &Status, out: &mut String) {
    let mut table = Table::new(&["class", "sets", "running", "shed", "target", "rides through"]);
    for class in &status.classes {
        let target = class
            .target_millis
            .map_or_else(|| "for ever".to_owned(), |t| Duration(t).to_string());
        let expected = class
            .ride_through_millis
            .map_or_else(|| "no end in sight".to_owned(), |t| Duration(t).to_string());
        table.row([
            class.priority.to_string(),
            class.sets.join(", "),
            format!("{}/{}", class.running, class.activities),
            class.shed.to_string(),
            target,
            expected,
        ]);
    }
    table.write("classes, highest first", out);
}

fn mains_and_servers(status: &Status, out: &mut String) {
    let mut table = Table::new(&["domain", "mains", "who says so"]);
    for domain in &status.domains {
        table.row([domain.name.clone(), word(domain.mains), domain.reason.clone()]);
    }
    table.write("mains", out);

    let mut table = Table::new(&["server", "power", "mains", "draws", "armed", "runs"]);
    for server in &status.servers {
        let runs: Vec<&str> = status
            .activities
            .iter()
            .filter(|activity| activity.host == server.name && activity.state == "running")
            .map(|activity| activity.name.as_str())
            .collect();
        table.row([
            server.name.clone(),
            word(server.powered),
            word(server.mains),
            server
                .milliwatts
                .map_or_else(|| "?".to_owned(), |w| Watts(w).to_string()),
            yes(server.armed),
            runs.join(", "),
        ]);
    }
    table.write("servers", out);
}

fn reserves_and_lines(status: &Status, out: &mut String) {
    let mut table = Table::new(&[
        "reserve",
        "charge",
        "left",
        "drawn in this interruption",
        "figure's age",
        "armed",
    ]);
    for reserve in &status.reserves {
        table.row([
            reserve.name.clone(),
            percent(reserve.charge_millijoules, reserve.capacity_millijoules),
            Energy(reserve.charge_millijoules).to_string(),
            Energy(reserve.drawn_in_interruption_millijoules).to_string(),
            Duration(reserve.age_millis).to_string(),
            yes(reserve.armed),
        ]);
    }
    table.write("reserves", out);

    let mut table = Table::new(&["line", "state", "carries", "armed"]);
    for line in &status.lines {
        let carries: Vec<String> = line
            .carries
            .iter()
            .map(|c| format!("{} to {} (at most {})", c.reserve, c.server, Watts(c.milliwatts)))
            .collect();
        table.row([
            line.name.clone(),
            line.state.clone(),
            carries.join(", "),
            yes(line.armed),
        ]);
    }
    table.write("lines", out);
}

fn peers(status: &Status, out: &mut String) {
    let mut table = Table::new(&["PEP", "connection", "security", "armed", "heard", "holds"]);
    for peer in &status.peers {
        let connection = if peer.connected {
            peer.address.clone()
        } else {
            "gone".to_owned()
        };
        let armed = match (peer.armed_here, peer.armed_there) {
            (true, true) => "yes",
            (true, false) => "not by the agent",
            (false, true) => "not by the PDP",
            (false, false) => "no",
        };
        table.row([
            peer.name.clone(),
            connection,
            peer.security.clone(),
            armed.to_owned(),
            format!("{} ago", Duration(peer.heard_millis_ago)),
            format!("generation {}", peer.acknowledged),
        ]);
    }
    table.write("PEPs", out);
}

/// A line of `pdp-server events`.
pub(super) fn event(event: &Event) -> String {
    let when = event
        .elapsed_millis
        .map_or_else(|| "-".to_owned(), |elapsed| format!("+{}", Duration(elapsed)));
    format!("{when:>14}  {}\n", event.text)
}

/// `pdp-server check-config`.
pub(super) fn config(config: &Config, keys: Option<&KeyTable>, unix_millis: u64) -> String {
    let mut out = String::new();
    let plain = if config.listen.address.ip().is_loopback() {
        "loopback"
    } else if config.is_plain_beyond_loopback() {
        "PLAIN, reachable by others"
    } else {
        "message Integrity required"
    };
    let _ = writeln!(out, "the configuration of {} is right", config.name);
    let _ = writeln!(out, "listens on {} ({plain})", config.listen.address);
    let _ = writeln!(
        out,
        "journal {}, admin socket {}",
        config.journal.path.display(),
        config.admin.socket.display()
    );
    if let (Some(integrity), Some(keys)) = (&config.integrity, keys) {
        let mode = if integrity.required {
            "required"
        } else {
            "optional"
        };
        let now = UnixTime(unix_millis);
        let count = keys.pep_ids().count();
        let _ = writeln!(out, "message Integrity is {mode}; {count} PEPs have keys");
        for pep_id in keys.pep_ids() {
            if keys.ring(pep_id).sending_key(now).is_none() {
                let _ = writeln!(out, "WARNING: no key of {pep_id} is within its lifetime now");
            }
        }
    }
    if let Some(to) = config.redirect {
        let _ = writeln!(out, "serves no PEP: each is sent to {to}");
    }
    let _ = writeln!(
        out,
        "{} PEPs named, others {}; {} rules of grouping, {} sets",
        config.peers.rules.len(),
        if config.peers.refuse_unknown {
            "refused"
        } else {
            "taken"
        },
        config.grouping.rules.len(),
        config.grouping.sets.len()
    );
    let armed = config.peers.rules.iter().any(|rule| rule.armed) || config.peers.default_armed;
    if !armed {
        let _ = writeln!(
            out,
            "nothing is armed on this side: plans are shown and not carried out"
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_empty_tables_are_left_out() {
        let mut out = String::new();
        let mut table = Table::new(&["a", "long heading"]);
        table.write("nothing", &mut out);
        assert_eq!(out, "");
        table.row(["wide cell".to_owned(), "x".to_owned()]);
        table.write("title", &mut out);
        assert_eq!(out, "\ntitle\n  a          long heading\n  wide cell  x\n");
    }
}
