//! Every bound of the plant, in one place.

/// Servers of one plant.
pub const MAX_SERVERS: usize = 10_000;
/// Reserves of one plant.
pub const MAX_RESERVES: usize = 10_000;
/// Divert lines of one plant.
pub const MAX_LINES: usize = 10_000;
/// Mains domains of one plant.
pub const MAX_DOMAINS: usize = 1_000;
/// Mains inlets of one server.
pub const MAX_INLETS: usize = 16;
/// Reserves that feed one server without a line.
pub const MAX_SUPPLIES: usize = 64;
/// Activities of one plant, counted once for each server that has them declared.
pub const MAX_ACTIVITIES: usize = 200_000;
/// Line settings (a reserve given to a server through a line) that can exist at one time.
pub const MAX_SETTINGS: usize = 100_000;
/// Octets of a name (POWER-DIVERT-PIB, PwrName).
pub const MAX_NAME_OCTETS: usize = 64;
/// Largest power of anything, in milliwatts: what the wire's Unsigned32 carries.
pub const MAX_MILLIWATTS: u64 = u32::MAX as u64;
/// Largest capacity of a reserve, in millijoules (1 MWh).
pub const MAX_CAPACITY_MILLIJOULES: u64 = 3_600_000_000_000;
/// Longest boot, halt or switching time, in milliseconds (one day).
pub const MAX_TRANSITION_MILLIS: u64 = 86_400_000;
/// Longest PSU hold-up, in milliseconds.
pub const MAX_HOLD_UP_MILLIS: u64 = 10_000;
/// Furthest that the plant's time goes, in milliseconds (about ten years): later instants are taken as this one.
pub const MAX_TIME_MILLIS: u64 = 315_576_000_000;
/// Events that wait to be polled; when there are more, the oldest are dropped and counted.
pub const MAX_EVENTS: usize = 65_536;
/// Mains changes kept for the unmanaged replay; later ones are counted, and the replay is then refused.
pub const MAX_MAINS_CHANGES: usize = 4_096;
/// Ride-throughs kept for one activity (mains that flap make many); later ones are counted.
pub const MAX_RIDES: usize = 64;
/// Samples of the history; when there are more, every other one is dropped and the interval doubles.
pub const MAX_SAMPLES: usize = 20_000;
/// Shortest interval at which loads may vary, in milliseconds.
pub const MIN_VARIATION_MILLIS: u64 = 100;
