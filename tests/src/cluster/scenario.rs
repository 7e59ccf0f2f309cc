//! A cluster in words: servers, reserves, lines, activities, and the policy over them, as the files that the programs read.
//!
//! One node agent a server reports the server and what runs there. Reserves and lines have a rack agent as their
//! custodian, which stands on infrastructure power, starts the servers and speaks for their mains domains.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result};
use toml::{Table, Value};

/// The rack agent of a scenario that names no other.
const RACK: &str = "rack";

/// The files of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The PDP's.
    pub pdp: String,
    /// The plant's.
    pub plant: String,
    /// The agents', by name.
    pub agents: BTreeMap<String, String>,
}

impl Files {
    /// Writes them into a folder: `pdp.toml`, `plant.toml`, and one `NAME.toml` an agent.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
        };
        write("pdp.toml", &self.pdp)?;
        write("plant.toml", &self.plant)?;
        for (name, text) in &self.agents {
            write(&format!("{name}.toml"), text)?;
        }
        Ok(())
    }
}

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

    fn racks(&self) -> BTreeSet<&str> {
        let servers = self.servers.iter().map(|s| s.rack.as_str());
        let reserves = self.reserves.iter().map(|r| r.rack.as_str());
        let lines = self.lines.iter().map(|l| l.rack.as_str());
        servers.chain(reserves).chain(lines).collect()
    }

    /// Domains, each with the rack that speaks for it: that of its first server.
    fn domains(&self) -> BTreeMap<&str, &str> {
        let mut domains = BTreeMap::new();
        for server in &self.servers {
            domains
                .entry(server.domain.as_str())
                .or_insert(server.rack.as_str());
        }
        domains
    }

    /// The files, with the address at which agents find the PDP and the path of the agents' program.
    pub fn files(&self, pdp_address: &str, pep_agent: &str) -> Files {
        let nodes = self.servers.iter().map(|server| {
            let text = self.node_file(server, pdp_address);
            (server.name.clone(), text)
        });
        let racks = self
            .racks()
            .into_iter()
            .map(|rack| (rack.to_owned(), self.rack_file(rack, pdp_address)));
        Files {
            pdp: self.pdp_file(pdp_address),
            plant: self.plant_file(pep_agent),
            agents: nodes.chain(racks).collect(),
        }
    }

    fn pdp_file(&self, address: &str) -> String {
        let mut root = table([("name", "pdp1".into())]);
        put(&mut root, "listen", table([("address", address.into())]));
        put(&mut root, "journal", table([("path", "journal.sqlite".into())]));
        put(&mut root, "admin", table([("socket", "pdp.sock".into())]));
        put(&mut root, "peer_default", table([("armed", true.into())]));
        let domains = self.domains().into_iter();
        list(
            &mut root,
            "domain",
            domains.map(|(name, rack)| table([("name", name.into()), ("facility_witness", rack.into())])),
        );
        let qos = self.qos.iter().map(|qos| {
            let target = match qos.target_seconds {
                Some(seconds) => integer(seconds),
                None => "forever".into(),
            };
            let entry = table([
                ("priority", integer(qos.priority)),
                ("weight", integer(qos.weight)),
                ("target_seconds", target),
            ]);
            (qos.name.clone(), Value::Table(entry))
        });
        put(&mut root, "qos", qos.collect());
        let sets = self.sets.iter();
        list(
            &mut root,
            "set",
            sets.map(|(name, qos)| table([("name", name.as_str().into()), ("qos", qos.as_str().into())])),
        );
        let rules = self.rules.iter();
        list(
            &mut root,
            "group",
            rules.map(|(on, pattern, set)| {
                table([
                    ("match", on.as_str().into()),
                    ("pattern", pattern.as_str().into()),
                    ("set", set.as_str().into()),
                ])
            }),
        );
        put(&mut root, "policy", self.policy.iter().cloned().collect());
        put(&mut root, "cops", self.cops.iter().cloned().collect());
        text(root)
    }

    fn plant_file(&self, pep_agent: &str) -> String {
        let command = |name: &str| -> Value {
            let file = format!("{name}.toml");
            let words = [pep_agent, "run", "--config", file.as_str()];
            words
                .iter()
                .map(|word| (*word).to_owned())
                .collect::<Vec<_>>()
                .into()
        };
        let mut root = table([("socket", "plant.sock".into()), ("log_folder", "logs".into())]);
        let domains = self.domains().into_keys();
        list(
            &mut root,
            "domain",
            domains.map(|name| table([("name", name.into())])),
        );
        list(
            &mut root,
            "server",
            self.servers.iter().map(|server| {
                let supplies = self.reserves.iter().filter(|r| r.feeds == server.name);
                let supplies: Vec<String> = supplies.map(|r| r.name.clone()).collect();
                let inlet = table([("domain", server.domain.as_str().into())]);
                let mut entry = table([
                    ("name", server.name.as_str().into()),
                    ("idle_watts", integer(server.idle_watts)),
                    ("peak_watts", integer(server.peak_watts)),
                    ("boot_seconds", integer(server.boot_seconds)),
                    ("halt_seconds", integer(server.halt_seconds)),
                    ("supplies", supplies.into()),
                    ("inlets", Value::Array(vec![Value::Table(inlet)])),
                    ("agent", command(&server.name)),
                ]);
                if server.can_be_started {
                    entry.insert("starter".to_owned(), server.rack.as_str().into());
                }
                entry
            }),
        );
        list(
            &mut root,
            "reserve",
            self.reserves.iter().map(|reserve| {
                let fed = self.servers.iter().find(|s| s.name == reserve.feeds);
                let mut entry = table([
                    ("name", reserve.name.as_str().into()),
                    ("capacity_wh", reserve.capacity_wh.into()),
                    ("cutoff_wh", (reserve.capacity_wh / 10.0).into()),
                    ("max_discharge_watts", integer(reserve.max_watts)),
                    ("efficiency_permille", integer(reserve.efficiency_permille)),
                ]);
                if let Some(server) = fed {
                    entry.insert("recharge_watts".to_owned(), integer(reserve.recharge_watts));
                    entry.insert("recharge_domain".to_owned(), server.domain.as_str().into());
                }
                entry
            }),
        );
        list(
            &mut root,
            "line",
            self.lines.iter().map(|line| {
                table([
                    ("name", line.name.as_str().into()),
                    ("reserves", line.reserves.clone().into()),
                    ("servers", line.servers.clone().into()),
                    ("max_watts", integer(line.max_watts)),
                    ("efficiency_permille", integer(line.efficiency_permille)),
                    ("switch_milliseconds", integer(4_u8)),
                ])
            }),
        );
        let racks = self.racks().into_iter();
        list(
            &mut root,
            "agent",
            racks.map(|rack| table([("name", rack.into()), ("command", command(rack))])),
        );
        text(root)
    }

    fn agent_file(&self, name: &str, pdp_address: &str) -> Table {
        let mode = if self.observing.contains(name) {
            "observe"
        } else {
            "armed"
        };
        let mut root = Table::new();
        let agent = table([
            ("name", name.into()),
            ("state_dir", format!("state-{name}").into()),
            ("mode", mode.into()),
        ]);
        put(&mut root, "agent", agent);
        let mut pdp = table([("address", pdp_address.into())]);
        if let Some(seconds) = self.reading_seconds {
            pdp.insert("reading_seconds".to_owned(), integer(seconds));
        }
        put(&mut root, "pdp", pdp);
        put(&mut root, "plant", table([("socket", "plant.sock".into())]));
        root
    }

    fn node_file(&self, server: &Server, pdp_address: &str) -> String {
        let mut root = self.agent_file(&server.name, pdp_address);
        let own = table([
            ("name", server.name.as_str().into()),
            ("driver", "simulated".into()),
            ("cpu_millicores", integer(server.cpu_millicores)),
            ("memory_mebibytes", integer(65_536_u32)),
        ]);
        list(&mut root, "server", std::iter::once(own));
        let here = self
            .activities
            .iter()
            .filter(|a| a.server == server.name || a.elsewhere.contains(&server.name));
        list(
            &mut root,
            "activity",
            here.map(|activity| {
                let mut entry = table([
                    ("name", activity.name.as_str().into()),
                    ("driver", "simulated".into()),
                    ("server", server.name.as_str().into()),
                    ("watts", integer(activity.watts)),
                    ("cpu_millicores", integer(activity.cpu_millicores)),
                    ("memory_mebibytes", integer(1_024_u32)),
                    ("stop_seconds", integer(activity.stop_seconds)),
                    ("start_seconds", integer(2_u8)),
                    ("move_seconds", integer(activity.move_seconds)),
                    ("move_joules", integer(200_u32)),
                    ("movable", (!activity.elsewhere.is_empty()).into()),
                    ("running", (activity.server == server.name).into()),
                ]);
                let named = [
                    ("set", &activity.set),
                    ("data_type", &activity.data_type),
                    ("process", &activity.process),
                    ("qos", &activity.qos),
                ];
                for (key, value) in named {
                    if let Some(value) = value {
                        entry.insert(key.to_owned(), value.as_str().into());
                    }
                }
                entry
            }),
        );
        text(root)
    }

    fn rack_file(&self, rack: &str, pdp_address: &str) -> String {
        let mut root = self.agent_file(rack, pdp_address);
        let simulated = |name: &str| table([("name", name.into()), ("driver", "simulated".into())]);
        let servers = self.servers.iter().filter(|s| s.rack == rack && s.can_be_started);
        list(
            &mut root,
            "server",
            servers.map(|server| {
                let mut entry = simulated(&server.name);
                entry.insert("role".to_owned(), "witness".into());
                entry
            }),
        );
        let domains = self.domains();
        let own = domains.iter().filter(|(_, speaker)| **speaker == rack);
        list(
            &mut root,
            "domain",
            own.map(|(name, _)| table([("name", (*name).into()), ("witness", "facility".into())])),
        );
        let reserves = self.reserves.iter().filter(|r| r.rack == rack);
        list(&mut root, "reserve", reserves.map(|r| simulated(&r.name)));
        let lines = self.lines.iter().filter(|l| l.rack == rack);
        list(&mut root, "line", lines.map(|l| simulated(&l.name)));
        text(root)
    }
}

fn integer(number: impl Into<i128>) -> Value {
    Value::Integer(i64::try_from(number.into()).unwrap_or(i64::MAX))
}

fn table<const N: usize>(entries: [(&str, Value); N]) -> Table {
    entries
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

fn put(root: &mut Table, key: &str, value: Table) {
    if !value.is_empty() {
        root.insert(key.to_owned(), Value::Table(value));
    }
}

fn list(root: &mut Table, key: &str, entries: impl Iterator<Item = Table>) {
    let entries: Vec<Value> = entries.map(Value::Table).collect();
    if !entries.is_empty() {
        root.insert(key.to_owned(), Value::Array(entries));
    }
}

fn text(root: Table) -> String {
    root.to_string()
}
