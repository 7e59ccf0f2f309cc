//! The PDP's configuration: TOML in, a checked [`Config`] out.
//!
//! Unknown keys are errors, quantities carry their unit in the key, and every error names the file, the line, the key
//! and what was expected. Reading the file is the caller's ([`crate::io`]): this module sees text only.

mod notify;
mod parse;
mod raw;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use power_policy::grouping::{Glob, GroupingPolicy};
use power_policy::model::{Name, PowerPolicy};

pub use notify::{Notify, NotifyTo};
pub use parse::ConfigError;

/// Everything the file says, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Name of this PDP, as PEPs see it in the incarnation row (`name`).
    pub name: Name,
    /// Where PEPs connect (`[listen]`).
    pub listen: Listen,
    /// Where decisions are kept (`[journal]`).
    pub journal: Journal,
    /// Where administrators connect (`[admin]`).
    pub admin: Admin,
    /// Where people connect with a browser, and Prometheus (`[web]`); `None`: nowhere.
    pub web: Option<Web>,
    /// Who is told of events (`[[notify]]`).
    pub notify: Vec<Notify>,
    /// The PDP that PEPs are sent to from the start, instead of being served here (`[redirect] to`).
    pub redirect: Option<SocketAddr>,
    /// What each PEP may do (`[[peer]]` in order, then `[peer_default]`).
    pub peers: PeerPolicy,
    /// Sets, QoS classes and rules (`[qos.NAME]`, `[[set]]`, `[[group]]`).
    pub grouping: GroupingPolicy,
    /// PEPs whose facility witness counts, by domain (`[[domain]]`).
    pub facility_witnesses: BTreeMap<Name, Name>,
    /// How to plan (`[policy]`). Its report period is set from `[cops] accounting_seconds` and the clock scale where
    /// the file does not give one.
    pub policy: PowerPolicy,
    /// Plans are held ready by the agents for interruptions that have not come (`[policy] contingencies`).
    pub contingencies: bool,
    /// The file gives `report_period_seconds` itself.
    pub report_period_is_given: bool,
    /// Timers of the protocol (`[cops]`).
    pub cops: Cops,
    /// Message Integrity (`[integrity]`); `None`: not offered.
    pub integrity: Option<Integrity>,
    /// COPS over TLS (`[tls]`); `None`: not offered.
    pub tls: Option<Tls>,
}

/// `[tls]`: RFC 4261.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// PEPs without it are turned away.
    pub required: bool,
    /// This PDP's certificate, and those of intermediate authorities, in PEM.
    pub certificate: PathBuf,
    /// Its private key, in PEM, which only its owner may use.
    pub key: PathBuf,
    /// The authorities that certify PEPs, in PEM.
    pub authorities: PathBuf,
    /// Time from OPN to the end of the handshake.
    pub handshake_timeout_millis: u64,
    /// Most handshakes at a time; more wait.
    pub max_handshakes: usize,
}

/// `[listen]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// Address and port. Port 0 lets the system choose.
    pub address: SocketAddr,
    /// Plain COPS may be served on an address that is not loopback.
    pub allow_plain: bool,
    /// Most connections at a time.
    pub max_connections: usize,
    /// Most connections at a time from one address.
    pub max_connections_per_address: usize,
    /// Most connections at a time that have not opened a client-type.
    pub max_unopened: usize,
    /// Most of those from one address.
    pub max_unopened_per_address: usize,
    /// Time from accept to a complete OPN.
    pub open_timeout_millis: u64,
    /// Time from the first octet of a message to its last.
    pub frame_timeout_millis: u64,
    /// Time for which a peer may leave what we send unread.
    pub write_timeout_millis: u64,
    /// Most octets of one message.
    pub max_message_octets: u32,
}

/// `[journal]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Journal {
    /// The SQLite file.
    pub path: PathBuf,
    /// What to do with a file that cannot be read as a journal.
    pub on_unreadable: OnUnreadable,
}

/// What to do with a journal file that is corrupt, foreign or of a later version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnUnreadable {
    /// Do not start (the default): an operator looks first.
    Refuse,
    /// Rename it, say so, and begin a new one: protection comes first.
    SetAside,
}

/// `[admin]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// The Unix socket; made with mode 0600.
    pub socket: PathBuf,
}

/// `[web]`: the admin API and a live page over TCP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Web {
    /// Address and port. Port 0 lets the system choose.
    pub address: SocketAddr,
    /// The file of tokens, which only its owner may use.
    pub tokens: PathBuf,
    /// Certificate (PEM, with those of intermediate authorities) and private key; `None`: plain HTTP.
    pub tls: Option<WebTls>,
    /// Plain HTTP may be served on an address that is not loopback.
    pub allow_plain: bool,
}

