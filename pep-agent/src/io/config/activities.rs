//! What may be touched: `[[activity]]` and `[[manage]]`.

use std::path::Path;
use std::time::Duration;

use power_policy::model::Name;

use super::check::Place;
use super::form::{self, ActivityDriver, Form};
use super::servers::is_custodian;
use super::{ActivityEntry, ActivitySource, ServerEntry};
use crate::drivers::cgroup::tree::CGROUP_ROOT;
use crate::drivers::cgroup::{CgroupRoot, StopBy, Which};
use crate::drivers::command::CommandActivity;
use crate::drivers::process::{Pattern, StartCommand};
use crate::drivers::systemd::Bus;
use crate::engine::facts::{ActivityFacts, ActivityKey};
use crate::io::toml_file::{TomlError, TomlFile};

/// Grace of a stop where the file says nothing, in milliseconds.
const STOP_MILLIS: u32 = 30_000;
/// Time that a start may take where the file says nothing, in milliseconds.
const START_MILLIS: u32 = 30_000;
/// Time that a simulated start takes where the file says nothing, in milliseconds.
const SIMULATED_START_MILLIS: u32 = 2_000;

pub(super) fn activities(
    text: &TomlFile,
    form: &Form,
    servers: &[ServerEntry],
    state_dir: &Path,
    folder: &Path,
) -> Result<Vec<ActivityEntry>, TomlError> {
    let mut entries: Vec<ActivityEntry> = Vec::new();
    for (index, activity) in form.activity.iter().enumerate() {
        let place = Place::of(text, "activity", index);
        add(&place, &mut entries, declared(&place, activity, servers)?)?;
    }
    for (index, rule) in form.manage.iter().enumerate() {
        let place = Place::of(text, "manage", index);
        add(
            &place,
            &mut entries,
            managed(&place, rule, servers, state_dir, folder)?,
        )?;
    }
    Ok(entries)
}

fn add(place: &Place<'_>, entries: &mut Vec<ActivityEntry>, entry: ActivityEntry) -> Result<(), TomlError> {
    if entries.iter().any(|known| known.key == entry.key) {
        let ActivityKey { activity, server } = &entry.key;
        return place.fail("name", format!("{activity:?} on {server:?} is taken already"));
    }
    entries.push(entry);
    Ok(())
}

/// The server of an activity: the one named, or the agent's only one.
fn server_of<'a>(
    place: &Place<'_>,
    given: Option<&String>,
    servers: &'a [ServerEntry],
) -> Result<&'a ServerEntry, TomlError> {
    let own = || servers.iter().filter(|server| is_custodian(server.role));
    let found = match given {
        Some(given) => own().find(|server| server.name.as_str() == given),
        None => {
            let mut own = own();
            match (own.next(), own.next()) {
                (Some(only), None) => Some(only),
                _ => return place.fail("server", "is missing, expected one of this agent's own servers"),
            }
        }
    };
    match (found, given) {
        (Some(server), _) => Ok(server),
        (None, given) => {
            let given = given.map_or("", String::as_str);
            place.fail(
                "server",
                format!("is {given:?}, expected a [[server]] that this agent is the custodian of"),
            )
        }
    }
}

