//! Every bound of the agent, in one place. Bounds of COPS stand in `cops_codec::limits`.

/// PDPs that an agent's file may name, in each of its two lists.
pub const MAX_PDPS: usize = 16;
/// Servers that one agent may report.
pub const MAX_SERVERS: usize = 1_024;
/// Reserves that one agent may report.
pub const MAX_RESERVES: usize = 1_024;
/// Lines that one agent may report.
pub const MAX_LINES: usize = 1_024;
/// Activities that one agent may report, `[[activity]]` and `[[manage]]` together.
pub const MAX_ACTIVITIES: usize = 4_096;
/// Largest config file, in octets.
pub const MAX_CONFIG_OCTETS: u64 = 1 << 20;
/// Largest state file, in octets; a held plan of [`MAX_STEPS`] steps needs less.
pub const MAX_STATE_OCTETS: u64 = 16 << 20;
/// How long the agent waits until what it has to remember is on disk, in real milliseconds; it then goes on without. Well
/// below a quarter of a usual keep-alive timer.
pub const STATE_PATIENCE_MILLIS: u64 = 2_000;
/// After a write that failed: how long until the next, in real milliseconds.
pub const STATE_RETRY_MILLIS: u64 = 1_000;
/// Stages of a plan that is taken.
pub const MAX_STAGES: usize = 4_096;
/// Contexts of one agent (frwkDeviceIdMaxContexts): the base context and three contingencies.
pub const MAX_CONTEXTS: usize = 4;
/// Largest DEC that the PDP is told to send (frwkDeviceIdMaxMsg), in octets. Below the largest message that is read at all,
/// so that a DEC that is a little too large is answered and not cut off.
pub const MAX_DECISION_OCTETS: usize = (1 << 20) - (64 << 10);
/// Steps of a plan that is taken, all stages together.
pub const MAX_STEPS: usize = 16_384;
/// Longest reason that a result carries, in octets (POWER-DIVERT-PIB, PwrText).
pub const MAX_REASON_OCTETS: usize = 255;
/// Engine events (log lines, failures) kept until they are polled; the oldest go first.
pub const MAX_EVENTS: usize = 4_096;
/// Largest reading of `/proc/PID/cmdline` and its like, in octets; the rest of a longer one is not looked at.
pub const MAX_PROC_FILE_OCTETS: u64 = 8_192;
/// Processes looked at in one scan of `/proc`.
pub const MAX_PROCESSES: usize = 131_072;
/// Longest line of a NUT server, in octets.
pub const MAX_NUT_LINE_OCTETS: usize = 1_024;
/// Lines of one answer of a NUT server (`LIST VAR` of a large UPS has some hundred).
pub const MAX_NUT_LINES: usize = 4_096;
/// How long a NUT server may take to answer, in real milliseconds.
pub const NUT_ANSWER_MILLIS: u64 = 5_000;
/// Control groups that are looked at, below one hierarchy.
pub const MAX_CGROUPS: usize = 65_536;
/// Largest file of a control group that is read, in octets.
pub const MAX_CGROUP_FILE_OCTETS: u64 = 1 << 20;
/// How long a device may take to answer by SNMP, all tries together, in real milliseconds.
pub const SNMP_ANSWER_MILLIS: u64 = 5_000;
/// How often a question is sent by SNMP before it has no answer: datagrams get lost.
pub const SNMP_TRIES: u32 = 3;
/// How long a Redfish service may take to answer, in real milliseconds: board controllers are slow.
pub const REDFISH_ANSWER_MILLIS: u64 = 10_000;
/// Longest answer of a Redfish service, in octets.
pub const MAX_REDFISH_ANSWER_OCTETS: usize = 1 << 20;
/// Largest file of certificates of devices, in octets.
pub const MAX_PEM_FILE_OCTETS: u64 = 1 << 20;
/// How long systemd may take to answer on D-Bus, in real milliseconds.
pub const DBUS_ANSWER_MILLIS: u64 = 5_000;
/// Largest file with a password, in octets.
pub const MAX_PASSWORD_FILE_OCTETS: u64 = 256;
/// Largest file of sysfs that is read: the kernel gives a page at most, in octets.
pub const MAX_SYSFS_FILE_OCTETS: u64 = 4_096;
/// Entries of `/sys/class/power_supply` that are looked at.
pub const MAX_POWER_SUPPLIES: usize = 256;
/// Entries of `/sys/class/powercap` that are looked at.
pub const MAX_RAPL_ZONES: usize = 1_024;
/// How long the files of a battery may take to be read, in real milliseconds.
pub const POWER_SUPPLY_ANSWER_MILLIS: u64 = 5_000;
/// Longest answer of an operator's program, in octets.
pub const MAX_PROGRAM_ANSWER_OCTETS: usize = 65_536;
/// How much of an operator's program's complaints is kept, in octets.
pub const MAX_PROGRAM_COMPLAINT_OCTETS: usize = 1_024;
/// Longest request on the agent's local socket, in octets.
pub const MAX_LOCAL_REQUEST_OCTETS: usize = 1_024;
/// Connections to the local socket served at one time.
pub const MAX_LOCAL_CONNECTIONS: usize = 16;
/// How long one exchange on the local socket may take, in real milliseconds.
pub const LOCAL_EXCHANGE_MILLIS: u64 = 5_000;
/// Largest clock scale.
pub const MAX_CLOCK_SCALE: u32 = 1_000;
/// Longest time any key of the config may give, in seconds (30 days).
pub const MAX_SECONDS: u64 = 30 * 86_400;
/// Longest request on a plant's socket, in octets.
pub const MAX_PLANT_REQUEST_OCTETS: usize = 65_536;
/// Longest reply on a plant's socket, in octets: a history of many samples is refused instead.
pub const MAX_PLANT_REPLY_OCTETS: usize = 64 << 20;
/// Connections to a plant's socket served at one time.
pub const MAX_PLANT_CONNECTIONS: usize = 1_024;
/// How long a plant may take to answer, in real milliseconds.
pub const PLANT_ANSWER_MILLIS: u64 = 10_000;
/// Events that a watcher of a plant may lag behind; it is told how many it missed.
pub const MAX_PLANT_NOTICES: usize = 4_096;
/// Shortest interval of the samples that a watcher of a plant gets, in real milliseconds.
pub const MIN_PLANT_SAMPLE_MILLIS: u64 = 10;
/// How long agents may take to end by themselves when their plant ends, in real milliseconds.
pub const AGENT_GRACE_MILLIS: u64 = 3_000;
/// Agents that one plant starts.
pub const MAX_PLANT_AGENTS: usize = 1_024;
