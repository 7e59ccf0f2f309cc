//! Why the plant refused a command or a question.

/// Why the plant refused a command or a question; nothing has changed then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlantError {
    /// There is no such thing in this plant.
    #[error("there is no {kind} named {name:?}")]
    Unknown {
        /// `domain`, `server`, `reserve`, `line`.
        kind: &'static str,
        /// The name asked for.
        name: String,
    },
    /// The activity was never declared on that server.
    #[error("activity {activity:?} is not declared on server {server:?}")]
    UnknownActivity {
        /// The server.
        server: String,
        /// The activity.
        activity: String,
    },
    /// The reserve or server is not a member of the line.
    #[error("{kind} {name:?} is not a member of line {line:?}")]
    NotMember {
        /// `reserve` or `server`.
        kind: &'static str,
        /// Its name.
        name: String,
        /// The line.
        line: String,
    },
    /// More than a limit of the plant's configuration allows.
    #[error("{what}: {wanted} is over the limit of {limit}")]
    OverLimit {
        /// Which limit, and of what.
        what: String,
        /// What was asked for.
        wanted: u64,
        /// What is allowed.
        limit: u64,
    },
    /// The server is not in a state that allows this.
    #[error("server {server:?} is {power}, expected {expected}")]
    WrongPower {
        /// The server.
        server: String,
        /// Its power state.
        power: super::ServerPower,
        /// The states that would do.
        expected: &'static str,
    },
    /// Nobody can switch this server on.
    #[error("server {0:?} has no starter")]
    NoStarter(String),
    /// Neither mains, nor a line, nor an own reserve can feed the server.
    #[error("server {0:?} has nothing that feeds it")]
    NoFeed(String),
    /// A name that the wire could not carry.
    #[error("{0}")]
    BadName(String),
    /// The unmanaged replay is not possible.
    #[error("no unmanaged run: {0}")]
    NoReplay(&'static str),
}
