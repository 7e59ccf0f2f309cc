//! From text to [`Config`]: shape by serde, meaning here; every refusal knows its place in the text.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::{Range, RangeInclusive};
use std::path::PathBuf;

use power_policy::grouping::{
    Glob, Grouping, GroupingPolicy, MatchOn, Qos, Rank, Rule, SetDefinition, Target,
};
use power_policy::model::{Name, PowerPolicy};
use toml::Spanned;

use super::{
    Admin, Config, Cops, Integrity, Journal, Listen, OnUnreadable, PeerPolicy, PeerRule, Tls, Web, WebTls,
    raw,
};
use crate::limits;

/// What is wrong with a configuration file: where, which key, and what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {key}: {problem}")]
pub struct ConfigError {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The key, with its table.
    pub key: String,
    /// What is wrong, and what was expected.
    pub problem: String,
}

/// The text that errors point into.
pub(super) struct Source<'a> {
    file: &'a str,
    text: &'a str,
}

impl Source<'_> {
    pub(super) fn error(&self, span: Range<usize>, problem: impl Into<String>) -> ConfigError {
        let start = floor_boundary(self.text, span.start);
        ConfigError {
            file: self.file.to_owned(),
            line: self.text[..start].matches('\n').count() + 1,
            key: key_at(self.text, start),
            problem: problem.into(),
        }
    }

    pub(super) fn name(&self, value: &Spanned<String>) -> Result<Name, ConfigError> {
        Name::new(value.as_ref()).map_err(|e| self.error(value.span(), e.to_string()))
    }

    fn glob(&self, value: &Spanned<String>) -> Result<Glob, ConfigError> {
        Glob::new(value.as_ref()).map_err(|e| self.error(value.span(), e.to_string()))
    }

    fn globs(&self, values: &Option<Vec<Spanned<String>>>) -> Result<Option<Vec<Glob>>, ConfigError> {
        let Some(values) = values else { return Ok(None) };
        values
            .iter()
            .map(|v| self.glob(v))
            .collect::<Result<_, _>>()
            .map(Some)
    }

    /// A number within bounds, or its default.
    pub(super) fn within<T: Copy + PartialOrd + std::fmt::Display>(
        &self,
        value: &Option<Spanned<T>>,
        default: T,
        bounds: RangeInclusive<T>,
    ) -> Result<T, ConfigError> {
        let Some(value) = value else { return Ok(default) };
        let v = *value.get_ref();
        if !bounds.contains(&v) {
            let problem = format!(
                "{v} is out of range; expected {} to {}",
                bounds.start(),
                bounds.end()
            );
            return Err(self.error(value.span(), problem));
        }
        Ok(v)
    }

    /// Seconds of a key as milliseconds, or the default.
    pub(super) fn seconds(
        &self,
        value: &Option<Spanned<u64>>,
        default_millis: u64,
        bounds: RangeInclusive<u64>,
    ) -> Result<u64, ConfigError> {
        if value.is_none() {
            return Ok(default_millis);
        }
        Ok(self.within(value, 0, bounds)?.saturating_mul(1000))
    }
}

/// The last character boundary at or before `at`.
fn floor_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// The key at a place in the text, with the table it stands in.
fn key_at(text: &str, at: usize) -> String {
    let line_start = text[..at].rfind('\n').map_or(0, |n| n + 1);
    let line = text[line_start..].lines().next().unwrap_or("").trim();
    let header_of = |line: &str| {
        let line = line.trim();
        let inner = line.strip_prefix('[')?;
        let inner = inner.strip_prefix('[').unwrap_or(inner);
        inner.split(']').next().map(|t| t.trim().to_owned())
    };
    let is_header = line.starts_with('[');
    if is_header {
        return header_of(line).unwrap_or_default();
    }
    let table = text[..line_start].lines().rev().find_map(|l| {
        let starts_table = l.trim_start().starts_with('[') && !l.trim_start().starts_with("[\"");
        if starts_table { header_of(l) } else { None }
    });
    let key = line.split('=').next().unwrap_or("").trim();
    match (table, key.is_empty() || key.starts_with('#')) {
        (Some(table), false) => format!("{table}.{key}"),
        (Some(table), true) => table,
        (None, false) => key.to_owned(),
        (None, true) => "(file)".to_owned(),
    }
}

