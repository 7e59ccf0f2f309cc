//! A cluster in words: servers, reserves, lines, activities, and the policy over them, as the files that the programs read.
//!
//! One node agent a server reports the server and what runs there. Reserves and lines have a rack agent as their
//! custodian, which stands on infrastructure power, starts the servers and speaks for their mains domains.

mod files;

use std::collections::BTreeSet;

use toml::Value;

pub use self::files::Files;

/// The rack agent of a scenario that names no other.
const RACK: &str = "rack";

/// A class of service.
#[derive(Debug, Clone)]
pub struct Qos {
    name: String,
    priority: u16,
    weight: u32,
    /// `None`: for ever.
    target_seconds: Option<u64>,
}

impl Qos {
    /// A class with its priority and how long it is to be kept. All classes weigh the same: nothing but these two tells
    /// them apart.
    pub fn new(name: &str, priority: u16, target_seconds: u64) -> Self {
        Self {
            name: name.to_owned(),
            priority,
            weight: 1,
            target_seconds: Some(target_seconds),
        }
    }

    /// It is to be kept for ever.
    #[must_use]
    pub fn forever(mut self) -> Self {
        self.target_seconds = None;
        self
    }
}

/// A server.
#[derive(Debug, Clone)]
pub struct Server {
    name: String,
    domain: String,
    rack: String,
    idle_watts: u32,
    peak_watts: u32,
    boot_seconds: u32,
    halt_seconds: u32,
    cpu_millicores: u32,
    can_be_started: bool,
}

impl Server {
    /// A server on a mains domain: 60 W idle, 400 W at most, boots in 60 s, halts in 10 s.
    pub fn new(name: &str, domain: &str) -> Self {
        Self {
            name: name.to_owned(),
            domain: domain.to_owned(),
            rack: RACK.to_owned(),
            idle_watts: 60,
            peak_watts: 400,
            boot_seconds: 60,
            halt_seconds: 10,
            cpu_millicores: 8_000,
            can_be_started: true,
        }
    }

    /// Its draw with nothing running.
    #[must_use]
    pub fn idle_watts(mut self, watts: u32) -> Self {
        self.idle_watts = watts;
        self
    }

    /// Its processors, in thousandths of a core.
    #[must_use]
    pub fn cpu_millicores(mut self, millicores: u32) -> Self {
        self.cpu_millicores = millicores;
        self
    }

    /// The rack agent that starts it.
    #[must_use]
    pub fn rack(mut self, rack: &str) -> Self {
        self.rack = rack.to_owned();
        self
    }

    /// Nobody can switch it on again, so no plan switches it off.
    #[must_use]
    pub fn without_starter(mut self) -> Self {
        self.can_be_started = false;
        self
    }
}

/// A reserve: an uninterruptible power supply with its battery.
#[derive(Debug, Clone)]
pub struct Reserve {
    name: String,
    feeds: String,
    rack: String,
    capacity_wh: f64,
    max_watts: u32,
    efficiency_permille: u32,
    recharge_watts: u32,
}

impl Reserve {
    /// A full battery that feeds a server: 10 % is never drawn, 600 W at most, an inverter of 92 %, recharged with 150 W.
    pub fn new(name: &str, feeds: &str, capacity_wh: f64) -> Self {
        Self {
            name: name.to_owned(),
            feeds: feeds.to_owned(),
            rack: RACK.to_owned(),
            capacity_wh,
            max_watts: 600,
            efficiency_permille: 920,
            recharge_watts: 150,
        }
    }

    /// The largest power at its output.
    #[must_use]
    pub fn max_watts(mut self, watts: u32) -> Self {
        self.max_watts = watts;
        self
    }

    /// The rack agent that is its custodian.
    #[must_use]
    pub fn rack(mut self, rack: &str) -> Self {
        self.rack = rack.to_owned();
        self
    }
}

/// A power divert line.
#[derive(Debug, Clone)]
pub struct Line {
    name: String,
    rack: String,
    reserves: Vec<String>,
    servers: Vec<String>,
    max_watts: u32,
    efficiency_permille: u32,
}

impl Line {
    /// A shared line, 1200 W at most, that gives out 96 % of what is put in, and changes make before break in 4 ms.
    pub fn new(name: &str, reserves: &[&str], servers: &[&str]) -> Self {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self {
            name: name.to_owned(),
            rack: RACK.to_owned(),
            reserves: owned(reserves),
            servers: owned(servers),
            max_watts: 1_200,
            efficiency_permille: 960,
        }
    }

