//! From the file's form to the configuration: what the parts mean, and whether they fit together.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cops_codec::wire::PepId;
use power_policy::grouping::Glob;
use power_policy::model::Name;

use super::form::{self, Form, IntegrityMode};
use super::{
    AgentConfig, IntegrityEntry, ReserveEntry, ReserveSource, ServerEntry, TlsEntry, activities, lines, pdp,
    plant, reserves, servers,
};
use crate::drivers::exec::ExecProgram;
use crate::drivers::process::Pattern;
use crate::engine::facts::{Role, Witness};
use crate::io::toml_file::{TomlError, TomlFile};
use crate::limits;

/// How long a question to a program may take where the file says nothing.
const PROGRAM_LIMIT: Duration = Duration::from_secs(5);

/// Where a key stands, so that errors find it.
pub(super) struct Place<'a> {
    text: &'a TomlFile,
    list: Option<(&'a str, usize)>,
}

impl<'a> Place<'a> {
    /// A table of an array.
    pub(super) fn of(text: &'a TomlFile, list: &'a str, index: usize) -> Self {
        Self {
            text,
            list: Some((list, index)),
        }
    }

    pub(super) fn fail<T>(&self, key: &str, problem: impl Into<String>) -> Result<T, TomlError> {
        Err(self.text.error_at(self.list, key, problem.into()))
    }

    pub(super) fn name(&self, key: &str, text: &str) -> Result<Name, TomlError> {
        Name::new(text).or_else(|error| self.fail(key, error.to_string()))
    }

    pub(super) fn optional_name(&self, key: &str, text: Option<&String>) -> Result<Option<Name>, TomlError> {
        text.map(|text| self.name(key, text)).transpose()
    }

    pub(super) fn glob(&self, key: &str, text: Option<&String>) -> Result<Option<Glob>, TomlError> {
        text.map(|text| Glob::new(text).or_else(|error| self.fail(key, error.to_string())))
            .transpose()
    }

    /// A quantity within bounds, in thousandths of its unit, or its default (in thousandths too).
    pub(super) fn thousandths(
        &self,
        key: &str,
        value: Option<f64>,
        default: u64,
        low: f64,
        high: f64,
    ) -> Result<u64, TomlError> {
        match value {
            None => Ok(default),
            // Not "out of range": NaN is in no range.
            Some(value) if !(low..=high).contains(&value) => {
                self.fail(key, format!("is {value}, expected {low} to {high}"))
            }
            Some(value) => Ok((value * 1_000.0).round() as u64),
        }
    }

    pub(super) fn milliwatts(&self, key: &str, value: Option<f64>, default: u32) -> Result<u32, TomlError> {
        let milliwatts = self.thousandths(key, value, u64::from(default), 0.0, MAX_WATTS)?;
        Ok(u32::try_from(milliwatts).unwrap_or(u32::MAX))
    }

    pub(super) fn millis(&self, key: &str, seconds: Option<f64>, default: u32) -> Result<u32, TomlError> {
        let millis = self.thousandths(key, seconds, u64::from(default), 0.0, limits::MAX_SECONDS as f64)?;
        Ok(u32::try_from(millis).unwrap_or(u32::MAX))
    }

    pub(super) fn joules(&self, key: &str, value: Option<f64>) -> Result<u64, TomlError> {
        Ok(self.thousandths(key, value, 0, 0.0, MAX_JOULES)?.div_ceil(1_000))
    }

    pub(super) fn duration(
        &self,
        key: &str,
        seconds: Option<f64>,
        default: Duration,
        low: f64,
    ) -> Result<Duration, TomlError> {
        let default = u64::try_from(default.as_millis()).unwrap_or(u64::MAX);
        self.thousandths(key, seconds, default, low, limits::MAX_SECONDS as f64)
            .map(Duration::from_millis)
    }

    /// A required key.
    pub(super) fn needs<T>(&self, key: &str, value: Option<T>, why: &str) -> Result<T, TomlError> {
        match value {
            Some(value) => Ok(value),
            None => self.fail(key, format!("is missing, expected {why}")),
        }
    }

    /// The program of a thing with `driver = "exec"`, and its time.
    pub(super) fn program(
        &self,
        argv: Option<&Vec<String>>,
        limit_seconds: Option<f64>,
    ) -> Result<ExecProgram, TomlError> {
        let argv = self.needs(
            "program",
            argv.filter(|argv| argv.first().is_some_and(|program| !program.is_empty())),
            "the program that answers for it and its arguments, as in [\"/usr/local/lib/pep-agent/pdu\", \"7\"]",
        )?;
        Ok(ExecProgram {
            argv: argv.clone(),
            limit: self.duration("limit_seconds", limit_seconds, PROGRAM_LIMIT, 0.1)?,
        })
    }