pub(super) fn parse(file: &str, text: &str) -> Result<Config, ConfigError> {
    let source = Source { file, text };
    if text.len() > limits::MAX_CONFIG_OCTETS {
        let problem = format!("the file has more than {} octets", limits::MAX_CONFIG_OCTETS);
        return Err(source.error(0..0, problem));
    }
    let root: raw::Root = toml::from_str(text)
        .map_err(|e| source.error(e.span().unwrap_or(0..0), e.message().replace('\n', " ")))?;
    let name = match &root.name {
        Some(name) => source.name(name)?,
        None => Name::new("pdp").map_err(|e| source.error(0..0, e.to_string()))?,
    };
    let (policy, report_period_is_given) = policy(&source, &root)?;
    let cops = cops(&source, root.cops.as_ref())?;
    check_report_period(&source, &root, cops.accounting_seconds)?;
    let integrity = integrity(&source, root.integrity.as_ref())?;
    let tls = tls(&source, root.tls.as_ref())?;
    let is_required = integrity.as_ref().is_some_and(|integrity| integrity.required)
        || tls.as_ref().is_some_and(|tls| tls.required);
    let listen = listen(&source, &root.listen, is_required)?;
    Ok(Config {
        name,
        redirect: redirect(&source, root.redirect.as_ref(), listen.address)?,
        listen,
        journal: Journal {
            path: path(&source, &root.journal.path)?,
            on_unreadable: root.journal.on_unreadable.unwrap_or(OnUnreadable::Refuse),
        },
        admin: Admin {
            socket: path(&source, &root.admin.socket)?,
        },
        web: web(&source, root.web.as_ref())?,
        notify: super::notify::parse(&source, &root.notify)?,
        peers: peers(&source, &root)?,
        grouping: grouping(&source, &root)?,
        facility_witnesses: witnesses(&source, &root)?,
        policy,
        contingencies: root.policy.as_ref().and_then(|p| p.contingencies).unwrap_or(true),
        report_period_is_given,
        cops,
        integrity,
        tls,
    })
}

fn tls(source: &Source<'_>, raw: Option<&raw::Tls>) -> Result<Option<Tls>, ConfigError> {
    let Some(raw) = raw.filter(|raw| raw.mode != raw::TlsMode::Off) else {
        return Ok(None);
    };
    let file = |key: &str, value: &Option<Spanned<String>>| match value {
        Some(value) => path(source, value),
        None => {
            let at = source.text.find("[tls]").unwrap_or(0);
            let problem = format!("expected `{key}`, a file in PEM, unless mode is \"off\"");
            Err(source.error(at..at, problem))
        }
    };
    let most = source.within(&raw.max_handshakes, 64, 1..=10_000)?;
    Ok(Some(Tls {
        required: raw.mode == raw::TlsMode::Required,
        certificate: file("certificate", &raw.certificate)?,
        key: file("key", &raw.key)?,
        authorities: file("authorities", &raw.authorities)?,
        handshake_timeout_millis: source.seconds(&raw.handshake_timeout_seconds, 5_000, 1..=60)?,
        max_handshakes: usize::try_from(most).unwrap_or(usize::MAX),
    }))
}

fn integrity(source: &Source<'_>, raw: Option<&raw::Integrity>) -> Result<Option<Integrity>, ConfigError> {
    let Some(raw) = raw.filter(|raw| raw.mode != raw::IntegrityMode::Off) else {
        return Ok(None);
    };
    let Some(keys) = &raw.keys else {
        let at = source.text.find("[integrity]").unwrap_or(0);
        let problem = "expected `keys`, the file of keys, unless mode is \"off\"";
        return Err(source.error(at..at, problem));
    };
    Ok(Some(Integrity {
        required: raw.mode == raw::IntegrityMode::Required,
        keys: path(source, keys)?,
        numbers: raw
            .numbers
            .as_ref()
            .map(|numbers| path(source, numbers))
            .transpose()?,
    }))
}

pub(super) fn path(source: &Source<'_>, value: &Spanned<String>) -> Result<PathBuf, ConfigError> {
    if value.get_ref().is_empty() {
        return Err(source.error(value.span(), "empty; expected a path"));
    }
    Ok(PathBuf::from(value.get_ref()))
}

