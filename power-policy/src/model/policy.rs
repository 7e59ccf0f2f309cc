use serde::{Deserialize, Serialize};

/// What the cluster's energy is spent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Each class up to its target in strict priority, the rest by expected weighted uptime.
    Default,
    /// Everything to the top class at once: its target is taken as infinite, all others as zero.
    Survive,
}

/// How the planner and the interruption engine are to behave. Site settings, the same for every plan.
///
/// Defaults are those of the policy notes (debounce 3 s, mains good 60 s doubling to 15 min, ...).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PowerPolicy {
    /// What the energy is spent on.
    pub mode: Mode,
    /// Time from the first sign of an interruption to the first irreversible stage.
    pub debounce_millis: u64,
    /// Time for which mains must be good before anything is restarted; doubles with each flap within an hour.
    pub mains_good_millis: u64,
    /// Upper bound of that doubling.
    pub mains_good_max_millis: u64,
    /// Least time between two restarts in one power domain (inrush).
    pub restart_stagger_millis: u64,
    /// How long mains must be stable before activities are moved back home.
    pub move_back_millis: u64,
    /// Scale of the outage-length prior S(t) = min(1, t0/t), where no better one is known.
    pub outage_scale_millis: u64,
    /// Own-load time that the reserves of servers still on mains keep for themselves.
    pub protect_millis: u64,
    /// Factor on the graceful-stop energy that is set aside, permille.
    pub hold_back_permille: u32,
    /// Time at full own load that is set aside on top of it.
    pub hold_back_millis: u64,
    /// Distance of measured from predicted charge that asks for a new plan, permille of the capacity.
    pub deviation_permille: u32,
    /// Report period the ages are judged by: figures older than 3 are aged, older than 6 count for nobody else.
    pub report_period_millis: u64,
    /// Base load of the infrastructure (PDP, switches, agents): always funded, never a target.
    pub infrastructure_milliwatts: u64,
}

impl Default for PowerPolicy {
    fn default() -> Self {
        Self {
            mode: Mode::Default,
            debounce_millis: 3_000,
            mains_good_millis: 60_000,
            mains_good_max_millis: 900_000,
            restart_stagger_millis: 10_000,
            move_back_millis: 900_000,
            outage_scale_millis: 300_000,
            protect_millis: 120_000,
            hold_back_permille: 1_050,
            hold_back_millis: 5_000,
            deviation_permille: 30,
            report_period_millis: 10_000,
            infrastructure_milliwatts: 0,
        }
    }
}
