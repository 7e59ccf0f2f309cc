//! What runs, in groups that are stopped and started together, with the processors and memory that they use.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use crate::drivers::process::{DenyList, Process, ProcessTable};

/// Groups that use less than this of a processor, in thousandths, and ...
const LEAST_MILLICORES: u64 = 5;
/// ... less than this memory, in mebibytes, are not worth a line.
const LEAST_MEBIBYTES: u64 = 64;
/// Most groups that are told, the largest first.
const MOST_GROUPS: usize = 32;

/// What people work in: to stop it by plan would be a nuisance and no help.
const SHELLS: &[&str] = &[
    "bash",
    "sh",
    "dash",
    "zsh",
    "fish",
    "tmux: server",
    "tmux",
    "screen",
    "su",
    "sudo",
    "login",
];

/// How the processes of a group are known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// A service of systemd, by its unit.
    Service(String),
    /// Processes of one short name and user.
    Processes {
        /// The short name.
        comm: String,
        /// The user.
        user: String,
    },
}

/// Processes that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) kind: Kind,
    pub(super) processes: usize,
    /// Mean use of processors, in thousandths of one.
    pub(super) millicores: u64,
    pub(super) mebibytes: u64,
}

/// Looks twice, `span` apart. What the agent would never touch is left out.
pub(super) async fn measure(table: &ProcessTable, span: Duration) -> io::Result<Vec<Group>> {
    let before: BTreeMap<i32, _> = table
        .scan()?
        .iter()
        .filter_map(|process| Some((process.pid, table.usage(process.pid)?)))
        .collect();
    let begun = Instant::now();
    tokio::time::sleep(span).await;
    table.forget();
    let after = table.scan()?;
    let millis = u64::try_from(begun.elapsed().as_millis())
        .unwrap_or(u64::MAX)
        .max(1);
    let own = i32::try_from(std::process::id()).unwrap_or(i32::MAX);
    let deny = DenyList::new(own, true, Vec::new());
    let mut groups: BTreeMap<Kind, Group> = BTreeMap::new();
    for process in after.iter() {
        let Some(usage) = table.usage(process.pid) else {
            continue;
        };
        let in_session = process.cgroups.iter().any(|path| path.contains("/session-"));
        if process.is_kernel
            || in_session
            || SHELLS.contains(&process.comm.as_str())
            || deny.reason(process, &after).is_some()
        {
            continue;
        }
        // One that was started in between has used all that it has in this span.
        let earlier = before
            .get(&process.pid)
            .filter(|earlier| earlier.started == usage.started)
            .map_or(0, |earlier| earlier.cpu_ticks);
        let kind = kind(process);
        let group = groups.entry(kind.clone()).or_insert(Group {
            kind,
            processes: 0,
            millicores: 0,
            mebibytes: 0,
        });
        group.processes += 1;
        // Ticks and pages are added up first, and made millicores and mebibytes at the end.
        group.millicores += usage.cpu_ticks.saturating_sub(earlier);
        group.mebibytes += usage.resident_pages;
    }
    let ticks_a_second = rustix::param::clock_ticks_per_second().max(1);
    let page = u64::try_from(rustix::param::page_size()).unwrap_or(4_096);
    let mut groups: Vec<Group> = groups
        .into_values()
        .map(|group| Group {
            millicores: group.millicores * 1_000_000 / (ticks_a_second * millis),
            mebibytes: group.mebibytes.saturating_mul(page) >> 20,
            ..group
        })
        .filter(|group| group.millicores >= LEAST_MILLICORES || group.mebibytes >= LEAST_MEBIBYTES)
        .collect();
    groups.sort_by(|a, b| {
        (b.millicores, b.mebibytes)
            .cmp(&(a.millicores, a.mebibytes))
            .then(a.kind.cmp(&b.kind))
    });
    groups.truncate(MOST_GROUPS);
    Ok(groups)
}

fn kind(process: &Process) -> Kind {
    let unit = process.cgroups.iter().find_map(|path| {
        let unit = path.strip_prefix("/system.slice/")?.split('/').next()?;
        unit.ends_with(".service").then(|| unit.to_owned())
    });
    match unit {
        Some(unit) => Kind::Service(unit),
        None => Kind::Processes {
            comm: process.comm.clone(),
            user: process.user.clone(),
        },
    }
}