fn declared(
    place: &Place<'_>,
    activity: &form::Activity,
    servers: &[ServerEntry],
) -> Result<ActivityEntry, TomlError> {
    let server = server_of(place, activity.server.as_ref(), servers)?;
    let key = ActivityKey {
        activity: place.name("name", &activity.name)?,
        server: server.name.clone(),
    };
    let stop_millis = place.millis("stop_seconds", activity.stop_seconds, STOP_MILLIS)?;
    let start_default = match activity.driver {
        ActivityDriver::Simulated => SIMULATED_START_MILLIS,
        ActivityDriver::Command | ActivityDriver::Exec | ActivityDriver::Systemd | ActivityDriver::Cgroup => {
            START_MILLIS
        }
    };
    let start_millis = place.millis("start_seconds", activity.start_seconds, start_default)?;
    if activity.driver != ActivityDriver::Exec {
        place.refuse_program(activity.program.as_ref(), activity.limit_seconds)?;
    }
    if activity.driver != ActivityDriver::Systemd {
        let given = [("unit", activity.unit.is_some()), ("bus", activity.bus.is_some())];
        place.refuse(&given, "it is for driver = \"systemd\"")?;
    }
    if activity.driver != ActivityDriver::Cgroup {
        let given = [
            ("cgroup", activity.cgroup.is_some()),
            ("container", activity.container.is_some()),
            ("stop_by", activity.stop_by.is_some()),
            ("cgroup_dir", activity.cgroup_dir.is_some()),
        ];
        place.refuse(&given, "it is for driver = \"cgroup\"")?;
    }
    let (source, startable, stoppable) = match activity.driver {
        ActivityDriver::Cgroup => {
            if server.simulated {
                return place.fail("driver", "is \"cgroup\", and its server is simulated");
            }
            control_group(place, activity)?
        }
        ActivityDriver::Systemd => {
            let given = [
                ("running", activity.running.is_some()),
                ("status", activity.status.is_some()),
                ("stop", activity.stop.is_some()),
                ("start", activity.start.is_some()),
            ];
            place.refuse(&given, "systemd knows")?;
            if server.simulated {
                return place.fail("driver", "is \"systemd\", and its server is simulated");
            }
            let unit = place.needs(
                "unit",
                activity.unit.clone(),
                "the unit, as in \"postgresql.service\"",
            )?;
            if !unit.ends_with(".service") || unit.contains(['/', ' ']) {
                return place.fail(
                    "unit",
                    format!("is {unit:?}, expected the name of a service unit"),
                );
            }
            let bus = activity.bus.clone().map_or(Bus::System, Bus::Address);
            (
                ActivitySource::Systemd { bus, unit },
                activity.startable.unwrap_or(true),
                true,
            )
        }
        ActivityDriver::Exec => {
            let given = [
                ("running", activity.running.is_some()),
                ("status", activity.status.is_some()),
                ("stop", activity.stop.is_some()),
                ("start", activity.start.is_some()),
            ];
            place.refuse(&given, "its program answers for it")?;
            if server.simulated {
                return place.fail("driver", "is \"exec\", and its server is simulated");
            }
            let program = place.program(activity.program.as_ref(), activity.limit_seconds)?;
            (
                ActivitySource::Exec(program),
                activity.startable.unwrap_or(true),
                true,
            )
        }
        ActivityDriver::Simulated => {
            let given = [
                ("status", activity.status.is_some()),
                ("stop", activity.stop.is_some()),
                ("start", activity.start.is_some()),
            ];
            place.refuse(&given, "it is for driver = \"command\"")?;
            if !server.simulated {
                return place.fail("driver", "is \"simulated\", and its server is real");
            }
            let running = activity.running.unwrap_or(true);
            (
                ActivitySource::Simulated { running },
                activity.startable.unwrap_or(true),
                true,
            )
        }
        ActivityDriver::Command => {
            let given = [
                ("running", activity.running.is_some()),
                ("startable", activity.startable.is_some()),
            ];
            place.refuse(&given, "it is for another driver")?;
            if server.simulated {
                return place.fail("driver", "is \"command\", and its server is simulated");
            }
            let why = "a command that ends with status 0 while it runs, as in [\"systemctl\", \"-q\", \"is-active\", \"x\"]";
            let status = place.needs("status", activity.status.clone(), why)?;
            let command = CommandActivity {
                status: argv(place, "status", status)?,
                stop: activity
                    .stop
                    .clone()
                    .map(|stop| argv(place, "stop", stop))
                    .transpose()?,
                start: activity
                    .start
                    .clone()
                    .map(|start| argv(place, "start", start))
                    .transpose()?,
                grace: Duration::from_millis(u64::from(stop_millis)),
                start_limit: Duration::from_millis(u64::from(start_millis)),
            };
            let (startable, stoppable) = (command.start.is_some(), command.stop.is_some());
            (ActivitySource::Command(command), startable, stoppable)
        }
    };
    let facts = ActivityFacts {
        set: place.optional_name("set", activity.set.as_ref())?,
        data_type: place.optional_name("data_type", activity.data_type.as_ref())?,
        process: place.optional_name("process", activity.process.as_ref())?,
        qos: place.optional_name("qos", activity.qos.as_ref())?,
        milliwatts: place.milliwatts("watts", activity.watts, 0)?,
        cpu_millicores: activity.cpu_millicores.unwrap_or(0),
        memory_mebibytes: activity.memory_mebibytes.unwrap_or(0),
        movable: activity.movable,
        startable,
        stoppable,
        restartable: activity.restartable,
        move_millis: place.millis("move_seconds", activity.move_seconds, 0)?,
        move_joules: place.joules("move_joules", activity.move_joules)?,
        stop_millis,
        stop_joules: place.joules("stop_joules", activity.stop_joules)?,
        start_millis,
    };
    Ok(ActivityEntry { key, facts, source })
}

