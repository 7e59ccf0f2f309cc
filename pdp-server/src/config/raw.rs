//! The file as TOML has it: one struct a table, every value with its place in the text.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Root {
    pub(super) name: Option<Spanned<String>>,
    pub(super) listen: Listen,
    pub(super) journal: Journal,
    pub(super) admin: Admin,
    pub(super) web: Option<Web>,
    #[serde(default)]
    pub(super) notify: Vec<super::notify::Raw>,
    pub(super) redirect: Option<Redirect>,
    #[serde(default)]
    pub(super) peer: Vec<Peer>,
    pub(super) peer_default: Option<PeerDefault>,
    #[serde(default)]
    pub(super) qos: BTreeMap<Spanned<String>, Qos>,
    #[serde(default)]
    pub(super) set: Vec<Set>,
    #[serde(default)]
    pub(super) group: Vec<Group>,
    #[serde(default)]
    pub(super) domain: Vec<Domain>,
    pub(super) policy: Option<Policy>,
    pub(super) cops: Option<Cops>,
    pub(super) integrity: Option<Integrity>,
    pub(super) tls: Option<Tls>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listen {
    pub(super) address: Spanned<String>,
    #[serde(default)]
    pub(super) allow_plain: bool,
    pub(super) max_connections: Option<Spanned<u64>>,
    pub(super) max_connections_per_address: Option<Spanned<u64>>,
    pub(super) max_unopened: Option<Spanned<u64>>,
    pub(super) max_unopened_per_address: Option<Spanned<u64>>,
    pub(super) frame_timeout_seconds: Option<Spanned<u64>>,
    pub(super) open_timeout_seconds: Option<Spanned<u64>>,
    pub(super) write_timeout_seconds: Option<Spanned<u64>>,
    pub(super) max_message_kibibytes: Option<Spanned<u64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Journal {
    pub(super) path: Spanned<String>,
    pub(super) on_unreadable: Option<super::OnUnreadable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Admin {
    pub(super) socket: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Web {
    pub(super) address: Spanned<String>,
    pub(super) tokens: Spanned<String>,
    pub(super) certificate: Option<Spanned<String>>,
    pub(super) key: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) allow_plain: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Redirect {
    pub(super) to: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Peer {
    pub(super) name: Spanned<String>,
    #[serde(default)]
    pub(super) armed: bool,
    pub(super) servers: Option<Vec<Spanned<String>>>,
    pub(super) reserves: Option<Vec<Spanned<String>>>,
    pub(super) lines: Option<Vec<Spanned<String>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PeerDefault {
    #[serde(default)]
    pub(super) armed: bool,
    #[serde(default)]
    pub(super) refuse: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Qos {
    pub(super) priority: Spanned<u16>,
    pub(super) weight: Option<Spanned<u32>>,
    pub(super) target_seconds: Option<Spanned<Target>>,
}

/// Seconds, or the text "forever".
#[derive(Deserialize)]
#[serde(untagged, expecting = "a number of seconds, or \"forever\"")]
pub(super) enum Target {
    Seconds(u64),
    Word(ForEver),
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ForEver {
    Forever,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Set {
    pub(super) name: Spanned<String>,
    pub(super) qos: Option<Spanned<String>>,
    pub(super) priority: Option<Spanned<u16>>,
    pub(super) weight: Option<Spanned<u32>>,
    pub(super) target_seconds: Option<Spanned<Target>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Group {
    #[serde(rename = "match")]
    pub(super) on: power_policy::grouping::MatchOn,
    pub(super) pattern: Option<Spanned<String>>,
    pub(super) set: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Domain {
    pub(super) name: Spanned<String>,
    pub(super) facility_witness: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Policy {
    pub(super) mode: Option<power_policy::model::Mode>,
    pub(super) debounce_milliseconds: Option<Spanned<u64>>,
    pub(super) mains_good_seconds: Option<Spanned<u64>>,
    pub(super) mains_good_max_seconds: Option<Spanned<u64>>,
    pub(super) restart_stagger_seconds: Option<Spanned<u64>>,
    pub(super) move_back_seconds: Option<Spanned<u64>>,
    pub(super) outage_scale_seconds: Option<Spanned<u64>>,
    pub(super) protect_seconds: Option<Spanned<u64>>,
    pub(super) hold_back_permille: Option<Spanned<u32>>,
    pub(super) hold_back_seconds: Option<Spanned<u64>>,
    pub(super) deviation_permille: Option<Spanned<u32>>,
    pub(super) report_period_seconds: Option<Spanned<u64>>,
    pub(super) infrastructure_watts: Option<Spanned<u64>>,
    pub(super) contingencies: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tls {
    pub(super) mode: TlsMode,
    pub(super) certificate: Option<Spanned<String>>,
    pub(super) key: Option<Spanned<String>>,
    pub(super) authorities: Option<Spanned<String>>,
    pub(super) handshake_timeout_seconds: Option<Spanned<u64>>,
    pub(super) max_handshakes: Option<Spanned<u64>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum TlsMode {
    Off,
    Optional,
    Required,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Integrity {
    pub(super) mode: IntegrityMode,
    pub(super) keys: Option<Spanned<String>>,
    pub(super) numbers: Option<Spanned<String>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum IntegrityMode {
    Off,
    Optional,
    Required,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cops {
    pub(super) keep_alive_seconds: Option<Spanned<u16>>,
    pub(super) accounting_seconds: Option<Spanned<u16>>,
    pub(super) hold_seconds: Option<Spanned<u32>>,
    pub(super) report_timeout_seconds: Option<Spanned<u32>>,
    pub(super) plan_lifetime_seconds: Option<Spanned<u32>>,
}
