//! What is said on the plant's socket.
//!
//! One JSON object a line in both directions. A client sends a [`Call`]; the plant answers each with one [`Answer`] that
//! carries the same number, in the order of the calls. After [`PlantRequest::Watch`] the connection carries
//! [`Notice`]s instead, until either side closes it. By hand: `echo '{"request":{"kind":"ledger"}}' | nc -U plant.sock`.
//!
//! All times are the plant's: milliseconds since its start, scaled. Units stand in the names; line powers are measured
//! at the line's input (see [`power_policy::plant`]).

use power_policy::plant::{
    ActivityReport, DomainReading, History, Ledger, LineDescription, LineReading, PlantEvent,
    ReserveDescription, ReserveReading, Sample, ServerDescription, ServerReading, UnmanagedRun,
};
use serde::{Deserialize, Serialize};

/// Version of this protocol; the plant tells its own in [`Greeting`].
pub const PROTOCOL_VERSION: u32 = 1;

/// A numbered request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// Number that the answer carries; the client's to choose.
    #[serde(default)]
    pub id: u64,
    /// What is asked or commanded.
    pub request: PlantRequest,
}

/// What can be asked of a plant, or commanded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum PlantRequest {
    /// Says who is calling, for those commands that only a starter may give. Answer: `Greeting`.
    Hello {
        /// Name of the calling PEP.
        agent: String,
    },
    /// Names of all there is. Answer: `Names`.
    Names {},
    /// Fixed figures of a server. Answer: `ServerFigures`.
    DescribeServer {
        /// The server.
        server: String,
    },
    /// Fixed figures of a reserve. Answer: `ReserveFigures`.
    DescribeReserve {
        /// The reserve.
        reserve: String,
    },
    /// Fixed figures of a line. Answer: `LineFigures`.
    DescribeLine {
        /// The line.
        line: String,
    },
    /// A server's power state, mains, meters and activities. Answer: `Server`.
    ReadServer {
        /// The server.
        server: String,
    },
    /// A reserve's charge and meters. Answer: `Reserve`.
    ReadReserve {
        /// The reserve.
        reserve: String,
    },
    /// A line's positions and meters. Answer: `Line`.
    ReadLine {
        /// The line.
        line: String,
    },
    /// The mains of each domain. Answer: `Domains`.
    ReadDomains {},
    /// Makes an activity known. Answer: `Done`.
    DeclareActivity {
        /// The server it can run on.
        server: String,
        /// The activity.
        activity: String,
        /// Its draw above idle.
        milliwatts: u64,
        /// Whether it runs from the start; honoured once in the plant's life.
        initially_running: bool,
    },
    /// Starts an activity. Answer: `Done`.
    StartActivity {
        /// The server.
        server: String,
        /// The activity.
        activity: String,
    },
    /// Stops an activity cleanly. Answer: `Done`.
    StopActivity {
        /// The server.
        server: String,
        /// The activity.
        activity: String,
    },
    /// Changes an activity's draw above idle. Answer: `Done`.
    SetLoad {
        /// The server.
        server: String,
        /// The activity.
        activity: String,
        /// Its new draw.
        milliwatts: u64,
    },
    /// Gives a reserve to a server through a line; 0 milliwatts takes the pair off. The change takes the line's
    /// switching time: read the line until it no longer moves. Answer: `Done`.
    SetLine {
        /// The line.
        line: String,
        /// The reserve.
        reserve: String,
        /// The server.
        server: String,
        /// Power that may pass.
        milliwatts: u64,
    },
    /// Takes everything off a line. Answer: `Done`.
    ClearLine {
        /// The line.
        line: String,
    },
    /// Begins a clean halt. Answer: `Done`.
    HaltServer {
        /// The server.
        server: String,
    },
    /// Cuts a server's outlet; only its starter may. Answer: `Done`.
    PowerOff {
        /// The server.
        server: String,
    },
    /// Switches a server on; only its starter may. Answer: `Done`.
    StartServer {
        /// The server.
        server: String,
    },
    /// The mains of a domain goes away. Answer: `Done`.
    FailMains {
        /// The power domain.
        domain: String,
    },
    /// The mains of a domain comes back. Answer: `Done`.
    RestoreMains {
        /// The power domain.
        domain: String,
    },
    /// A fault: a stuck line follows no command. Answer: `Done`.
    StickLine {
        /// The line.
        line: String,
        /// Whether it is stuck.
        stuck: bool,
    },
    /// A fault: of what a reserve says it has, only so much is there. Answer: `Done`.
    WeakenReserve {
        /// The reserve.
        reserve: String,
        /// How much is there.
        permille: u64,
    },
    /// A fault: a failed reserve gives and takes nothing. Answer: `Done`.
    FailReserve {
        /// The reserve.
        reserve: String,
        /// Whether it has failed.
        failed: bool,
    },
    /// Where the energy went. Answer: `Ledger`.
    Ledger {},
    /// The ride-through times of every activity. Answer: `Activities`.
    Activities {},
    /// The samples so far. Answer: `History`.
    History {},
    /// What each server would have had on its own under the same mains. Answer: `Unmanaged`.
    Unmanaged {},
    /// Turns the connection into a stream of notices, after one `Done`.
    Watch {
        /// Interval of samples, in the plant's milliseconds; 0: events only.
        #[serde(default)]
        sample_millis: u64,
    },
}

