//! The file as TOML has it: one struct a table. Quantities carry their unit in the key; unknown keys are errors.

use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Form {
    pub(super) agent: Agent,
    pub(super) pdp: Pdp,
    pub(super) integrity: Option<Integrity>,
    pub(super) tls: Option<Tls>,
    pub(super) plant: Option<Plant>,
    #[serde(default)]
    pub(super) server: Vec<Server>,
    #[serde(default)]
    pub(super) domain: Vec<Domain>,
    #[serde(default)]
    pub(super) reserve: Vec<Reserve>,
    #[serde(default)]
    pub(super) line: Vec<Line>,
    #[serde(default)]
    pub(super) activity: Vec<Activity>,
    #[serde(default)]
    pub(super) manage: Vec<Manage>,
    #[serde(default)]
    pub(super) deny: Deny,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Agent {
    pub(super) name: String,
    pub(super) state_dir: String,
    pub(super) socket: Option<String>,
    #[serde(default)]
    pub(super) mode: Mode,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Mode {
    #[default]
    Observe,
    Armed,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pdp {
    pub(super) address: Option<String>,
    pub(super) addresses: Option<Vec<String>>,
    #[serde(default = "yes")]
    pub(super) follow_redirects: bool,
    #[serde(default)]
    pub(super) redirect_addresses: Vec<String>,
    #[serde(default)]
    pub(super) allow_plain: bool,
    pub(super) plan_ttl_seconds: Option<f64>,
    pub(super) reading_seconds: Option<f64>,
    pub(super) retry_max_seconds: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tls {
    pub(super) mode: IntegrityMode,
    pub(super) certificate: Option<String>,
    pub(super) key: Option<String>,
    pub(super) authorities: Option<String>,
    #[serde(default)]
    pub(super) names: std::collections::BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Integrity {
    pub(super) mode: IntegrityMode,
    pub(super) keys: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum IntegrityMode {
    Off,
    Optional,
    Required,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Plant {
    pub(super) socket: String,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum HostDriver {
    #[default]
    Real,
    Simulated,
    Exec,
    Redfish,
    #[serde(rename = "wake_on_lan")]
    WakeOnLan,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Role {
    #[default]
    Custodian,
    Witness,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Witness {
    #[default]
    Inlet,
    Facility,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Server {
    pub(super) name: String,
    #[serde(default)]
    pub(super) driver: HostDriver,
    #[serde(default)]
    pub(super) role: Role,
    pub(super) idle_watts: Option<f64>,
    pub(super) peak_watts: Option<f64>,
    pub(super) cpu_millicores: Option<u32>,
    pub(super) memory_mebibytes: Option<u32>,
    pub(super) boot_seconds: Option<f64>,
    pub(super) boot_joules: Option<f64>,
    pub(super) halt_seconds: Option<f64>,
    pub(super) halt_joules: Option<f64>,
    pub(super) starter: Option<String>,
    pub(super) fan_in: Option<u32>,
    pub(super) inlets: Option<Vec<Inlet>>,
    pub(super) halt: Option<Vec<String>>,
    pub(super) rapl_rest_watts: Option<f64>,
    #[serde(default)]
    pub(super) measure_draws: bool,
    pub(super) powercap_dir: Option<String>,
    pub(super) program: Option<Vec<String>>,
    pub(super) limit_seconds: Option<f64>,
    pub(super) url: Option<String>,
    pub(super) resource: Option<String>,
    pub(super) authorities: Option<String>,
    pub(super) fingerprint: Option<String>,
    pub(super) user: Option<String>,
    pub(super) password_file: Option<String>,
    pub(super) mac: Option<String>,
    pub(super) wake_address: Option<String>,
    pub(super) probe: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Inlet {
    pub(super) domain: String,
    pub(super) max_watts: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Domain {
    pub(super) name: String,
    #[serde(default)]
    pub(super) witness: Witness,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ReserveDriver {
    Simulated,
    Nut,
    #[serde(rename = "power_supply")]
    PowerSupply,
    Exec,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Chemistry {
    #[default]
    LeadAcid,
    Lithium,
    Nickel,
    Supercapacitor,
    Other,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reserve {
    pub(super) name: Option<String>,
    pub(super) driver: ReserveDriver,
    #[serde(default)]
    pub(super) role: Role,
    pub(super) ups: Option<String>,
    pub(super) address: Option<String>,
    pub(super) user: Option<String>,
    pub(super) password_file: Option<String>,
    pub(super) authorities: Option<String>,
    pub(super) fingerprint: Option<String>,
    pub(super) device: Option<String>,
    pub(super) adapter: Option<String>,
    pub(super) class_dir: Option<String>,
    pub(super) program: Option<Vec<String>>,
    pub(super) limit_seconds: Option<f64>,
    pub(super) chemistry: Option<Chemistry>,
    pub(super) capacity_wh: Option<f64>,
    pub(super) charge_percent: Option<f64>,
    pub(super) cutoff_percent: Option<f64>,
    pub(super) health_percent: Option<f64>,
    pub(super) max_watts: Option<f64>,
    pub(super) nominal_watts: Option<f64>,
    pub(super) load_watts: Option<f64>,
    pub(super) recharge_watts: Option<f64>,
    pub(super) efficiency_percent: Option<f64>,
    pub(super) peukert_exponent: Option<f64>,
    pub(super) reference_watts: Option<f64>,
    pub(super) fan_out: Option<u32>,
    pub(super) feeds: Option<Vec<String>>,
    pub(super) domain: Option<String>,
    pub(super) witness: Option<Witness>,
    pub(super) poll_seconds: Option<f64>,
    pub(super) stale_seconds: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum LineDriver {
    Simulated,
    Exec,
    #[serde(rename = "nut_outlet")]
    NutOutlet,
    #[serde(rename = "snmp_outlet")]
    SnmpOutlet,
    #[serde(rename = "snmp_transfer")]
    SnmpTransfer,
    #[serde(rename = "redfish_outlet")]
    RedfishOutlet,
    #[serde(rename = "redfish_transfer")]
    RedfishTransfer,
}

/// The objects of one outlet of a PDU whose table is not known.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SnmpObjects {
    pub(super) state: String,
    pub(super) state_on: i32,
    pub(super) state_off: i32,
    pub(super) control: String,
    pub(super) control_on: i32,
    pub(super) control_off: i32,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum LineMode {
    #[default]
    Shared,
    Exclusive,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Changeover {
    #[default]
    Parallel,
    Ats,
    Bridge,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) driver: LineDriver,
    pub(super) ups: Option<String>,
    pub(super) address: Option<String>,
    pub(super) outlet: Option<u32>,
    pub(super) switch_variable: Option<String>,
    pub(super) user: Option<String>,
    pub(super) password_file: Option<String>,
    pub(super) table: Option<String>,
    pub(super) objects: Option<SnmpObjects>,
    pub(super) community_file: Option<String>,
    pub(super) authentication: Option<String>,
    pub(super) privacy: Option<String>,
    pub(super) privacy_password_file: Option<String>,
    pub(super) context: Option<String>,
    pub(super) url: Option<String>,
    pub(super) resource: Option<String>,
    pub(super) authorities: Option<String>,
    pub(super) fingerprint: Option<String>,
    pub(super) inputs: Option<std::collections::BTreeMap<String, String>>,
    pub(super) rest: Option<String>,
    pub(super) program: Option<Vec<String>>,
    pub(super) limit_seconds: Option<f64>,
    pub(super) poll_seconds: Option<f64>,
    #[serde(default)]
    pub(super) role: Role,
    pub(super) max_watts: Option<f64>,
    pub(super) efficiency_percent: Option<f64>,
    pub(super) switch_millis: Option<u32>,
    pub(super) mode: Option<LineMode>,
    pub(super) changeover: Option<Changeover>,
    pub(super) reserves: Option<Vec<String>>,
    pub(super) servers: Option<Vec<String>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ActivityDriver {
    Simulated,
    Command,
    Exec,
    Systemd,
    Cgroup,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum StopBy {
    Freezing,
    Ending,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Activity {
    pub(super) name: String,
    pub(super) driver: ActivityDriver,
    pub(super) server: Option<String>,
    pub(super) set: Option<String>,
    pub(super) data_type: Option<String>,
    pub(super) process: Option<String>,
    pub(super) qos: Option<String>,
    pub(super) watts: Option<f64>,
    pub(super) cpu_millicores: Option<u32>,
    pub(super) memory_mebibytes: Option<u32>,
    #[serde(default)]
    pub(super) movable: bool,
    #[serde(default = "yes")]
    pub(super) restartable: bool,
    pub(super) startable: Option<bool>,
    pub(super) running: Option<bool>,
    pub(super) move_seconds: Option<f64>,
    pub(super) move_joules: Option<f64>,
    pub(super) stop_seconds: Option<f64>,
    pub(super) stop_joules: Option<f64>,
    pub(super) start_seconds: Option<f64>,
    pub(super) status: Option<Vec<String>>,
    pub(super) stop: Option<Vec<String>>,
    pub(super) start: Option<Vec<String>>,
    pub(super) program: Option<Vec<String>>,
    pub(super) limit_seconds: Option<f64>,
    pub(super) unit: Option<String>,
    pub(super) bus: Option<String>,
    pub(super) cgroup: Option<String>,
    pub(super) container: Option<String>,
    pub(super) stop_by: Option<StopBy>,
    pub(super) cgroup_dir: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manage {
    pub(super) name: String,
    pub(super) server: Option<String>,
    pub(super) comm: Option<String>,
    pub(super) exe: Option<String>,
    pub(super) cmdline: Option<String>,
    pub(super) user: Option<String>,
    pub(super) cgroup: Option<String>,
    pub(super) set: Option<String>,
    pub(super) data_type: Option<String>,
    pub(super) process: Option<String>,
    pub(super) qos: Option<String>,
    pub(super) watts: Option<f64>,
    pub(super) cpu_millicores: Option<u32>,
    pub(super) memory_mebibytes: Option<u32>,
    #[serde(default)]
    pub(super) movable: bool,
    #[serde(default = "yes")]
    pub(super) restartable: bool,
    pub(super) move_seconds: Option<f64>,
    pub(super) move_joules: Option<f64>,
    pub(super) stop_seconds: Option<f64>,
    pub(super) stop_joules: Option<f64>,
    pub(super) start_seconds: Option<f64>,
    pub(super) start: Option<Vec<String>>,
    pub(super) directory: Option<String>,
    pub(super) output: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Deny {
    #[serde(default = "yes")]
    pub(super) defaults: bool,
    #[serde(default)]
    pub(super) comm: Vec<String>,
    #[serde(default)]
    pub(super) exe: Vec<String>,
    #[serde(default)]
    pub(super) cmdline: Vec<String>,
    #[serde(default)]
    pub(super) user: Vec<String>,
    #[serde(default)]
    pub(super) cgroup: Vec<String>,
}

impl Default for Deny {
    fn default() -> Self {
        Self {
            defaults: true,
            comm: Vec::new(),
            exe: Vec::new(),
            cmdline: Vec::new(),
            user: Vec::new(),
            cgroup: Vec::new(),
        }
    }
}

fn yes() -> bool {
    true
}
