//! Measured power of the processors and memory: the running average power limit counters of the kernel's powercap class
//! (`Documentation/power/powercap/powercap.rst`). They count microjoules and wrap.
//!
//! The zone `psys` counts the whole platform, where there is one; else all packages and their `dram` are added up. What
//! they do not see (fans, disks, losses of the power supply) is a figure of the agent's file.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::limits::MAX_RAPL_ZONES;

/// Shorter intervals than this say little: the counters move once a millisecond or so.
const SHORTEST_MILLIS: u128 = 100;

/// A counter.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Zone {
    folder: PathBuf,
    /// What it wraps at, in microjoules.
    range: u64,
}

/// A meter made of counters.
#[derive(Debug)]
pub struct RaplMeter {
    class: PathBuf,
    last: Option<(Instant, Vec<(Zone, u64)>)>,
    milliwatts: Option<u32>,
}

impl RaplMeter {
    /// A meter of the zones below `class` (`/sys/class/powercap`).
    pub fn new(class: impl Into<PathBuf>) -> Self {
        Self {
            class: class.into(),
            last: None,
            milliwatts: None,
        }
    }

    /// Mean power since the last look, in milliwatts; `None` at the first one.
    ///
    /// # Errors
    /// There are no zones, or they may not be read: since 2020 only root may.
    pub fn read(&mut self, now: Instant) -> io::Result<Option<u32>> {
        let counters = self.counters()?;
        let Some((at, before)) = &self.last else {
            self.last = Some((now, counters));
            return Ok(None);
        };
        let millis = now.saturating_duration_since(*at).as_millis();
        if millis < SHORTEST_MILLIS {
            return Ok(self.milliwatts);
        }
        let mut spent: u128 = 0;
        let same = before.len() == counters.len() && before.iter().zip(&counters).all(|(b, c)| b.0 == c.0);
        for ((zone, earlier), (_, later)) in before.iter().zip(&counters) {
            let joules = if later >= earlier {
                later - earlier
            } else {
                // It has wrapped, once: a zone's range lasts for minutes.
                zone.range.saturating_sub(*earlier).saturating_add(*later)
            };
            spent += u128::from(joules);
        }
        // A processor that came or went in between: measured anew.
        self.milliwatts = same.then(|| u32::try_from(spent / millis).unwrap_or(u32::MAX));
        self.last = Some((now, counters));
        Ok(self.milliwatts)
    }

    fn counters(&self) -> io::Result<Vec<(Zone, u64)>> {
        let mut platform = Vec::new();
        let mut parts = Vec::new();
        let entries = fs::read_dir(&self.class)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", self.class.display())))?;
        for entry in entries.take(MAX_RAPL_ZONES) {
            let folder = entry?.path();
            let zone = folder
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            // The same counters by another way would count twice.
            if !zone.starts_with("intel-rapl:") {
                continue;
            }
            match text(&folder.join("name"))?.as_str() {
                "psys" => platform.push(folder),
                name if name.starts_with("package-") || name == "dram" => parts.push(folder),
                // Cores and graphics are in their package.
                _ => {}
            }
        }
        let mut folders = if platform.is_empty() { parts } else { platform };
        if folders.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "there are no RAPL zones"));
        }
        folders.sort();
        folders
            .into_iter()
            .map(|folder| {
                let energy = number(&folder.join("energy_uj"))?;
                let range = number(&folder.join("max_energy_range_uj"))?;
                Ok((Zone { folder, range }, energy))
            })
            .collect()
    }
}

fn text(path: &Path) -> io::Result<String> {
    fs::read_to_string(path)
        .map(|text| text.trim().to_owned())
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

fn number(path: &Path) -> io::Result<u64> {
    let text = text(path)?;
    text.parse().map_err(|_| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{}: {text:?} is no number", path.display()),
        )
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use tempfile::TempDir;

    use super::*;

    /// Two packages, one with memory; a core that is in its package; the same counters by another way.
    fn tree() -> TempDir {
        let tree = tempfile::tempdir().unwrap();
        for (zone, name) in [
            ("intel-rapl:0", "package-0"),
            ("intel-rapl:0:0", "core"),
            ("intel-rapl:0:1", "dram"),
            ("intel-rapl:1", "package-1"),
            ("intel-rapl-mmio:0", "package-0"),
        ] {
            fs::create_dir(tree.path().join(zone)).unwrap();
            set(&tree, zone, "name", name);
            set(&tree, zone, "max_energy_range_uj", "1000000000");
            set(&tree, zone, "energy_uj", "999000000");
        }
        tree
    }

    fn set(tree: &TempDir, zone: &str, file: &str, value: &str) {
        fs::write(tree.path().join(zone).join(file), format!("{value}\n")).unwrap();
    }

    #[test]
    fn packages_and_memory_are_added_up_over_the_interval_and_over_a_wrap() {
        let tree = tree();
        let mut meter = RaplMeter::new(tree.path());
        let start = Instant::now();
        assert_eq!(meter.read(start).unwrap(), None, "no interval yet");
        for zone in ["intel-rapl:0", "intel-rapl:0:0", "intel-rapl-mmio:0"] {
            // 999 J, then 1 J past the wrap at 1000 J: 2 J.
            set(&tree, zone, "energy_uj", "1000000");
        }
        set(&tree, "intel-rapl:0:1", "energy_uj", "999500000");
        // 2 J and 0.5 J in 100 ms are 25 W.
        let now = start + Duration::from_millis(100);
        assert_eq!(meter.read(now).unwrap(), Some(25_000));
        assert_eq!(
            meter.read(now + Duration::from_millis(1)).unwrap(),
            Some(25_000),
            "too soon"
        );
        assert_eq!(meter.read(now + Duration::from_secs(1)).unwrap(), Some(0));
    }

    #[test]
    fn the_platform_counts_alone_where_it_is_counted() {
        let tree = tree();
        fs::create_dir(tree.path().join("intel-rapl:2")).unwrap();
        set(&tree, "intel-rapl:2", "name", "psys");
        set(&tree, "intel-rapl:2", "max_energy_range_uj", "1000000000");
        set(&tree, "intel-rapl:2", "energy_uj", "0");
        let mut meter = RaplMeter::new(tree.path());
        let start = Instant::now();
        meter.read(start).unwrap();
        set(&tree, "intel-rapl:2", "energy_uj", "90000000");
        set(&tree, "intel-rapl:0", "energy_uj", "999900000");
        assert_eq!(meter.read(start + Duration::from_secs(1)).unwrap(), Some(90_000));
    }

    #[test]
    fn a_zone_that_comes_or_goes_is_measured_anew_and_none_is_an_error() {
        let tree = tree();
        let mut meter = RaplMeter::new(tree.path());
        let start = Instant::now();
        meter.read(start).unwrap();
        fs::remove_dir_all(tree.path().join("intel-rapl:1")).unwrap();
        assert_eq!(meter.read(start + Duration::from_secs(1)).unwrap(), None);
        assert_eq!(meter.read(start + Duration::from_secs(2)).unwrap(), Some(0));
        set(&tree, "intel-rapl:0", "energy_uj", "many");
        let error = meter
            .read(start + Duration::from_secs(3))
            .unwrap_err()
            .to_string();
        assert!(
            error.ends_with("intel-rapl:0/energy_uj: \"many\" is no number"),
            "{error}"
        );
        let empty = tempfile::tempdir().unwrap();
        let error = RaplMeter::new(empty.path()).read(start).unwrap_err();
        assert_eq!(error.to_string(), "there are no RAPL zones");
    }
}
