//! Every bound of the PDP in one place, beside those of the codec (`cops_codec::limits`, `session::limits`, and
//! `client_type::store::RowLimits` for what a PEP may report). What exceeds one is refused where it comes in, with an error
//! that says so.

/// Largest configuration file, in octets.
pub const MAX_CONFIG_OCTETS: usize = 4 * 1024 * 1024;
/// Largest file of a recorded or described cluster, in octets.
pub const MAX_SNAPSHOT_OCTETS: usize = 256 * 1024 * 1024;
/// Events kept for `GET /v1/events?since=N`; older ones are gone.
pub const MAX_EVENTS_KEPT: usize = 10_000;
/// Largest body of an admin request, in octets.
pub const MAX_ADMIN_BODY_OCTETS: usize = 64 * 1024;
/// Admin connections served at one time.
pub const MAX_ADMIN_CONNECTIONS: usize = 64;
/// Connections of the HTTP listener for people at one time.
pub const MAX_WEB_CONNECTIONS: usize = 128;
/// Those of one address at one time.
pub const MAX_WEB_CONNECTIONS_PER_ADDRESS: usize = 48;
/// How long one of them may take for the head of a request, or be idle between two.
pub const WEB_HEADER_MILLIS: u64 = 10_000;
/// How long a request may take, its body and its answer included; event streams are not bounded in time.
pub const WEB_REQUEST_MILLIS: u64 = 60_000;
/// How long one of them may leave what it is sent unacknowledged, or not take it.
pub const WEB_UNREAD_MILLIS: u32 = 30_000;
/// How long a TLS handshake of the HTTP listener may take.
pub const WEB_HANDSHAKE_MILLIS: u64 = 10_000;
/// Octets of the head of a request over TCP.
pub const MAX_WEB_HEAD_OCTETS: usize = 16 * 1024;
/// Headers of a request over TCP.
pub const MAX_WEB_HEADERS: usize = 64;
/// Tables `[[notify]]`.
pub const MAX_NOTIFIED: usize = 16;
/// Tokens in the file of `[web]`.
pub const MAX_TOKENS: usize = 1_000;
/// How often an event stream that is idle says that it is alive.
pub const STREAM_HEARTBEAT_MILLIS: u64 = 5_000;
/// How often it is looked whether the token of an event stream still counts.
pub const STREAM_TOKEN_MILLIS: u64 = 2_000;
/// Commands about availability that are remembered by their ids.
pub const MAX_AVAILABILITY_COMMANDS_KEPT: usize = 256;
/// Longest id of an admin command, in octets.
pub const MAX_COMMAND_ID_OCTETS: usize = 128;
/// Frames queued towards one PEP before its connection is closed as too slow.
pub const MAX_FRAMES_QUEUED: usize = 256;
/// Octets of those, one frame always being taken. More than a session queues by itself (4 MiB).
pub const MAX_OCTETS_QUEUED: usize = 8 * 1024 * 1024;
/// A connection is read on while no more frames than this wait for its PEP.
pub const READ_ON_BELOW_FRAMES: usize = 64;
/// A connection is read on while no more octets than this wait for its PEP.
pub const READ_ON_BELOW_OCTETS: usize = 256 * 1024;
/// What one connection may have with the loop at a time: a keep-alive takes 1, an OPN or REQ half of it, any other message
/// a quarter, one of more than 64 KiB all.
pub const MAX_SHARE_UNITS: u32 = 8;
/// Inputs queued towards the node before connections wait (back-pressure on their sockets).
pub const MAX_INPUTS_QUEUED: usize = 1_024;
/// Inputs handled before their journal records are synced and their answers leave.
pub const MAX_INPUTS_A_BATCH: usize = 256;
/// Longest that a released step is waited for, by what its custodian says, on the engine's clock: a stop, a boot or a move.
pub const MAX_STEP_MILLIS: u64 = 15 * 60 * 1000;
/// The same for a line, which is to switch in a moment: no plan is made while one may be moving.
pub const MAX_LINE_STEP_MILLIS: u64 = 60 * 1000;
/// Highest term of a plan that a PEP is believed to hold. One start of a PDP uses one, so that none comes near it; numbers
/// of events begin with the term in their upper 32 bits.
pub const MAX_BELIEVED_TERM: u64 = 1 << 31;
/// Highest generation of such a plan. One plan uses one.
pub const MAX_BELIEVED_GENERATION: u64 = 1 << 62;
/// PEPs that the cluster state remembers, connected or not.
pub const MAX_PEPS: usize = 20_000;
/// Alarms shown in `status`; further ones are counted.
pub const MAX_ALARMS_SHOWN: usize = 100;
/// Times that one action may fail in an interruption before it is not planned again.
pub const MAX_ACTION_FAILURES: u32 = 2;
/// Journal records after which a checkpoint is written.
pub const CHECKPOINT_EVERY_RECORDS: u64 = 2_000;
/// Journal records kept behind the last checkpoint, for history and replay.
pub const MAX_RECORDS_KEPT: u64 = 100_000;
/// How long the store may take to sync one batch before decisions leave without it, loudly.
pub const STORE_PATIENCE_MILLIS: u64 = 5_000;
/// How long PEPs are awaited after a restart before those that did not come back count as gone.
pub const AWAIT_PEPS_MILLIS: u64 = 10_000;
/// How often a journal that failed is tried again, in real milliseconds.
pub const STORE_PROBE_MILLIS: u64 = 1_000;
/// Size of the journal above which history behind the last checkpoint is forgotten, however few records it has.
pub const MAX_JOURNAL_OCTETS: u64 = 256 * 1024 * 1024;
/// Largest journal record, in octets of JSON; the largest are checkpoints.
pub const MAX_RECORD_OCTETS: usize = 256 * 1024 * 1024;
/// Journal records forgotten at one time, so that no batch waits for long.
pub const MAX_RECORDS_FORGOTTEN_AT_ONCE: u64 = 10_000;
/// Entries of history that are told at one time, the newest.
pub const MAX_HISTORY_ENTRIES: usize = 10_000;
/// Journal records given to one reader at one time.
pub const MAX_RECORDS_READ: usize = 10_000;
/// Batches and reads queued towards the journal.
pub const MAX_JOURNAL_REQUESTS_QUEUED: usize = 16;
/// Plans that may be made at once, in a row. What an interruption itself asks for (its beginning, its phases, servers that
/// come under it) is not counted against it.
pub const PLAN_BURST: u32 = 20;
/// Time after which one more plan may be made, on the engine's clock: in the long run, at most twenty a minute.
pub const PLAN_INTERVAL_MILLIS: u64 = 3_000;

/// Contingencies of one PEP: contexts beside the base context.
pub const MAX_CONTINGENCIES: usize = 3;

/// What became of commands about contingencies, kept until it is asked for; the oldest go first.
pub const MAX_CONTEXT_EVENTS: usize = 1_024;

/// Interruptions for which plans are held ready: the whole cluster first, then domains. Further ones are planned when they come.
pub const MAX_CONTINGENCY_CASES: usize = 16;