    /// Keys of `driver = "exec"`, which have no place elsewhere.
    pub(super) fn refuse_program(
        &self,
        argv: Option<&Vec<String>>,
        limit_seconds: Option<f64>,
    ) -> Result<(), TomlError> {
        let given = [
            ("program", argv.is_some()),
            ("limit_seconds", limit_seconds.is_some()),
        ];
        self.refuse(&given, "it is for driver = \"exec\"")
    }

    /// Keys that have no place here.
    pub(super) fn refuse(&self, keys: &[(&str, bool)], why: &str) -> Result<(), TomlError> {
        match keys.iter().find(|(_, is_given)| *is_given) {
            Some((key, _)) => self.fail(key, format!("has no place here: {why}")),
            None => Ok(()),
        }
    }
}

/// Largest power of anything, in watts: what the wire's Unsigned32 of milliwatts carries.
const MAX_WATTS: f64 = 4_294_967.0;
/// Largest energy in a key, in joules (1 MWh).
pub(super) const MAX_JOULES: f64 = 3.6e9;

pub(super) fn check(text: &TomlFile, file: &Path) -> Result<AgentConfig, TomlError> {
    let mut form: Form = text.decode()?;
    let folder = match file.parent() {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    let table = Place { text, list: None };
    let name =
        Name::new(&form.agent.name).or_else(|error| table.fail_in("agent", "name", error.to_string()))?;
    // It is the PEPID (RFC 2748 2.2.11: "an ASCII string").
    if let Err(error) = PepId::new(name.as_str()) {
        return table.fail_in("agent", "name", error.to_string());
    }
    let integrity = integrity(&table, &form, &folder)?;
    // What cannot be forged may go beyond loopback.
    form.pdp.allow_plain |= integrity.as_ref().is_some_and(|integrity| integrity.required);
    let tls = tls(&table, &form, &folder)?;
    form.pdp.allow_plain |= tls.as_ref().is_some_and(|tls| tls.required);
    let state_dir = folder.join(&form.agent.state_dir);
    let socket = match &form.agent.socket {
        Some(socket) => folder.join(socket),
        None => state_dir.join("agent.sock"),
    };
    bound(text, "server", form.server.len(), limits::MAX_SERVERS)?;
    bound(text, "reserve", form.reserve.len(), limits::MAX_RESERVES)?;
    bound(text, "line", form.line.len(), limits::MAX_LINES)?;
    bound(text, "domain", form.domain.len(), limits::MAX_RESERVES)?;
    bound(
        text,
        "activity",
        form.activity.len() + form.manage.len(),
        limits::MAX_ACTIVITIES,
    )?;

    let servers = servers::servers(text, &form, &folder)?;
    let reserves = reserves::reserves(text, &form, &servers, &folder)?;
    for (index, server) in servers.iter().enumerate() {
        if server.measure_draws && server.rapl.is_none() && sole_ups(server, &reserves).is_none() {
            return Place::of(text, "server", index).fail(
                "measure_draws",
                "needs something that measures: rapl_rest_watts, or one NUT reserve that feeds this server alone",
            );
        }
    }
    let lines = lines::lines(text, &form, &folder)?;
    let domains = domains(text, &form)?;
    let activities = activities::activities(text, &form, &servers, &state_dir, &folder)?;
    let plant = plant::plant(text, &form, &folder, &servers, &reserves, &lines, &domains)?;
    Ok(AgentConfig {
        name,
        state_dir,
        socket,
        armed: form.agent.mode == form::Mode::Armed,
        pdp: pdp::pdp(&table, &form)?,
        integrity,
        tls,
        plant,
        servers,
        domains,
        reserves,
        lines,
        activities,
        deny_defaults: form.deny.defaults,
        deny: deny(&table, &form.deny)?,
    })
}

impl Place<'_> {
    /// An error at a key of a plain table.
    pub(super) fn fail_in<T>(
        &self,
        table: &str,
        key: &str,
        problem: impl Into<String>,
    ) -> Result<T, TomlError> {
        Err(self.text.error_in(table, key, problem.into()))
    }
}

fn bound(text: &TomlFile, list: &str, count: usize, most: usize) -> Result<(), TomlError> {
    if count <= most {
        return Ok(());
    }
    Err(text.error_at(
        None,
        list,
        format!("has {count} entries, expected at most {most}"),
    ))
}

