//! Reasons, in words that an operator understands, with the numbers that decided.

use super::decide::{Decision, Loan, Shed};
use super::durations::FOREVER;
use super::prepare::{Cluster, Feed, Supply, seconds, whole};
use crate::model::Mode;
use crate::plan::text::{Duration, Energy, Watts};
use crate::plan::{HostState, Step, StepKind, Trigger};

pub(super) fn time(seconds: f64) -> String {
    if seconds >= FOREVER {
        "for ever".to_owned()
    } else {
        Duration(whole(seconds * 1_000.0)).to_string()
    }
}

pub(super) fn watts(milliwatts: f64) -> Watts {
    Watts(whole(milliwatts))
}

pub(super) fn energy(millijoules: f64) -> Energy {
    Energy(whole(millijoules))
}

fn target(decision: &Decision, class: usize) -> String {
    time(decision.class_target[class])
}

/// "gold (class 50)".
pub(super) fn set(cluster: &Cluster<'_>, p: usize) -> String {
    let placement = &cluster.placements[p];
    format!(
        "{} (class {})",
        cluster.set_name(placement),
        cluster.classes[placement.class].priority
    )
}

fn best(cluster: &Cluster<'_>, list: &[usize]) -> Option<usize> {
    list.iter()
        .copied()
        .min_by_key(|p| (cluster.placements[*p].class, *p))
}

pub(super) fn divert(
    cluster: &Cluster<'_>,
    feed: &Feed,
    before: Option<&Feed>,
    loans: &[Loan],
    running: &[Vec<usize>],
) -> String {
    let whom = best(cluster, &running[feed.server])
        .map_or_else(|| "work that may not be stopped".to_owned(), |p| set(cluster, p));
    let mut donors: Vec<String> = Vec::new();
    for s in cluster.stores[feed.store]
        .homes
        .iter()
        .filter(|s| **s != feed.server)
    {
        donors.push(match best(cluster, &running[*s]) {
            Some(p) => format!("{} hosts {}", cluster.server_name(*s), set(cluster, p)),
            None => format!("nothing is left on {}", cluster.server_name(*s)),
        });
    }
    let promised = loans
        .iter()
        .find(|l| (l.link, l.store, l.server) == (feed.link, feed.store, feed.server))
        .map_or(0.0, |l| l.energy);
    let mut text = format!(
        "{} hosts {whom}; {} of {} can be given beyond what its own servers need",
        cluster.server_name(feed.server),
        energy(promised),
        cluster.store_name(feed.store),
    );
    if !donors.is_empty() {
        text.push_str(&format!(" ({})", donors.join(", ")));
    }
    if let Some(old) = before {
        text.push_str(&format!("; it was {} before", watts(old.watts)));
    }
    text
}

pub(super) fn undivert(cluster: &Cluster<'_>, feed: &Feed, loans: &[Loan]) -> String {
    let promised = loans
        .iter()
        .any(|l| (l.link, l.store, l.server) == (feed.link, feed.store, feed.server) && l.energy > 0.0);
    if promised {
        format!(
            "its place is needed for another reserve; {} waits",
            cluster.store_name(feed.store)
        )
    } else {
        format!(
            "what is left in {} is for its own servers or for others",
            cluster.store_name(feed.store)
        )
    }
}

pub(super) fn intake(cluster: &Cluster<'_>, feed: &Feed) -> String {
    if feed.watts < 1.0 {
        return format!("{} carries its own load again", cluster.server_name(feed.server));
    }
    let link = &cluster.links[feed.link];
    format!(
        "{} of every 1000 units put into {} arrive",
        whole((link.efficiency * 1_000.0).round()),
        cluster.link_name(feed.link)
    )
}

pub(super) fn at_once(cluster: &Cluster<'_>, loans: &[Loan]) -> String {
    let promised: f64 = loans.iter().map(|l| l.energy).sum();
    let mut donors: Vec<usize> = loans.iter().map(|l| l.store).collect();
    donors.sort_unstable();
    donors.dedup();
    format!(
        "reversible, so without waiting for the debounce of {}: {} reserves together lend {}, within the watts that are spare while everything still runs",
        Duration(cluster.policy.debounce_millis),
        donors.len(),
        energy(promised)
    )
}