impl Web {
    /// Whether tokens would cross a network in clear.
    pub fn is_plain_beyond_loopback(&self) -> bool {
        !self.address.ip().is_loopback() && self.tls.is_none()
    }
}

/// The files of TLS for `[web]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebTls {
    /// This PDP's certificate, and those of intermediate authorities, in PEM.
    pub certificate: PathBuf,
    /// Its private key, in PEM, which only its owner may use.
    pub key: PathBuf,
}

/// What a PEP may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerRule {
    /// Whose rule it is; a glob over the PEPID.
    pub name: Glob,
    /// Plans may actuate through it.
    pub armed: bool,
    /// Servers it may report as custodian; `None`: the one named as its PEPID.
    pub servers: Option<Vec<Glob>>,
    /// Reserves it may be custodian of; `None`: any that no other PEP holds.
    pub reserves: Option<Vec<Glob>>,
    /// Lines it may be custodian of; `None`: any that no other PEP holds.
    pub lines: Option<Vec<Glob>>,
}

/// `[[peer]]` and `[peer_default]`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PeerPolicy {
    /// The first one whose name covers the PEPID counts.
    pub rules: Vec<PeerRule>,
    /// Whether PEPs without a rule are armed.
    pub default_armed: bool,
    /// Whether PEPs without a rule may connect at all.
    pub refuse_unknown: bool,
}

impl PeerPolicy {
    /// The rule of a PEP, if it has one.
    pub fn rule(&self, pep: &Name) -> Option<&PeerRule> {
        self.rules.iter().find(|r| r.name.matches(pep.as_str()))
    }

    /// Whether plans may actuate through a PEP, as far as this side decides.
    pub fn is_armed(&self, pep: &Name) -> bool {
        self.rule(pep).map_or(self.default_armed, |r| r.armed)
    }

    /// Whether a PEP may connect.
    pub fn may_connect(&self, pep: &Name) -> bool {
        !self.refuse_unknown || self.rule(pep).is_some()
    }
}

/// `[integrity]`: RFC 2748 4.1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Integrity {
    /// PEPs without it are turned away.
    pub required: bool,
    /// The file of keys, which only its owner may use.
    pub keys: PathBuf,
    /// Where it is kept which sequence numbers were used; `None`: beside the journal.
    pub numbers: Option<PathBuf>,
}

/// `[cops]`: session time, which is real time whatever the clock scale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cops {
    /// KA Timer of RFC 2748 2.2.10, in seconds; 0: no keep-alives.
    pub keep_alive_seconds: u16,
    /// Accounting Timer of RFC 2748 2.2.15, in seconds; 0: no readings.
    pub accounting_seconds: u16,
    /// How long request-states of a PEP that is gone are kept.
    pub hold_seconds: u32,
    /// How long a PEP may take to report on a decision.
    pub report_timeout_seconds: u32,
    /// `frwkPibIncarnationTtl`: how long a PEP keeps plans without a PDP.
    pub plan_lifetime_seconds: u32,
}

impl Config {
    /// Reads the text of a file. `file` is its name for errors.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with file, line, key and what was expected.
    pub fn from_toml(file: &str, text: &str) -> Result<Self, ConfigError> {
        parse::parse(file, text)
    }

    /// Whether plain COPS would be served beyond loopback.
    pub fn is_plain_beyond_loopback(&self) -> bool {
        let integrity = self.integrity.as_ref();
        let is_required = integrity.is_some_and(|integrity| integrity.required)
            || self.tls.as_ref().is_some_and(|tls| tls.required);
        !self.listen.address.ip().is_loopback() && !is_required
    }

    /// Where it is kept which sequence numbers of message Integrity were used.
    pub fn numbers_path(&self) -> PathBuf {
        let given = self
            .integrity
            .as_ref()
            .and_then(|integrity| integrity.numbers.clone());
        given.unwrap_or_else(|| {
            let mut path = self.journal.path.clone().into_os_string();
            path.push(".numbers");
            path.into()
        })
    }

    /// The policy as the engine needs it under a clock scale: figures come every `accounting_seconds` of real time,
    /// which is `scale` times as long for the engine.
    pub fn scaled_policy(&self, scale: u32) -> PowerPolicy {
        let mut policy = self.policy.clone();
        if !self.report_period_is_given && self.cops.accounting_seconds > 0 {
            let real = u64::from(self.cops.accounting_seconds) * 1000;
            policy.report_period_millis = real.saturating_mul(u64::from(scale.max(1)));
        }
        policy
    }
}