fn listen(source: &Source<'_>, raw: &raw::Listen, is_protected: bool) -> Result<Listen, ConfigError> {
    let address: SocketAddr = raw.address.get_ref().parse().map_err(|_| {
        let problem = format!(
            "'{}' is no address; expected IP:PORT, as in 127.0.0.1:3288 or [::1]:3288",
            raw.address.get_ref()
        );
        source.error(raw.address.span(), problem)
    })?;
    if !address.ip().is_loopback() && !raw.allow_plain && !is_protected {
        let problem = format!(
            "{address} is not loopback, and plain COPS is neither encrypted nor authenticated; expected a loopback \
             address, [tls] or [integrity] mode = \"required\", or listen.allow_plain = true on a network that is closed \
             otherwise"
        );
        return Err(source.error(raw.address.span(), problem));
    }
    let max_connections = source.within(&raw.max_connections, 10_100, 1..=1_000_000)?;
    let per_address = source.within(&raw.max_connections_per_address, max_connections, 1..=1_000_000)?;
    let unopened = source.within(&raw.max_unopened, 1_024, 1..=1_000_000)?;
    let unopened_per_address =
        source.within(&raw.max_unopened_per_address, unopened.min(256), 1..=1_000_000)?;
    let kibibytes = source.within(&raw.max_message_kibibytes, 1_024, 4..=65_536)?;
    Ok(Listen {
        address,
        allow_plain: raw.allow_plain,
        max_connections: usize::try_from(max_connections).unwrap_or(usize::MAX),
        max_connections_per_address: usize::try_from(per_address).unwrap_or(usize::MAX),
        max_unopened: usize::try_from(unopened).unwrap_or(usize::MAX),
        max_unopened_per_address: usize::try_from(unopened_per_address).unwrap_or(usize::MAX),
        frame_timeout_millis: source.seconds(&raw.frame_timeout_seconds, 20_000, 1..=3_600)?,
        open_timeout_millis: source.seconds(&raw.open_timeout_seconds, 10_000, 1..=3_600)?,
        write_timeout_millis: source.seconds(&raw.write_timeout_seconds, 10_000, 1..=3_600)?,
        max_message_octets: u32::try_from(kibibytes.saturating_mul(1024)).unwrap_or(u32::MAX),
    })
}

fn web(source: &Source<'_>, raw: Option<&raw::Web>) -> Result<Option<Web>, ConfigError> {
    let Some(raw) = raw else { return Ok(None) };
    let text = raw.address.get_ref();
    let address: SocketAddr = text.parse().map_err(|_| {
        let problem = format!("'{text}' is no address; expected IP:PORT, as in 127.0.0.1:8088 or [::1]:8088");
        source.error(raw.address.span(), problem)
    })?;
    let tls = match (&raw.certificate, &raw.key) {
        (None, None) => None,
        (Some(certificate), Some(key)) => Some(WebTls {
            certificate: path(source, certificate)?,
            key: path(source, key)?,
        }),
        (Some(one), None) => return Err(source.error(one.span(), "expected `key` beside `certificate`")),
        (None, Some(one)) => return Err(source.error(one.span(), "expected `certificate` beside `key`")),
    };
    let web = Web {
        address,
        tokens: path(source, &raw.tokens)?,
        tls,
        allow_plain: raw.allow_plain,
    };
    if web.is_plain_beyond_loopback() && !web.allow_plain {
        let problem = format!(
            "{address} is not loopback, and over plain HTTP whoever listens can take a token; expected a loopback \
             address, `certificate` and `key`, or web.allow_plain = true on a network that is closed otherwise"
        );
        return Err(source.error(raw.address.span(), problem));
    }
    Ok(Some(web))
}

fn redirect(
    source: &Source<'_>,
    raw: Option<&raw::Redirect>,
    own: SocketAddr,
) -> Result<Option<SocketAddr>, ConfigError> {
    let Some(raw) = raw else { return Ok(None) };
    let text = raw.to.get_ref();
    let to: SocketAddr = text.parse().map_err(|_| {
        let problem = format!(
            "'{text}' is no address; expected IP:PORT, because a redirect carries no name, as in 192.0.2.7:3288"
        );
        source.error(raw.to.span(), problem)
    })?;
    let problem = if to == own {
        "is this PDP's own address; PEPs would be sent in a circle"
    } else if to.port() == 0 || to.ip().is_unspecified() {
        "is nowhere to connect to; expected the address and port of another PDP"
    } else {
        return Ok(Some(to));
    };
    Err(source.error(raw.to.span(), format!("{to} {problem}")))
}

