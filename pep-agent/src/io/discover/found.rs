//! Reserves, outlets and the machine's own figures.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::drivers::host::rapl::RaplMeter;
use crate::drivers::nut;
use crate::drivers::power_supply::Supplies;
use crate::drivers::process::ProcessTable;
use crate::limits::MAX_POWER_SUPPLIES;

/// How long the counters of power are watched.
const RAPL_SPAN: Duration = Duration::from_millis(500);

/// Where things are looked for.
#[derive(Debug, Clone)]
pub(super) struct Places {
    pub(super) proc: PathBuf,
    pub(super) passwd: PathBuf,
    pub(super) power_supplies: PathBuf,
    pub(super) powercap: PathBuf,
}

impl Places {
    pub(super) fn of_this_machine() -> Self {
        Self {
            proc: "/proc".into(),
            passwd: "/etc/passwd".into(),
            power_supplies: "/sys/class/power_supply".into(),
            powercap: "/sys/class/powercap".into(),
        }
    }

    pub(super) fn table(&self) -> ProcessTable {
        ProcessTable::new(&self.proc, &self.passwd)
    }
}

/// What was found.
#[derive(Debug)]
pub(super) struct Found {
    /// Devices of the NUT server with their variables, or why there are none.
    pub(super) nut: Result<BTreeMap<String, BTreeMap<String, String>>, String>,
    /// Batteries that the kernel shows, with the files that say something.
    pub(super) batteries: BTreeMap<String, BTreeMap<String, String>>,
    /// Measured power of processors and memory, in milliwatts, or why it is not known.
    pub(super) rapl: Result<u32, String>,
    pub(super) millicores: u64,
    pub(super) mebibytes: u64,
}

/// Looks at everything but what runs.
pub(super) async fn look(places: &Places, nut_address: &str) -> Found {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Found {
        nut: nut::survey(nut_address).await.map_err(|error| error.0),
        batteries: batteries(places),
        rapl: rapl(places).await,
        millicores: u64::try_from(processors).unwrap_or(1) * 1_000,
        mebibytes: memory(places),
    }
}

fn batteries(places: &Places) -> BTreeMap<String, BTreeMap<String, String>> {
    let Ok(entries) = fs::read_dir(&places.power_supplies) else {
        return BTreeMap::new();
    };
    let names = entries
        .take(MAX_POWER_SUPPLIES)
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names
        .filter_map(|name| {
            // The battery of a mouse feeds no server.
            let scope = fs::read_to_string(places.power_supplies.join(&name).join("scope"));
            if scope.is_ok_and(|scope| scope.trim() == "Device") {
                return None;
            }
            let supplies = Supplies::new(places.power_supplies.clone(), name.clone(), None);
            Some((name, supplies.read().ok()?.battery))
        })
        .collect()
}

async fn rapl(places: &Places) -> Result<u32, String> {
    let mut meter = RaplMeter::new(&places.powercap);
    meter.read(Instant::now()).map_err(|error| error.to_string())?;
    tokio::time::sleep(RAPL_SPAN).await;
    match meter.read(Instant::now()) {
        Ok(Some(milliwatts)) => Ok(milliwatts),
        Ok(None) => Err("its counters changed while they were read".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Memory of the machine, in mebibytes: `MemTotal` of /proc/meminfo.
fn memory(places: &Places) -> u64 {
    let text = fs::read_to_string(places.proc.join("meminfo")).unwrap_or_default();
    let kibibytes = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.split_ascii_whitespace().next()?.parse::<u64>().ok());
    kibibytes.unwrap_or(0) >> 10
}