fn tls(table: &Place<'_>, form: &Form, folder: &Path) -> Result<Option<TlsEntry>, TomlError> {
    let Some(tls) = form.tls.as_ref().filter(|tls| tls.mode != IntegrityMode::Off) else {
        return Ok(None);
    };
    let file = |key: &str, value: &Option<String>| match value.as_ref().filter(|path| !path.is_empty()) {
        Some(path) => Ok(folder.join(path)),
        None => {
            let problem = "is missing, expected a file in PEM, unless mode is \"off\"".to_owned();
            table.fail_in("tls", key, problem)
        }
    };
    let entry = TlsEntry {
        required: tls.mode == IntegrityMode::Required,
        certificate: file("certificate", &tls.certificate)?,
        key: file("key", &tls.key)?,
        authorities: file("authorities", &tls.authorities)?,
        names: tls.names.clone(),
    };
    for (host, name) in &entry.names {
        if entry.name_of(host).is_err() {
            let problem = format!("gives {host} the name {name:?}, expected a DNS name or an address");
            return table.fail_in("tls", "names", problem);
        }
    }
    Ok(Some(entry))
}

fn integrity(table: &Place<'_>, form: &Form, folder: &Path) -> Result<Option<IntegrityEntry>, TomlError> {
    let Some(integrity) = form
        .integrity
        .as_ref()
        .filter(|integrity| integrity.mode != IntegrityMode::Off)
    else {
        return Ok(None);
    };
    let Some(keys) = integrity.keys.as_ref().filter(|keys| !keys.is_empty()) else {
        let problem = "is missing, expected the file of keys, unless mode is \"off\"".to_owned();
        return table.fail_in("integrity", "keys", problem);
    };
    Ok(Some(IntegrityEntry {
        required: integrity.mode == IntegrityMode::Required,
        keys: folder.join(keys),
    }))
}

/// The NUT reserve that feeds a server, and feeds it alone: its load is the server's draw.
pub(crate) fn sole_ups<'a>(server: &ServerEntry, reserves: &'a [ReserveEntry]) -> Option<&'a ReserveEntry> {
    let feeds = |reserve: &&ReserveEntry| {
        reserve
            .facts
            .as_ref()
            .is_some_and(|facts| facts.feeds.contains(&server.name))
    };
    let mut feeding = reserves.iter().filter(feeds);
    let only = feeding.next().filter(|_| feeding.next().is_none())?;
    let is_alone = only.facts.as_ref().is_some_and(|facts| facts.feeds.len() == 1);
    (is_alone && matches!(only.source, ReserveSource::Nut { .. })).then_some(only)
}

fn domains(text: &TomlFile, form: &Form) -> Result<Vec<(Name, Witness)>, TomlError> {
    let mut seen = BTreeSet::new();
    let mut domains = Vec::new();
    for (index, domain) in form.domain.iter().enumerate() {
        let place = Place::of(text, "domain", index);
        let name = place.name("name", &domain.name)?;
        if !seen.insert(name.clone()) {
            return place.fail("name", format!("{name:?} is taken already"));
        }
        domains.push((name, witness(domain.witness)));
    }
    Ok(domains)
}

pub(super) fn witness(witness: form::Witness) -> Witness {
    match witness {
        form::Witness::Inlet => Witness::Inlet,
        form::Witness::Facility => Witness::Facility,
    }
}

pub(super) fn role(role: form::Role) -> Role {
    match role {
        form::Role::Custodian => Role::Custodian,
        form::Role::Witness => Role::Witness,
    }
}

fn deny(table: &Place<'_>, deny: &form::Deny) -> Result<Vec<Pattern>, TomlError> {
    let mut patterns = Vec::new();
    let mut add = |key: &str, texts: &[String], put: fn(&mut Pattern, Glob)| {
        for text in texts {
            let glob = Glob::new(text).or_else(|error| table.fail_in("deny", key, error.to_string()))?;
            let mut pattern = Pattern::default();
            put(&mut pattern, glob);
            patterns.push(pattern);
        }
        Ok::<(), TomlError>(())
    };
    add("comm", &deny.comm, |pattern, glob| pattern.comm = Some(glob))?;
    add("exe", &deny.exe, |pattern, glob| pattern.exe = Some(glob))?;
    add("cmdline", &deny.cmdline, |pattern, glob| {
        pattern.cmdline = Some(glob)
    })?;
    add("user", &deny.user, |pattern, glob| pattern.user = Some(glob))?;
    add("cgroup", &deny.cgroup, |pattern, glob| {
        pattern.cgroup = Some(glob)
    })?;
    Ok(patterns)
}

/// A share in percent as permille, or its default, permille.
pub(super) fn permille(
    place: &Place<'_>,
    key: &str,
    percent: Option<f64>,
    default: u32,
) -> Result<u32, TomlError> {
    let thousandths = place.thousandths(key, percent, u64::from(default) * 100, 0.0, 100.0)?;
    Ok(u32::try_from(thousandths / 100).unwrap_or(1_000))
}