fn peers(source: &Source<'_>, root: &raw::Root) -> Result<PeerPolicy, ConfigError> {
    let mut rules: Vec<PeerRule> = Vec::new();
    for p in &root.peer {
        let name = source.glob(&p.name)?;
        if rules.iter().any(|r| r.name == name) {
            return Err(source.error(
                p.name.span(),
                format!("peer '{name}' is there twice; expected one rule a name"),
            ));
        }
        rules.push(PeerRule {
            name,
            armed: p.armed,
            servers: source.globs(&p.servers)?,
            reserves: source.globs(&p.reserves)?,
            lines: source.globs(&p.lines)?,
        });
    }
    Ok(PeerPolicy {
        rules,
        default_armed: root.peer_default.as_ref().is_some_and(|d| d.armed),
        refuse_unknown: root.peer_default.as_ref().is_some_and(|d| d.refuse),
    })
}

fn target(raw: &Option<Spanned<raw::Target>>) -> Option<Target> {
    raw.as_ref().map(|t| match t.get_ref() {
        raw::Target::Seconds(s) => Target::Millis(s.saturating_mul(1000)),
        raw::Target::Word(raw::ForEver::Forever) => Target::ForEver,
    })
}

fn grouping(source: &Source<'_>, root: &raw::Root) -> Result<GroupingPolicy, ConfigError> {
    let mut policy = GroupingPolicy::default();
    for (name, q) in &root.qos {
        policy.qos.push(Qos {
            name: source.name(name)?,
            priority: *q.priority.get_ref(),
            weight: source.within(&q.weight, 1, 1..=1_000_000)?,
            target: target(&q.target_seconds).unwrap_or(Target::Millis(0)),
        });
    }
    for s in &root.set {
        let rank = match (&s.qos, &s.priority) {
            (Some(q), None) => Rank::Qos(source.name(q)?),
            (None, Some(p)) => Rank::Priority(*p.get_ref()),
            (Some(q), Some(_)) => {
                return Err(source.error(
                    q.span(),
                    "a set takes its priority from qos or from priority, not from both",
                ));
            }
            (None, None) => {
                return Err(source.error(
                    s.name.span(),
                    "the set has no priority; expected qos = \"NAME\" or priority = NUMBER",
                ));
            }
        };
        let weight = match &s.weight {
            Some(_) => Some(source.within(&s.weight, 1, 1..=1_000_000)?),
            None => None,
        };
        policy.sets.push(SetDefinition {
            name: source.name(&s.name)?,
            rank,
            weight,
            target: target(&s.target_seconds),
        });
        refuse_contradiction(source, &s.name, &policy)?;
    }
    for g in &root.group {
        let pattern = match (&g.pattern, g.on) {
            (Some(p), _) => source.glob(p)?,
            (None, MatchOn::Any) => Glob::new("*").map_err(|e| source.error(g.set.span(), e.to_string()))?,
            (None, _) => {
                return Err(source.error(
                    g.set.span(),
                    "the rule has no pattern; expected pattern = \"GLOB\"",
                ));
            }
        };
        policy.rules.push(Rule {
            on: g.on,
            pattern,
            set: source.name(&g.set)?,
        });
        refuse_contradiction(source, &g.set, &policy)?;
    }
    Grouping::new(policy.clone()).map_err(|e| source.error(0..0, e.to_string()))?;
    Ok(policy)
}

/// Checks what has been read so far, so that the error points at the entry that brought it in. Rules are checked one
/// by one (each alone), which keeps this linear in their number.
fn refuse_contradiction(
    source: &Source<'_>,
    at: &Spanned<String>,
    policy: &GroupingPolicy,
) -> Result<(), ConfigError> {
    let last_alone = GroupingPolicy {
        qos: policy.qos.clone(),
        sets: policy.sets.clone(),
        rules: policy.rules.last().cloned().into_iter().collect(),
    };
    Grouping::new(last_alone).map_err(|e| {
        // Alone it is rule 1, whatever its place in the file; the line says which one it is.
        let problem = e.to_string().replacen("rule 1 gives", "the rule gives", 1);
        source.error(at.span(), problem)
    })?;
    Ok(())
}

fn witnesses(source: &Source<'_>, root: &raw::Root) -> Result<BTreeMap<Name, Name>, ConfigError> {
    let mut by_domain = BTreeMap::new();
    for d in &root.domain {
        let name = source.name(&d.name)?;
        if by_domain
            .insert(name.clone(), source.name(&d.facility_witness)?)
            .is_some()
        {
            return Err(source.error(
                d.name.span(),
                format!("domain {name} is there twice; expected one entry a domain"),
            ));
        }
    }
    Ok(by_domain)
}