pub(super) fn shed(cluster: &Cluster<'_>, decision: &Decision, p: usize) -> String {
    let placement = &cluster.placements[p];
    let class = placement.class;
    match decision.shed[p] {
        Some(Shed::Critical) => {
            let (need, have) = decision
                .short
                .iter()
                .find(|(s, _, _)| *s == placement.server)
                .map_or((0.0, 0.0), |(_, need, have)| (*need, *have));
            if need > 0.0 {
                format!(
                    "a clean stop needs {} and only {} can reach the server",
                    energy(need),
                    energy(have)
                )
            } else {
                "what can reach the server covers no more than clean stops".to_owned()
            }
        }
        Some(Shed::Displaced) => "a higher class needs its room, and no other server has any".to_owned(),
        Some(Shed::NotWorth(_)) if cluster.policy.mode == Mode::Survive => {
            "survive: all energy that can reach the top class is kept for it".to_owned()
        }
        Some(Shed::NotWorth(span)) if decision.class_target[class] <= cluster.elapsed => {
            let price = decision.lambda.map_or_else(String::new, |l| {
                format!(" at the price of {:.3} weighted cores a watt", l * 1_000.0)
            });
            format!(
                "its target of {} is over and no leftover pays for its {}{price} ({} would be left)",
                target(decision, class),
                watts(placement.draw),
                time(span)
            )
        }
        Some(Shed::NotWorth(span)) => format!(
            "higher classes need the energy: of its target of {} only {} could be paid",
            target(decision, class),
            time(span)
        ),
        None => "it has no place".to_owned(),
    }
}

pub(super) fn shift(cluster: &Cluster<'_>, decision: &Decision, p: usize, to: usize) -> String {
    let placement = &cluster.placements[p];
    let name = cluster.server_name(to);
    if cluster.nodes[to].supply == Supply::Mains {
        return format!("{name} has mains and room for it");
    }
    format!(
        "{name} is kept for {}; {} need not be powered for it ({} idle)",
        time(decision.span[p].total),
        cluster.server_name(placement.server),
        watts(cluster.nodes[placement.server].base)
    )
}

pub(super) fn first_stage(cluster: &Cluster<'_>, wave: usize, stops: usize, moves: usize) -> String {
    if wave > 0 {
        return format!("{moves} placements follow into the room that was made");
    }
    let what = match (stops, moves) {
        (0, m) => format!("{m} placements are taken in where they can live on"),
        (s, 0) => format!("{s} placements are stopped that no target and no leftover pays for"),
        (s, m) => format!("{s} placements are stopped, {m} are taken in where they can live on"),
    };
    if cluster.debounce_left > 0.0 {
        format!(
            "the interruption has outlasted the debounce of {}: {what}",
            Duration(cluster.policy.debounce_millis)
        )
    } else {
        what
    }
}

pub(super) fn move_out(count: usize) -> String {
    format!("{count} placements run at their new servers, so the old copies stop")
}

pub(super) fn divert_more(cluster: &Cluster<'_>, before: &[Feed], after: &[Feed], why: &str) -> String {
    let sum = |feeds: &[Feed]| feeds.iter().map(|f| f.watts).sum::<f64>();
    let mut fed: Vec<usize> = after.iter().map(|f| f.server).collect();
    fed.sort_unstable();
    fed.dedup();
    let whom = match fed.as_slice() {
        [one] => cluster.server_name(*one).to_string(),
        list => format!("{} servers", list.len()),
    };
    format!(
        "{why}: {} may go to {whom} over lines, {} before",
        watts(sum(after)),
        watts(sum(before))
    )
}

pub(super) fn close(cluster: &Cluster<'_>, s: usize, state: HostState) -> String {
    let node = &cluster.nodes[s];
    let server = &cluster.snapshot.servers[s];
    match (state, &server.starter) {
        (HostState::Off, Some(starter)) => {
            format!(
                "nothing runs on it; off saves {}, and {starter} can start it again",
                watts(node.base)
            )
        }
        (_, None) => format!(
            "nothing runs on it; it keeps drawing {}, as nobody could start it again",
            watts(node.base)
        ),
        (_, Some(_)) => format!(
            "nothing runs on it; it keeps drawing {}, as its agent switches a reserve or line",
            watts(node.base)
        ),
    }
}

pub(super) fn close_stage(cluster: &Cluster<'_>, steps: &[Step]) -> String {
    let saved: f64 = steps
        .iter()
        .filter_map(|step| match &step.kind {
            StepKind::Host {
                server,
                state: HostState::Off,
            } => cluster.snapshot.server_id(server),
            _ => None,
        })
        .map(|s| cluster.nodes[s.0 as usize].base)
        .sum();
    if saved > 0.0 {
        format!("hosts without work close: {} less to feed", watts(saved))
    } else {
        "hosts without work stand by".to_owned()
    }
}

pub(super) fn promise_used() -> String {
    "what a reserve could give is given; what is left in it is for its own servers, so the lines change"
        .to_owned()
}

