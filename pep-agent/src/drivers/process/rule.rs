//! Which processes are an activity, and which are nobody's business.

use power_policy::grouping::Glob;

use super::Process;

/// What a process must look like. Every pattern that is given must match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pattern {
    /// Its short name.
    pub comm: Option<Glob>,
    /// Path of its executable.
    pub exe: Option<Glob>,
    /// Its command line.
    pub cmdline: Option<Glob>,
    /// Its user.
    pub user: Option<Glob>,
    /// One of its control groups.
    pub cgroup: Option<Glob>,
}

impl Pattern {
    /// Whether it says what work is meant; a user alone does not.
    pub fn is_specific(&self) -> bool {
        self.comm.is_some() || self.exe.is_some() || self.cmdline.is_some() || self.cgroup.is_some()
    }

    /// Whether a process looks like it. A pattern without any glob matches nothing.
    pub fn matches(&self, process: &Process) -> bool {
        let fits =
            |glob: &Option<Glob>, subject: &str| glob.as_ref().is_none_or(|glob| glob.matches(subject));
        let in_group = |glob: &Glob| process.cgroups.iter().any(|path| glob.matches(path));
        (self.is_specific() || self.user.is_some())
            && !process.is_kernel
            && fits(&self.comm, &process.comm)
            && fits(&self.exe, &process.exe)
            && fits(&self.cmdline, &process.cmdline)
            && fits(&self.user, &process.user)
            && self.cgroup.as_ref().is_none_or(in_group)
    }
}

/// Processes that the agent never touches, whatever its rules and any plan say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DenyList {
    /// The agent itself; its parents are out of reach with it.
    own_pid: i32,
    patterns: Vec<Pattern>,
}

/// Short names of what keeps a node reachable, its storage alive and its power watched.
pub(super) const DENIED_BY_DEFAULT: &[&str] = &[
    // The way in.
    "sshd",
    "sshd-session",
    "sshd-auth",
    "dropbear",
    // What runs the machine.
    "systemd",
    "systemd-*",
    "dbus-daemon",
    "dbus-broker*",
    "init",
    "runit*",
    "s6-*",
    // Storage: what is stopped under a running file system is not stopped gracefully.
    "multipathd",
    "iscsid",
    "open-iscsi",
    "lvmetad",
    "lvmpolld",
    "dmeventd",
    "mdadm",
    "mdmonitor",
    "zed",
    "zfs*",
    "ceph-*",
    "glusterd",
    "glusterfs*",
    "nfsd",
    "rpc.*",
    "rpcbind",
    "drbd*",
    "tgtd",
    "smartd",
    // Who watches the power.
    "upsd",
    "upsmon",
    "upsdrvctl",
    "upssched",
    "nut-driver*",
    "dummy-ups",
    "usbhid-ups",
    "snmp-ups",
    "blazer_*",
    "nutdrv_qx",
    "apcupsd",
    "apcsmart*",
    "netxml-ups",
    "pep-agent",
    "pdp-server",
];

impl DenyList {
    /// The list of an agent that runs as `own_pid`, with what its file adds. Init and the agent itself always stand on
    /// it; the defaults can be left out.
    pub fn new(own_pid: i32, with_defaults: bool, added: Vec<Pattern>) -> Self {
        let mut patterns = added;
        if with_defaults {
            let named = |name: &&str| Pattern {
                comm: Glob::new(name).ok(),
                ..Pattern::default()
            };
            patterns.extend(DENIED_BY_DEFAULT.iter().map(named));
        }
        Self { own_pid, patterns }
    }

    /// Why a process must not be touched, if so.
    pub fn reason(&self, process: &Process, all: &[Process]) -> Option<String> {
        let denied = |why: &str| Some(format!("{} (process {}) {why}", process.comm, process.pid));
        if process.pid == 1 {
            return denied("is init");
        }
        if process.pid == self.own_pid {
            return denied("is this agent");
        }
        if self.is_ancestor(process.pid, all) {
            return denied("started this agent");
        }
        let matching = self.patterns.iter().any(|pattern| pattern.matches(process));
        if matching {
            denied("is on the deny list")
        } else {
            None
        }
    }

    fn is_ancestor(&self, pid: i32, all: &[Process]) -> bool {
        let mut current = self.own_pid;
        // The table may be torn between two processes; no chain is longer than the table.
        for _ in 0..all.len() {
            let Ok(at) = all.binary_search_by_key(&current, |process| process.pid) else {
                return false;
            };
            current = all[at].parent;
            if current == pid {
                return true;
            }
            if current <= 1 {
                return false;
            }
        }
        false
    }
}
