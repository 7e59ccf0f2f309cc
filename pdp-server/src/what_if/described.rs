//! A cluster as a person describes it, in TOML: for trying out what has not been bought yet.
//!
//! `pdp-server/examples/cluster.toml` shows every key. Unknown keys are errors, quantities carry their unit in the key.
//! Everything described is armed; it is simulated, so that it is never pooled with what is real.

use std::collections::BTreeMap;
use std::ops::Range;

use power_policy::grouping::{Grouping, GroupingPolicy, Rank, SetDefinition, Subject, Target};
use power_policy::model::{
    Activity, ActivityState, Changeover, Chemistry, Domain, DomainId, FigureSource, Inlet, Line, LineMode,
    LineState, Mains, Name, Powered, Reserve, ReserveId, ReserveState, Server, ServerId, Snapshot,
};
use serde::Deserialize;
use toml::Spanned;

/// Who has custody of all reserves and lines: an agent of the rack, which runs on none of the servers, so that any server may
/// be switched off.
const CUSTODIAN: &str = "(rack)";

/// What is wrong with a description.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {problem}")]
pub struct DescribedError {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong, and what was expected.
    pub problem: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Root {
    #[serde(default)]
    set: Vec<SetForm>,
    #[serde(default)]
    domain: Vec<DomainForm>,
    #[serde(default)]
    server: Vec<ServerForm>,
    #[serde(default)]
    reserve: Vec<ReserveForm>,
    #[serde(default)]
    line: Vec<LineForm>,
    #[serde(default)]
    activity: Vec<ActivityForm>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetForm {
    name: Spanned<String>,
    priority: u16,
    #[serde(default)]
    weight: Option<u32>,
    #[serde(default)]
    target_seconds: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DomainForm {
    name: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ServerForm {
    name: Spanned<String>,
    #[serde(default)]
    domains: Vec<Spanned<String>>,
    idle_watts: u64,
    peak_watts: u64,
    #[serde(default = "plenty")]
    cpu_millicores: u64,
    #[serde(default = "plenty")]
    memory_mebibytes: u64,
    #[serde(default = "minute")]
    boot_seconds: u64,
    #[serde(default = "third_of_a_minute")]
    halt_seconds: u64,
    /// Something else can switch it on again, so that a plan may switch it off.
    #[serde(default)]
    can_be_switched_on: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReserveForm {
    name: Spanned<String>,
    #[serde(default)]
    feeds: Vec<Spanned<String>>,
    capacity_watt_hours: u64,
    #[serde(default = "hundred")]
    charge_percent: u64,
    #[serde(default = "ten")]
    cutoff_percent: u64,
    max_discharge_watts: u64,
    #[serde(default = "inverter")]
    efficiency_percent: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LineForm {
    name: Spanned<String>,
    reserves: Vec<Spanned<String>>,
    servers: Vec<Spanned<String>>,
    max_watts: u64,
    #[serde(default = "cable")]
    efficiency_percent: u32,
    #[serde(default)]
    switch_milliseconds: u64,
    #[serde(default)]
    exclusive: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ActivityForm {
    name: Spanned<String>,
    server: Spanned<String>,
    #[serde(default)]
    set: String,
    #[serde(default)]
    qos: String,
    #[serde(default)]
    data_type: String,
    #[serde(default)]
    process: String,
    watts: u64,
    #[serde(default)]
    cpu_millicores: u64,
    #[serde(default)]
    memory_mebibytes: u64,
    /// Servers to which it can be moved; empty: it stays.
    #[serde(default)]
    also_on: Vec<Spanned<String>>,
    #[serde(default = "ten")]
    stop_seconds: u64,
    #[serde(default = "ten")]
    move_seconds: u64,
}

fn plenty() -> u64 {
    1_000_000
}
fn minute() -> u64 {
    60
}
fn third_of_a_minute() -> u64 {
    20
}
fn hundred() -> u64 {
    100
}
fn ten() -> u64 {
    10
}
fn inverter() -> u32 {
    92
}
fn cable() -> u32 {
    95
}

/// Names of one kind with their places in the sorted list.
struct Index {
    what: &'static str,
    places: BTreeMap<Name, u32>,
}

struct Reader<'a> {
    file: &'a str,
    text: &'a str,
}

impl Reader<'_> {
    fn error(&self, span: Range<usize>, problem: String) -> DescribedError {
        let octets = &self.text.as_bytes()[..span.start.min(self.text.len())];
        DescribedError {
            file: self.file.to_owned(),
            line: octets.iter().filter(|octet| **octet == b'\n').count() + 1,
            problem,
        }
    }

    fn name(&self, value: &Spanned<String>) -> Result<Name, DescribedError> {
        Name::new(value.as_ref()).map_err(|error| self.error(value.span(), error.to_string()))
    }

    fn index<'f>(
        &self,
        what: &'static str,
        names: impl Iterator<Item = &'f Spanned<String>>,
    ) -> Result<Index, DescribedError> {
        let mut places = BTreeMap::new();
        for spanned in names {
            if places.insert(self.name(spanned)?, 0).is_some() {
                let problem = format!("{what} '{}' is there twice", spanned.as_ref());
                return Err(self.error(spanned.span(), problem));
            }
        }
        for (place, (_, value)) in (0..).zip(places.iter_mut()) {
            *value = place;
        }
        Ok(Index { what, places })
    }

    fn place(&self, index: &Index, name: &Spanned<String>) -> Result<u32, DescribedError> {
        let found = index.places.get(name.as_ref().as_str()).copied();
        found.ok_or_else(|| {
            let known: Vec<&str> = index.places.keys().map(Name::as_str).take(12).collect();
            let problem = format!(
                "there is no {} '{}'; expected one of {}",
                index.what,
                name.as_ref(),
                known.join(", ")
            );
            self.error(name.span(), problem)
        })
    }

    fn places(&self, index: &Index, names: &[Spanned<String>]) -> Result<Vec<u32>, DescribedError> {
        let mut places = names
            .iter()
            .map(|name| self.place(index, name))
            .collect::<Result<Vec<_>, _>>()?;
        places.sort_unstable();
        places.dedup();
        Ok(places)
    }
}

/// Reads a description. `grouping` gives the sets and rules of a PDP's file; `None`: the description has its own `[[set]]`.
///
/// # Errors
/// [`DescribedError`], with file and line.
pub fn read(file: &str, text: &str, grouping: Option<&Grouping>) -> Result<Snapshot, DescribedError> {
    let reader = Reader { file, text };
    let root: Root = toml::from_str(text).map_err(|error| {
        let span = error.span().unwrap_or(0..0);
        reader.error(span, error.message().to_owned())
    })?;
    let own;
    let grouping = match (grouping, root.set.first()) {
        (Some(_), Some(first)) => {
            let problem = "the sets are those of the PDP's file; expected no [[set]] here".to_owned();
            return Err(reader.error(first.name.span(), problem));
        }
        (Some(grouping), None) => grouping,
        (None, _) => {
            own = own_grouping(&reader, &root.set)?;
            &own
        }
    };
    let domains = reader.index("domain", root.domain.iter().map(|d| &d.name))?;
    let servers = reader.index("server", root.server.iter().map(|s| &s.name))?;
    let reserves = reader.index("reserve", root.reserve.iter().map(|r| &r.name))?;
    let lines = reader.index("line", root.line.iter().map(|l| &l.name))?;
    let activities = reader.index("activity", root.activity.iter().map(|a| &a.name))?;
    let mut snapshot = Snapshot {
        sets: grouping.sets().to_vec(),
        domains: domains
            .places
            .keys()
            .map(|name| Domain {
                name: name.clone(),
                mains: Mains::Present,
            })
            .collect(),
        servers: in_order(&root.server, |s| reader.server(s, &domains))?,
        reserves: in_order(&root.reserve, |r| reader.reserve(r, &servers))?,
        lines: in_order(&root.line, |l| reader.line(l, &reserves, &servers))?,
        activities: in_order(&root.activity, |a| reader.activity(a, &servers, grouping))?,
        outage: None,
    };
    // What was checked for being there once is there once.
    debug_assert_eq!(snapshot.lines.len(), lines.places.len());
    debug_assert_eq!(snapshot.activities.len(), activities.places.len());
    snapshot.servers.sort_by(|a, b| a.name.cmp(&b.name));
    snapshot.reserves.sort_by(|a, b| a.name.cmp(&b.name));
    snapshot.lines.sort_by(|a, b| a.name.cmp(&b.name));
    snapshot.activities.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(snapshot)
}

fn in_order<F, T>(
    forms: &[F],
    read: impl Fn(&F) -> Result<T, DescribedError>,
) -> Result<Vec<T>, DescribedError> {
    forms.iter().map(read).collect()
}

fn own_grouping(reader: &Reader<'_>, forms: &[SetForm]) -> Result<Grouping, DescribedError> {
    let mut policy = GroupingPolicy::default();
    for form in forms {
        policy.sets.push(SetDefinition {
            name: reader.name(&form.name)?,
            rank: Rank::Priority(form.priority),
            weight: form.weight,
            target: Some(Target::Millis(form.target_seconds.saturating_mul(1_000))),
        });
    }
    let span = forms.first().map_or(0..0, |form| form.name.span());
    Grouping::new(policy).map_err(|error| reader.error(span, error.to_string()))
}

fn milli(whole: u64) -> u64 {
    whole.saturating_mul(1_000)
}

fn percent_of(whole: u64, percent: u64) -> u64 {
    u64::try_from(u128::from(whole) * u128::from(percent.min(100)) / 100).unwrap_or(u64::MAX)
}

impl Reader<'_> {
    fn server(&self, form: &ServerForm, domains: &Index) -> Result<Server, DescribedError> {
        if form.idle_watts > form.peak_watts {
            let problem = format!(
                "idle_watts: expected at most peak_watts ({}), found {}",
                form.peak_watts, form.idle_watts
            );
            return Err(self.error(form.name.span(), problem));
        }
        let name = self.name(&form.name)?;
        let inlets = self.places(domains, &form.domains)?;
        Ok(Server {
            pep: Some(name.clone()),
            idle_milliwatts: milli(form.idle_watts),
            peak_milliwatts: milli(form.peak_watts),
            cpu_millicores: form.cpu_millicores,
            memory_mebibytes: form.memory_mebibytes,
            powered: Powered::On,
            mains: Mains::Present,
            inlets: inlets
                .into_iter()
                .map(|domain| Inlet {
                    domain: DomainId(domain),
                    max_milliwatts: milli(form.peak_watts),
                })
                .collect(),
            boot_millis: milli(form.boot_seconds),
            boot_millijoules: 0,
            halt_millis: milli(form.halt_seconds),
            halt_millijoules: milli(form.halt_seconds.saturating_mul(form.idle_watts)),
            starter: form.can_be_switched_on.then(|| name.clone()),
            custodian_in_use: false,
            fan_in: 0,
            simulated: true,
            armed: true,
            measured_milliwatts: None,
            age_millis: 0,
            name,
        })
    }

    fn reserve(&self, form: &ReserveForm, servers: &Index) -> Result<Reserve, DescribedError> {
        const MILLIJOULES_A_WATT_HOUR: u64 = 3_600_000;
        for (key, found) in [
            ("charge_percent", form.charge_percent),
            ("cutoff_percent", form.cutoff_percent),
            ("efficiency_percent", u64::from(form.efficiency_percent)),
        ] {
            if found > 100 {
                let problem = format!("{key}: expected 0 to 100, found {found}");
                return Err(self.error(form.name.span(), problem));
            }
        }
        let capacity = form.capacity_watt_hours.saturating_mul(MILLIJOULES_A_WATT_HOUR);
        Ok(Reserve {
            name: self.name(&form.name)?,
            pep: Name::new(CUSTODIAN).ok(),
            chemistry: Chemistry::Other,
            capacity_millijoules: capacity,
            charge_millijoules: percent_of(capacity, form.charge_percent),
            cutoff_millijoules: percent_of(capacity, form.cutoff_percent),
            max_discharge_milliwatts: milli(form.max_discharge_watts),
            efficiency_permille: form.efficiency_percent * 10,
            peukert_permille: 1_000,
            reference_milliwatts: 0,
            state: ReserveState::Idle,
            fan_out: 0,
            source: FigureSource::Configured,
            simulated: true,
            armed: true,
            feeds: self
                .places(servers, &form.feeds)?
                .into_iter()
                .map(ServerId)
                .collect(),
            age_millis: 0,
        })
    }

    fn line(&self, form: &LineForm, reserves: &Index, servers: &Index) -> Result<Line, DescribedError> {
        if form.efficiency_percent > 100 {
            let problem = format!(
                "efficiency_percent: expected 0 to 100, found {}",
                form.efficiency_percent
            );
            return Err(self.error(form.name.span(), problem));
        }
        Ok(Line {
            name: self.name(&form.name)?,
            pep: Name::new(CUSTODIAN).ok(),
            max_milliwatts: milli(form.max_watts),
            efficiency_permille: form.efficiency_percent * 10,
            switch_millis: form.switch_milliseconds,
            mode: if form.exclusive {
                LineMode::Exclusive
            } else {
                LineMode::Shared
            },
            changeover: Changeover::Parallel,
            state: LineState::Open,
            reserves: self
                .places(reserves, &form.reserves)?
                .into_iter()
                .map(ReserveId)
                .collect(),
            servers: self
                .places(servers, &form.servers)?
                .into_iter()
                .map(ServerId)
                .collect(),
            joined: Vec::new(),
            simulated: true,
            armed: true,
        })
    }

    fn activity(
        &self,
        form: &ActivityForm,
        servers: &Index,
        grouping: &Grouping,
    ) -> Result<Activity, DescribedError> {
        let name = self.name(&form.name)?;
        let host = ServerId(self.place(servers, &form.server)?);
        let assigned = grouping.assign(&Subject {
            name: name.as_str(),
            data_type: &form.data_type,
            process: &form.process,
            qos_class: &form.qos,
            asked_set: &form.set,
        });
        if assigned.set.is_none() && !(form.set.is_empty() && form.qos.is_empty()) {
            return Err(self.error(form.name.span(), assigned.reason.to_string()));
        }
        let mut startable_on: Vec<ServerId> = self
            .places(servers, &form.also_on)?
            .into_iter()
            .map(ServerId)
            .collect();
        let movable = !startable_on.is_empty();
        startable_on.push(host);
        startable_on.sort_unstable();
        startable_on.dedup();
        Ok(Activity {
            name,
            set: assigned.set,
            host,
            home: host,
            state: ActivityState::Running,
            copies: Vec::new(),
            startable_on,
            draw_milliwatts: milli(form.watts),
            cpu_millicores: form.cpu_millicores,
            memory_mebibytes: form.memory_mebibytes,
            movable,
            restartable: true,
            move_millis: milli(form.move_seconds),
            move_millijoules: 0,
            stop_millis: milli(form.stop_seconds),
            stop_millijoules: milli(form.stop_seconds.saturating_mul(form.watts)),
            shed: false,
            armed: true,
        })
    }
}