fn policy(source: &Source<'_>, root: &raw::Root) -> Result<(PowerPolicy, bool), ConfigError> {
    const DAY: u64 = 86_400;
    let d = PowerPolicy::default();
    let Some(p) = &root.policy else {
        return Ok((d, false));
    };
    let watts = source.within(&p.infrastructure_watts, 0, 0..=1_000_000_000)?;
    let policy = PowerPolicy {
        mode: p.mode.unwrap_or(d.mode),
        debounce_millis: source.within(&p.debounce_milliseconds, d.debounce_millis, 0..=600_000)?,
        mains_good_millis: source.seconds(&p.mains_good_seconds, d.mains_good_millis, 0..=DAY)?,
        mains_good_max_millis: source.seconds(&p.mains_good_max_seconds, d.mains_good_max_millis, 0..=DAY)?,
        restart_stagger_millis: source.seconds(
            &p.restart_stagger_seconds,
            d.restart_stagger_millis,
            0..=DAY,
        )?,
        move_back_millis: source.seconds(&p.move_back_seconds, d.move_back_millis, 0..=DAY)?,
        outage_scale_millis: source.seconds(&p.outage_scale_seconds, d.outage_scale_millis, 1..=DAY)?,
        protect_millis: source.seconds(&p.protect_seconds, d.protect_millis, 0..=DAY)?,
        hold_back_permille: source.within(&p.hold_back_permille, d.hold_back_permille, 1_000..=10_000)?,
        hold_back_millis: source.seconds(&p.hold_back_seconds, d.hold_back_millis, 0..=DAY)?,
        deviation_permille: source.within(&p.deviation_permille, d.deviation_permille, 1..=1_000)?,
        report_period_millis: source.seconds(&p.report_period_seconds, d.report_period_millis, 1..=DAY)?,
        infrastructure_milliwatts: watts.saturating_mul(1000),
    };
    if policy.mains_good_max_millis < policy.mains_good_millis {
        let span = [&p.mains_good_max_seconds, &p.mains_good_seconds]
            .into_iter()
            .flatten()
            .next()
            .map_or(0..0, Spanned::span);
        let problem = format!(
            "mains_good_max_seconds ({}) is below mains_good_seconds ({}); expected at least as much",
            policy.mains_good_max_millis / 1000,
            policy.mains_good_millis / 1000
        );
        return Err(source.error(span, problem));
    }
    Ok((policy, p.report_period_seconds.is_some()))
}

/// What is three report periods old is stale: agents that report as often as they are asked to must not be.
fn check_report_period(
    source: &Source<'_>,
    root: &raw::Root,
    accounting_seconds: u16,
) -> Result<(), ConfigError> {
    let given = root
        .policy
        .as_ref()
        .and_then(|p| p.report_period_seconds.as_ref());
    let Some(given) = given else { return Ok(()) };
    let least = u64::from(accounting_seconds).div_ceil(3);
    if *given.get_ref() >= least {
        return Ok(());
    }
    let problem = format!(
        "{} is too short where figures come every {accounting_seconds} s \
         (cops.accounting_seconds) and count as stale after three periods; expected at least {least}",
        given.get_ref()
    );
    Err(source.error(given.span(), problem))
}

fn cops(source: &Source<'_>, raw: Option<&raw::Cops>) -> Result<Cops, ConfigError> {
    const DEFAULT: Cops = Cops {
        keep_alive_seconds: 10,
        accounting_seconds: 10,
        hold_seconds: 600,
        report_timeout_seconds: 60,
        plan_lifetime_seconds: 86_400,
    };
    let Some(raw) = raw else { return Ok(DEFAULT) };
    Ok(Cops {
        keep_alive_seconds: source.within(
            &raw.keep_alive_seconds,
            DEFAULT.keep_alive_seconds,
            0..=u16::MAX,
        )?,
        accounting_seconds: source.within(
            &raw.accounting_seconds,
            DEFAULT.accounting_seconds,
            0..=u16::MAX,
        )?,
        hold_seconds: source.within(&raw.hold_seconds, DEFAULT.hold_seconds, 1..=604_800)?,
        report_timeout_seconds: source.within(
            &raw.report_timeout_seconds,
            DEFAULT.report_timeout_seconds,
            1..=3_600,
        )?,
        plan_lifetime_seconds: source.within(
            &raw.plan_lifetime_seconds,
            DEFAULT.plan_lifetime_seconds,
            60..=2_592_000,
        )?,
    })
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
