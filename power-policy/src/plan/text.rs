//! Plans as text: a line a decision, each with its reason, readable aloud.

use std::fmt;

use super::{HostState, Plan, Stage, StepKind, Trigger, Verb};
use crate::model::Scope;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scope = match &self.scope {
            Scope::Cluster => "the whole cluster".to_owned(),
            Scope::Domains(d) => format!("domain {}", names(d)),
            Scope::Servers(s) => format!("server {}", names(s)),
        };
        writeln!(
            f,
            "plan for {scope}, cause {:?}, at {}",
            self.cause,
            Duration(self.planned_at_millis)
        )?;
        for c in &self.classes {
            let target = c
                .target_millis
                .map_or_else(|| "for ever".to_owned(), |t| Duration(t).to_string());
            match c.ride_through_millis {
                Some(t) => writeln!(
                    f,
                    "  class {}: rides through {} (target {target})",
                    c.priority,
                    Duration(t)
                )?,
                None => writeln!(f, "  class {}: no end in sight (target {target})", c.priority)?,
            }
        }
        if let Some(price) = self.lambda_micro {
            writeln!(
                f,
                "  beyond all targets a joule goes where it buys {price} weighted core-milliseconds or more"
            )?;
        }
        if self.infrastructure_milliwatts > 0 {
            writeln!(
                f,
                "  infrastructure: {} set aside first",
                Watts(self.infrastructure_milliwatts)
            )?;
        }
        for s in &self.stages {
            write!(f, "{s}")?;
        }
        for r in &self.refusals {
            writeln!(f, "  refused: {}: {}", r.subject, r.reason)?;
        }
        Ok(())
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let local = if self.local { ", local" } else { "" };
        writeln!(
            f,
            "stage {} ({}{local}): {}",
            self.order, self.trigger, self.reason
        )?;
        for step in &self.steps {
            writeln!(f, "  {}: {}", step.kind, step.reason)?;
        }
        Ok(())
    }
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AfterResults => write!(f, "after the results before it"),
            Self::Elapsed { millis } => write!(f, "{} after the loss", Duration(*millis)),
            Self::ChargeBelow {
                reserves,
                millijoules,
            } => {
                write!(
                    f,
                    "when {} hold {} or less",
                    names(reserves),
                    Energy(*millijoules)
                )
            }
            Self::ChargeAbove {
                reserves,
                millijoules,
            } => {
                write!(f, "when {} hold {} again", names(reserves), Energy(*millijoules))
            }
            Self::Delay { millis } => write!(f, "{} later", Duration(*millis)),
            Self::MainsLost => write!(f, "when its own mains is lost"),
        }
    }
}

impl fmt::Display for StepKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Divert {
                line,
                reserve,
                server,
                milliwatts: 0,
            } => write!(f, "open {line}: {reserve} off {server}"),
            Self::Divert {
                line,
                reserve,
                server,
                milliwatts,
            } => {
                write!(
                    f,
                    "divert {reserve} to {server} over {line}, at most {}",
                    Watts(*milliwatts)
                )
            }
            Self::Intake {
                server,
                reserve,
                line,
                milliwatts,
            } => match line {
                Some(line) => write!(
                    f,
                    "{server} takes {} from {reserve} over {line}",
                    Watts(*milliwatts)
                ),
                None => write!(f, "{server} takes {} from its own {reserve}", Watts(*milliwatts)),
            },
            Self::Activity {
                activity,
                server,
                verb,
                peer,
                milliwatts,
            } => match (verb, peer) {
                (Verb::Run, _) => write!(f, "keep {activity} on {server}"),
                (Verb::Cap, _) => write!(f, "cap {activity} on {server} at {}", Watts(*milliwatts)),
                (Verb::Stop, _) => write!(f, "stop {activity} on {server}"),
                (Verb::Start, _) => write!(f, "start {activity} on {server}"),
                (Verb::MoveOut, Some(p)) => write!(f, "let go of {activity} on {server}, it runs on {p}"),
                (Verb::MoveOut, None) => write!(f, "let go of {activity} on {server}"),
                (Verb::TakeIn, Some(p)) => write!(f, "take {activity} in on {server}, from {p}"),
                (Verb::TakeIn, None) => write!(f, "take {activity} in on {server}"),
            },
            Self::Host { server, state } => match state {
                HostState::On => write!(f, "start server {server}"),
                HostState::Standby => write!(f, "let server {server} stand by"),
                HostState::Off => write!(f, "switch server {server} off"),
            },
        }
    }
}

fn names(list: &[crate::model::Name]) -> String {
    // More than a handful of names helps nobody in a line of text; the rest is in the JSON form.
    const SHOWN: usize = 4;
    let mut text = list
        .iter()
        .take(SHOWN)
        .map(|n| n.as_str())
        .collect::<Vec<_>>()
        .join(", ");
    if list.len() > SHOWN {
        text.push_str(&format!(" and {} more", list.len() - SHOWN));
    }
    text
}

/// Milliseconds as a person says them: "850 ms", "12.0 s", "5 min 20 s", "2 h 05 min".
#[derive(Debug, Clone, Copy)]
pub struct Duration(pub u64);

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0 / 1000;
        match self.0 {
            0..1_000 => write!(f, "{} ms", self.0),
            1_000..60_000 => write!(f, "{}.{} s", seconds, self.0 % 1000 / 100),
            60_000..3_600_000 => write!(f, "{} min {:02} s", seconds / 60, seconds % 60),
            _ => write!(f, "{} h {:02} min", seconds / 3600, seconds / 60 % 60),
        }
    }
}

/// Milliwatts as watts.
#[derive(Debug, Clone, Copy)]
pub struct Watts(pub u64);

impl fmt::Display for Watts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} W", self.0 / 1000)
    }
}

/// Millijoules as watt-hours, or joules where there is less than one.
#[derive(Debug, Clone, Copy)]
pub struct Energy(pub u64);

impl fmt::Display for Energy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 3_600_000 {
            write!(f, "{} J", self.0 / 1000)
        } else {
            write!(f, "{}.{} Wh", self.0 / 3_600_000, self.0 % 3_600_000 / 360_000)
        }
    }
}