pub(super) fn step_down(
    cluster: &Cluster<'_>,
    decision: &Decision,
    group: &[usize],
    servers: &[usize],
    step: usize,
    short: Option<usize>,
    trigger: &Trigger,
) -> String {
    let classes: Vec<String> = {
        let mut list: Vec<usize> = group.iter().map(|p| cluster.placements[*p].class).collect();
        list.sort_unstable();
        list.dedup();
        list.iter()
            .map(|k| cluster.classes[*k].priority.to_string())
            .collect()
    };
    let freed: f64 = group.iter().map(|p| cluster.placements[*p].draw).sum();
    let place = match servers {
        [one] => cluster.server_name(*one).to_string(),
        list => format!("{} servers", list.len()),
    };
    let why = match short {
        Some(_) => "what can reach it is down to a clean stop".to_owned(),
        None => group.first().map_or_else(String::new, |p| {
            let span = decision.span[*p];
            if span.total > span.target + 1.0 {
                "its share of the leftover is spent".to_owned()
            } else if cluster.elapsed + span.target + 1.0
                >= decision.class_target[cluster.placements[*p].class]
            {
                "its target is reached".to_owned()
            } else {
                "what higher classes left to it is spent".to_owned()
            }
        }),
    };
    let by = match trigger {
        Trigger::ChargeBelow { reserves, .. } => match reserves.as_slice() {
            [one] => format!("{one} dwindles"),
            list => format!("the {} reserves dwindle", list.len()),
        },
        _ => "time goes on".to_owned(),
    };
    format!(
        "step {step} down as {by}: class {} on {place} ends, {why}; {} less",
        classes.join(", "),
        watts(freed)
    )
}

/// Why a copy that a half-done move has started is let go of again.
pub(super) fn take_back(cluster: &Cluster<'_>, p: usize) -> String {
    format!(
        "{}: the move that has started it here is taken back",
        set(cluster, p)
    )
}

/// Why a stop that is under way stands in a plan.
pub(super) fn ask_again() -> String {
    "its stop has begun, and is waited for".to_owned()
}

/// `short`: the server that is down to its clean end, and what that takes.
pub(super) fn ended(
    cluster: &Cluster<'_>,
    decision: &Decision,
    p: usize,
    short: Option<(usize, f64)>,
    now: f64,
) -> String {
    let class = cluster.placements[p].class;
    let lived = time(cluster.elapsed + now);
    match short {
        Some((s, keep)) => format!(
            "after {lived} no more than the energy of a clean end can reach {} ({})",
            cluster.server_name(s),
            energy(keep)
        ),
        None => format!("after {lived} (target {})", target(decision, class)),
    }
}

pub(super) fn last_halt(cluster: &Cluster<'_>, s: usize) -> String {
    format!(
        "its reserve is down to the energy of a clean halt; idle it drew {}",
        watts(cluster.nodes[s].base)
    )
}

pub(super) fn last_halt_stage(cluster: &Cluster<'_>, s: usize) -> String {
    format!("{} halts while it still can", cluster.server_name(s))
}

pub(super) fn protect(cluster: &Cluster<'_>) -> String {
    format!(
        "kept for {} of own load, should mains go there too",
        time(seconds(cluster.policy.protect_millis))
    )
}

pub(super) fn restart(cluster: &Cluster<'_>, k: usize, trigger: &Trigger) -> String {
    let priority = cluster.classes[k].priority;
    match trigger {
        Trigger::ChargeAbove {
            reserves,
            millijoules,
        } => format!(
            "class {priority} comes back when {} reserves hold {}: enough to carry it and the classes above through another interruption",
            reserves.len(),
            Energy(*millijoules)
        ),
        _ => format!("class {priority} comes back"),
    }
}

/// Why servers with mains are started while the interruption goes on elsewhere.
pub(super) fn wake(cluster: &Cluster<'_>) -> String {
    format!(
        "hosts that have mains start for what was shed, {} apart, for the inrush",
        crate::plan::text::Duration(cluster.policy.restart_stagger_millis)
    )
}

pub(super) fn start(cluster: &Cluster<'_>, s: usize, class: usize) -> String {
    let by = cluster.snapshot.servers[s]
        .starter
        .as_ref()
        .map_or_else(String::new, |p| format!(", started by {p}"));
    match cluster.classes.get(class) {
        Some(class) => format!("class {} waits for it{by}", class.priority),
        None => format!("it was switched off in this interruption{by}"),
    }
}

/// What a server that loses power loses.
pub(super) fn lost(cluster: &Cluster<'_>, loss: &super::rehearsal::Loss) -> String {
    let mut names: Vec<&str> = loss
        .running
        .iter()
        .filter_map(|a| cluster.snapshot.activities[*a].set)
        .map(|set| cluster.snapshot.sets[set.0 as usize].name.as_str())
        .collect();
    names.sort_unstable();
    names.dedup();
    match (names.is_empty(), loss.halting) {
        (true, true) => "it breaks off in the middle of its halt".to_owned(),
        (true, false) => "nothing of a set runs on it then".to_owned(),
        (false, _) => names.join(", "),
    }
}