/// The answer to one [`Call`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Number of the call.
    pub id: u64,
    /// What the plant says.
    pub reply: PlantReply,
}

/// What a plant says to one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "value", rename_all = "snake_case")]
pub enum PlantReply {
    /// It is done, or begun.
    Done,
    /// It was not, and nothing changed: the reason.
    Refused(String),
    /// Answer to `Hello`.
    Greeting(Greeting),
    /// Answer to `Names`.
    Names(PlantNames),
    /// Answer to `DescribeServer`.
    ServerFigures(Box<ServerDescription>),
    /// Answer to `DescribeReserve`.
    ReserveFigures(Box<ReserveDescription>),
    /// Answer to `DescribeLine`.
    LineFigures(Box<LineDescription>),
    /// Answer to `ReadServer`.
    Server(Box<ServerReading>),
    /// Answer to `ReadReserve`.
    Reserve(Box<ReserveReading>),
    /// Answer to `ReadLine`.
    Line(Box<LineReading>),
    /// Answer to `ReadDomains`.
    Domains(Vec<DomainReading>),
    /// Answer to `Ledger`.
    Ledger(Box<Ledger>),
    /// Answer to `Activities`.
    Activities(Vec<ActivityReport>),
    /// Answer to `History`.
    History(Box<History>),
    /// Answer to `Unmanaged`.
    Unmanaged(Box<UnmanagedRun>),
}

/// The plant's answer to `Hello`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    /// [`PROTOCOL_VERSION`] of the plant.
    pub version: u32,
    /// How many of the plant's seconds pass in a real one.
    pub clock_scale: u32,
    /// The plant's time.
    pub now_millis: u64,
}

/// Names of all there is in a plant, in the order of its file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlantNames {
    /// Mains domains.
    pub domains: Vec<String>,
    /// Servers.
    pub servers: Vec<String>,
    /// Reserves.
    pub reserves: Vec<String>,
    /// Divert lines.
    pub lines: Vec<String>,
}

/// What a watching connection is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "value", rename_all = "snake_case")]
pub enum Notice {
    /// Something happened.
    Event(PlantEvent),
    /// The plant as it is now.
    Sample(Sample),
    /// The watcher was too slow: so many events are missing here.
    Missed(u64),
}

#[cfg(test)]
mod tests {
    use super::*;
    use power_policy::plant::PlantEventKind;

    #[test]
    fn a_call_reads_as_documented() {
        let call: Call = serde_json::from_str(r#"{"request":{"kind":"ledger"}}"#).unwrap();
        assert_eq!(
            call,
            Call {
                id: 0,
                request: PlantRequest::Ledger {}
            }
        );
        let set = r#"{"id":7,"request":{"kind":"set_line","line":"tie","reserve":"u1","server":"s1","milliwatts":5}}"#;
        let call: Call = serde_json::from_str(set).unwrap();
        assert_eq!(serde_json::to_string(&call).unwrap(), set);
    }

    #[test]
    fn refuses_an_unknown_key_and_an_unknown_kind() {
        let unknown = serde_json::from_str::<Call>(r#"{"request":{"kind":"ledger","x":1}}"#).unwrap_err();
        assert!(unknown.to_string().contains("unknown field `x`"), "{unknown}");
        let unknown = serde_json::from_str::<Call>(r#"{"request":{"kind":"explode"}}"#).unwrap_err();
        assert!(
            unknown.to_string().contains("unknown variant `explode`"),
            "{unknown}"
        );
    }

    #[test]
    fn an_event_survives_its_text_form() {
        let kind = PlantEventKind::ServerOff {
            server: "s1".into(),
            clean: true,
        };
        let notice = Notice::Event(PlantEvent {
            at_millis: u64::MAX,
            kind,
        });
        let text = serde_json::to_string(&notice).unwrap();
        assert_eq!(serde_json::from_str::<Notice>(&text).unwrap(), notice, "{text}");
    }
}