/// A control group, whether it can be started, and whether it can be stopped.
fn control_group(
    place: &Place<'_>,
    activity: &form::Activity,
) -> Result<(ActivitySource, bool, bool), TomlError> {
    let given = [
        ("running", activity.running.is_some()),
        ("startable", activity.startable.is_some()),
        ("status", activity.status.is_some()),
        ("stop", activity.stop.is_some()),
    ];
    place.refuse(&given, "its control group tells, and is frozen or ended")?;
    let which = match (&activity.cgroup, &activity.container) {
        (Some(path), None) => {
            let is_inside =
                path.starts_with('/') && path.len() > 1 && !path.split('/').any(|part| part == "..");
            if !is_inside {
                return place.fail(
                    "cgroup",
                    format!("is {path:?}, expected a path as in /proc/PID/cgroup, and not the root"),
                );
            }
            Which::Path(path.clone())
        }
        (None, Some(id)) => {
            let is_id = (12..=64).contains(&id.len()) && id.bytes().all(|octet| octet.is_ascii_hexdigit());
            if !is_id {
                return place.fail(
                    "container",
                    format!("is {id:?}, expected 12 to 64 hexadecimal digits of its identifier"),
                );
            }
            Which::Container(id.to_ascii_lowercase())
        }
        (Some(_), Some(_)) => {
            return place.fail("container", "has no place here: the control group is given");
        }
        (None, None) => {
            return place.fail(
                "cgroup",
                "is missing, expected its path as in /proc/PID/cgroup, or container, an identifier",
            );
        }
    };
    let why = "\"freezing\" (it keeps its memory, and is lost with the power) or \"ending\" (SIGTERM)";
    let (stop_by, startable) = match place.needs("stop_by", activity.stop_by, why)? {
        form::StopBy::Freezing => {
            place.refuse(&[("start", activity.start.is_some())], "what is frozen is thawed")?;
            (StopBy::Freezing, true)
        }
        form::StopBy::Ending => {
            let start = activity
                .start
                .clone()
                .map(|start| argv(place, "start", start))
                .transpose()?;
            let startable = start.is_some();
            (StopBy::Ending { start }, startable)
        }
    };
    let root = CgroupRoot::new(activity.cgroup_dir.as_deref().unwrap_or(CGROUP_ROOT));
    let source = ActivitySource::Cgroup { root, which, stop_by };
    Ok((source, startable, true))
}

fn managed(
    place: &Place<'_>,
    rule: &form::Manage,
    servers: &[ServerEntry],
    state_dir: &Path,
    folder: &Path,
) -> Result<ActivityEntry, TomlError> {
    let server = server_of(place, rule.server.as_ref(), servers)?;
    if server.simulated {
        return place.fail("server", "is simulated, and processes are real");
    }
    let name: Name = place.name("name", &rule.name)?;
    let pattern = Pattern {
        comm: place.glob("comm", rule.comm.as_ref())?,
        exe: place.glob("exe", rule.exe.as_ref())?,
        cmdline: place.glob("cmdline", rule.cmdline.as_ref())?,
        user: place.glob("user", rule.user.as_ref())?,
        cgroup: place.glob("cgroup", rule.cgroup.as_ref())?,
    };
    if !pattern.is_specific() {
        let problem =
            "is missing: expected at least one of comm, exe, cmdline and cgroup; a user alone is no activity";
        return place.fail("comm", problem);
    }
    let start = match rule.start.clone() {
        Some(start) => Some(StartCommand {
            argv: argv(place, "start", start)?,
            directory: rule.directory.as_ref().map(|directory| folder.join(directory)),
            output: match &rule.output {
                Some(output) => folder.join(output),
                None => state_dir.join("output").join(file_name(&name)),
            },
        }),
        None => {
            let given = [
                ("directory", rule.directory.is_some()),
                ("output", rule.output.is_some()),
            ];
            place.refuse(&given, "there is no start command")?;
            None
        }
    };
    let facts = ActivityFacts {
        set: place.optional_name("set", rule.set.as_ref())?,
        data_type: place.optional_name("data_type", rule.data_type.as_ref())?,
        process: match place.optional_name("process", rule.process.as_ref())? {
            Some(process) => Some(process),
            // The rule's own word for it, where it is one: a glob says no name.
            None => rule
                .comm
                .as_deref()
                .filter(|comm| !comm.contains(['*', '?', '[']))
                .and_then(|c| Name::new(c).ok()),
        },
        qos: place.optional_name("qos", rule.qos.as_ref())?,
        milliwatts: place.milliwatts("watts", rule.watts, 0)?,
        cpu_millicores: rule.cpu_millicores.unwrap_or(0),
        memory_mebibytes: rule.memory_mebibytes.unwrap_or(0),
        movable: rule.movable,
        startable: start.is_some(),
        stoppable: true,
        restartable: rule.restartable,
        move_millis: place.millis("move_seconds", rule.move_seconds, 0)?,
        move_joules: place.joules("move_joules", rule.move_joules)?,
        stop_millis: place.millis("stop_seconds", rule.stop_seconds, STOP_MILLIS)?,
        stop_joules: place.joules("stop_joules", rule.stop_joules)?,
        start_millis: place.millis("start_seconds", rule.start_seconds, START_MILLIS)?,
    };
    let key = ActivityKey {
        activity: name,
        server: server.name.clone(),
    };
    Ok(ActivityEntry {
        key,
        facts,
        source: ActivitySource::Process {
            pattern: Box::new(pattern),
            start,
        },
    })
}

fn argv(place: &Place<'_>, key: &str, argv: Vec<String>) -> Result<Vec<String>, TomlError> {
    match argv.first() {
        Some(program) if !program.is_empty() => Ok(argv),
        _ => place.fail(key, "is empty, expected a program and its arguments"),
    }
}

/// A name as the name of a file: what could lead out of the folder is replaced.
fn file_name(name: &Name) -> String {
    let text: String = name
        .as_str()
        .chars()
        .map(|c| {
            if c.is_alphanumeric() || "-_.@".contains(c) {
                c
            } else {
                '_'
            }
        })
        .collect();
    format!("{}.log", text.trim_start_matches('.'))
}
