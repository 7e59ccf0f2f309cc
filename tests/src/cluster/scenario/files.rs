//! The files that the programs read, from a scenario.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result};
use toml::{Table, Value};

use super::{Scenario, Server};

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

impl Scenario {
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
