//! `pep-agent check-config`: what a file says, and what is wrong with it, before the day it matters.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::clock;
use super::config::{ActivitySource, AgentConfig, LineSource, PlantEntry, ReserveSource};
use super::keys::{KeyFile, KeysError};
use super::run::deny_list;
use super::toml_file::TomlError;
use super::trial;
use crate::drivers::cgroup::{CgroupRoot, StopBy, Which};
use crate::drivers::nut::NutServer;
use crate::drivers::process::ProcessTable;
use crate::drivers::snmp::{SnmpAccess, SnmpDevice};
use cops_codec::wire::PepId;

/// Arguments of `pep-agent check-config`.
#[derive(Clone, Debug, clap::Args)]
pub struct CheckArgs {
    /// The agent's file
    #[arg(long)]
    pub config: PathBuf,
}

/// Why a file is no good.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// It is wrong.
    #[error(transparent)]
    Config(#[from] TomlError),
    /// Its keys cannot be had.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// Its certificate, or what belongs to it, cannot be used.
    #[error(transparent)]
    Tls(#[from] crate::io::tls::TlsError),
    /// What was found cannot be printed.
    #[error("cannot print: {0}")]
    Print(#[from] std::io::Error),
}

/// Checks a file, says what it means, and reads every real thing of it once. What cannot be read is a warning: a UPS may
/// be off today.
///
/// # Errors
/// Its first fault.
pub async fn check(args: &CheckArgs) -> Result<(), CheckError> {
    let config = AgentConfig::read(&args.config)?;
    let mut lines = in_words(&config, &ProcessTable::of_this_machine());
    if let Some(integrity) = &config.integrity {
        let ring = KeyFile::new(integrity.keys.clone()).read()?;
        if ring.sending_key(clock::calendar_time()).is_none() {
            lines.push("warning: no key for message Integrity is within its lifetime now".to_owned());
        }
    }
    if let Some(tls) = &config.tls {
        // The file is not taken with a name that is no PEPID.
        if let Ok(pep_id) = PepId::new(config.name.as_str()) {
            crate::io::tls::read(tls, &pep_id)?;
        }
        let mode = if tls.required { "required" } else { "optional" };
        lines.push(format!(
            "TLS is {mode}, certificate in {}",
            tls.certificate.display()
        ));
    }
    lines.extend(missing_programs(&config));
    lines.extend(trial::read_once(&config).await);
    let mut out = std::io::stdout().lock();
    for line in lines {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

/// Commands that are run on the day only: whether there is such a program, and whether it may be run.
fn missing_programs(config: &AgentConfig) -> Vec<String> {
    let mut commands: Vec<(String, &[String])> = Vec::new();
    for server in &config.servers {
        if let Some(halt) = &server.halt {
            commands.push((format!("the halt command of server {}", server.name), halt));
        }
    }
    for activity in &config.activities {
        let of = |what: &str| format!("the {what} command of activity {}", activity.key.activity);
        match &activity.source {
            ActivitySource::Command(command) => {
                commands.extend(command.stop.iter().map(|stop| (of("stop"), stop.as_slice())));
                commands.extend(command.start.iter().map(|start| (of("start"), start.as_slice())));
            }
            ActivitySource::Process {
                start: Some(start), ..
            } => commands.push((of("start"), &start.argv)),
            _ => {}
        }
    }
    commands
        .into_iter()
        .filter_map(|(what, argv)| {
            let program = argv.first()?;
            let problem = program_problem(program)?;
            Some(format!("warning: {what}: {program} {problem}"))
        })
        .collect()
}

fn program_problem(program: &str) -> Option<&'static str> {
    use rustix::fs::{Access, access};
    let may_run = |path: &Path| path.is_file() && access(path, Access::EXEC_OK).is_ok();
    if program.contains('/') {
        let path = Path::new(program);
        return match (path.is_file(), may_run(path)) {
            (_, true) => None,
            (true, false) => Some("may not be run by this user"),
            (false, _) => Some("is not there"),
        };
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|folder| may_run(&folder.join(program)));
    (!found).then_some("is nowhere on the PATH")
}

/// Whether this user may signal a process; one that has just ended nobody has to stop.
fn may_signal(pid: i32) -> bool {
    use rustix::process::{Pid, test_kill_process};
    Pid::from_raw(pid).is_none_or(|pid| test_kill_process(pid) != Err(rustix::io::Errno::PERM))
}

/// What is found of a control group now.
fn in_words_of_group(root: &CgroupRoot, which: &Which, stop_by: &StopBy) -> Option<String> {
    match which.find(root) {
        Err(error) => Some(format!("warning: {error}")),
        Ok(None) => Some("is not here now".to_owned()),
        Ok(Some(group)) if *stop_by == StopBy::Freezing => {
            let problem = group.freezer_problem();
            let used = group.memory_octets().map(|octets| octets >> 20);
            problem.map(|problem| format!("warning: {problem}")).or_else(|| {
                Some(match used {
                    Some(mebibytes) => format!("can be frozen; uses {mebibytes} MiB of memory"),
                    None => "can be frozen".to_owned(),
                })
            })
        }
        Ok(Some(_)) => None,
    }
}

/// What to say of a password that goes over the wire in plain.
fn in_plain(server: &NutServer) -> &'static str {
    let host = server.address.rsplit_once(':').map_or("", |(host, _)| host);
    let here = host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
    if server.login.is_some() && server.trust.is_none() && !here {
        ", whose password goes over the wire in plain: give authorities or fingerprint"
    } else {
        ""
    }
}

fn snmp_version(device: &SnmpDevice) -> &'static str {
    match &device.access {
        SnmpAccess::Community(_) => "SNMP v2c, whose community goes over the wire in plain",
        SnmpAccess::Usm(usm) if usm.privacy.is_none() => "SNMP v3, without privacy",
        SnmpAccess::Usm(_) => "SNMP v3",
    }
}

/// What a file means, a line each.
fn in_words(config: &AgentConfig, table: &ProcessTable) -> Vec<String> {
    let mut lines = Vec::new();
    let mode = if config.armed {
        "armed"
    } else {
        "observes only, until `pep-agent arm`"
    };
    lines.push(format!(
        "agent {}: {mode}; PDP {}",
        config.name,
        config.pdp.addresses.join(", then ")
    ));
    if let Some(integrity) = &config.integrity {
        let mode = if integrity.required {
            "required"
        } else {
            "optional"
        };
        lines.push(format!(
            "message Integrity is {mode}, keys in {}",
            integrity.keys.display()
        ));
    }
    lines.push(
        match (
            &config.pdp.follow_redirects,
            config.pdp.redirect_addresses.as_slice(),
        ) {
            (false, _) => "follows no redirect".to_owned(),
            (true, []) => "follows redirects to these".to_owned(),
            (true, others) => format!("follows redirects to these, and to {}", others.join(", ")),
        },
    );
    lines.push(match &config.plant {
        PlantEntry::None => "nothing is simulated".to_owned(),
        PlantEntry::Shared(path) => format!("simulated in the plant at {}", path.display()),
        PlantEntry::Private(_) => "simulated in a plant of its own".to_owned(),
    });
    lines.extend(
        config
            .servers
            .iter()
            .map(|server| format!("server {} ({:?})", server.name, server.role)),
    );
    for reserve in &config.reserves {
        let source = match &reserve.source {
            ReserveSource::Simulated => "simulated".to_owned(),
            ReserveSource::Exec(program) => format!("program {}", program.argv.join(" ")),
            ReserveSource::Nut { server, ups, .. } => {
                format!("NUT, {ups} at {}{}", server.address, in_plain(server))
            }
            ReserveSource::PowerSupply { class, device, .. } => {
                format!("the kernel, {}", class.join(device).display())
            }
        };
        lines.push(format!("reserve {} ({:?}): {source}", reserve.name, reserve.role));
    }
    for line in &config.lines {
        let source = match &line.source {
            LineSource::Simulated => "simulated".to_owned(),
            LineSource::Exec(program) => format!("program {}", program.argv.join(" ")),
            LineSource::NutOutlet(facts) => format!(
                "NUT, outlet {} of {} at {}{}",
                facts.outlet,
                facts.device,
                facts.server.address,
                in_plain(&facts.server)
            ),
            LineSource::SnmpOutlet(facts) => {
                format!(
                    "{}, outlet {} at {} ({})",
                    snmp_version(&facts.device),
                    facts.outlet,
                    facts.device.address,
                    facts.table.name
                )
            }
            LineSource::SnmpTransfer { device, .. } => {
                format!("{}, transfer switch at {}", snmp_version(device), device.address)
            }
            LineSource::RedfishOutlet { service, path, .. } => {
                format!("Redfish, outlet {path} at {}", service.host)
            }
            LineSource::RedfishTransfer { service, path, .. } => {
                format!("Redfish, transfer switch {path} at {}", service.host)
            }
        };
        lines.push(format!("line {} ({:?}): {source}", line.name, line.role));
    }
    let deny = deny_list(config);
    let processes = table.scan();
    for activity in &config.activities {
        let facts = &activity.facts;
        let can: Vec<&str> = [
            (facts.stoppable, "stop"),
            (facts.startable, "start"),
            (facts.movable, "move"),
        ]
        .into_iter()
        .filter_map(|(can, what)| can.then_some(what))
        .collect();
        let can = if can.is_empty() {
            "touched by nobody".to_owned()
        } else {
            format!("can {}", can.join(", "))
        };
        lines.push(format!(
            "activity {} on {}: {can}",
            activity.key.activity, activity.key.server
        ));
        if let ActivitySource::Cgroup { root, which, stop_by } = &activity.source {
            lines.extend(in_words_of_group(root, which, stop_by).map(|line| format!("  {line}")));
        }
        let ActivitySource::Process { pattern, .. } = &activity.source else {
            continue;
        };
        match &processes {
            Err(error) => lines.push(format!("  warning: the process table: {error}")),
            Ok(all) => {
                let matching: Vec<_> = all.iter().filter(|process| pattern.matches(process)).collect();
                lines.push(format!("  matches {} processes now", matching.len()));
                lines.extend(
                    matching
                        .iter()
                        .filter(|process| !may_signal(process.pid))
                        .take(1)
                        .map(|process| {
                            format!(
                                "  warning: {} (process {}) is {}'s, and may not be stopped by this user",
                                process.comm, process.pid, process.user
                            )
                        }),
                );
                for reason in matching.iter().filter_map(|process| deny.reason(process, all)) {
                    lines.push(format!(
                        "  warning: it matches what is never touched, so all of it is left alone: {reason}"
                    ));
                }
            }
        }
    }
    lines
}