    /// The rack agent that is its custodian.
    #[must_use]
    pub fn rack(mut self, rack: &str) -> Self {
        self.rack = rack.to_owned();
        self
    }
}

/// An activity.
#[derive(Debug, Clone)]
pub struct Activity {
    name: String,
    server: String,
    elsewhere: Vec<String>,
    set: Option<String>,
    data_type: Option<String>,
    process: Option<String>,
    qos: Option<String>,
    watts: u32,
    cpu_millicores: u32,
    stop_seconds: u32,
    move_seconds: u32,
}

impl Activity {
    /// An activity that runs on a server: one core, stopped in 5 s.
    pub fn new(name: &str, server: &str, watts: u32) -> Self {
        Self {
            name: name.to_owned(),
            server: server.to_owned(),
            elsewhere: Vec::new(),
            set: None,
            data_type: None,
            process: None,
            qos: None,
            watts,
            cpu_millicores: 1_000,
            stop_seconds: 5,
            move_seconds: 10,
        }
    }

    /// It could run on these servers too, and may be moved there.
    #[must_use]
    pub fn movable_to(mut self, servers: &[&str]) -> Self {
        self.elsewhere = servers.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    /// The set that its agent's file asks for.
    #[must_use]
    pub fn set(mut self, set: &str) -> Self {
        self.set = Some(set.to_owned());
        self
    }

    /// The type of the data that it works on.
    #[must_use]
    pub fn data_type(mut self, data_type: &str) -> Self {
        self.data_type = Some(data_type.to_owned());
        self
    }

    /// The process that does the work.
    #[must_use]
    pub fn process(mut self, process: &str) -> Self {
        self.process = Some(process.to_owned());
        self
    }

    /// The class of its quality of service, as its agent's file says.
    #[must_use]
    pub fn qos(mut self, qos: &str) -> Self {
        self.qos = Some(qos.to_owned());
        self
    }

    /// Its processor demand, in thousandths of a core.
    #[must_use]
    pub fn cpu_millicores(mut self, millicores: u32) -> Self {
        self.cpu_millicores = millicores;
        self
    }
}

/// A cluster in words.
#[derive(Debug, Clone, Default)]
pub struct Scenario {
    qos: Vec<Qos>,
    sets: Vec<(String, String)>,
    rules: Vec<(String, String, String)>,
    servers: Vec<Server>,
    reserves: Vec<Reserve>,
    lines: Vec<Line>,
    activities: Vec<Activity>,
    policy: Vec<(String, Value)>,
    cops: Vec<(String, Value)>,
    reading_seconds: Option<u32>,
    observing: BTreeSet<String>,
}

impl Scenario {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A class of service, which is a set too.
    #[must_use]
    pub fn qos(mut self, qos: Qos) -> Self {
        self.qos.push(qos);
        self
    }

    /// A predefined set, with its class of service.
    #[must_use]
    pub fn set(mut self, set: &str, qos: &str) -> Self {
        self.sets.push((set.to_owned(), qos.to_owned()));
        self
    }

    /// A grouping rule: `on` is name, data_type, process, or qos_class.
    #[must_use]
    pub fn rule(mut self, on: &str, pattern: &str, set: &str) -> Self {
        self.rules
            .push((on.to_owned(), pattern.to_owned(), set.to_owned()));
        self
    }

    /// A server.
    #[must_use]
    pub fn server(mut self, server: Server) -> Self {
        self.servers.push(server);
        self
    }

    /// A reserve.
    #[must_use]
    pub fn reserve(mut self, reserve: Reserve) -> Self {
        self.reserves.push(reserve);
        self
    }

    /// A line.
    #[must_use]
    pub fn line(mut self, line: Line) -> Self {
        self.lines.push(line);
        self
    }

    /// An activity.
    #[must_use]
    pub fn activity(mut self, activity: Activity) -> Self {
        self.activities.push(activity);
        self
    }

    /// A key of the PDP's `[policy]`.
    #[must_use]
    pub fn policy(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.policy.push((key.to_owned(), value.into()));
        self
    }

    /// A key of the PDP's `[cops]`.
    #[must_use]
    pub fn cops(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.cops.push((key.to_owned(), value.into()));
        self
    }

    /// How often agents send readings, and the PDP expects them, in real seconds.
    #[must_use]
    pub fn reading_seconds(mut self, seconds: u32) -> Self {
        self.reading_seconds = Some(seconds);
        self.cops("accounting_seconds", i64::from(seconds))
    }

    /// That agent only observes.
    #[must_use]
    pub fn observing(mut self, agent: &str) -> Self {
        self.observing.insert(agent.to_owned());
        self
    }
}
