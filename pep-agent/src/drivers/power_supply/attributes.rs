//! The files of a power supply: one value a file.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use power_policy::model::Mains;

use crate::limits::{MAX_POWER_SUPPLIES, MAX_SYSFS_FILE_OCTETS};

/// What is read of a battery. Files that a driver does not offer are left out.
const BATTERY: [&str; 15] = [
    "type",
    "present",
    "status",
    "health",
    "capacity",
    "capacity_level",
    "energy_now",
    "energy_full",
    "charge_now",
    "charge_full",
    "voltage_min_design",
    "voltage_now",
    "power_now",
    "current_now",
    "time_to_empty_now",
];

/// A battery and its adapters, as files below one folder.
#[derive(Debug, Clone)]
pub struct Supplies {
    class: PathBuf,
    device: String,
    adapter: Option<String>,
}

/// What one look at the files gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuppliesRead {
    /// Values of the battery by file name, without the white space at their ends.
    pub battery: BTreeMap<String, String>,
    /// What the adapters say of mains.
    pub adapters: Mains,
}

/// Why there is no reading.
#[derive(Debug, thiserror::Error)]
pub enum SuppliesError {
    /// A file or folder cannot be read.
    #[error("cannot read {path}: {error}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The device is something else.
    #[error("is of type {found:?}, expected Battery or UPS")]
    NotABattery {
        /// What its `type` says.
        found: String,
    },
    /// It was taken out.
    #[error("the battery is not present")]
    TakenOut,
}

impl Supplies {
    /// See [`super::PowerSupplyReserve::new`].
    pub fn new(class: PathBuf, device: String, adapter: Option<String>) -> Self {
        Self {
            class,
            device,
            adapter,
        }
    }

    /// Name of the battery.
    pub fn device(&self) -> &str {
        &self.device
    }

    /// Reads the battery's files and its adapters.
    ///
    /// # Errors
    /// The device is gone, taken out, or no battery.
    pub fn read(&self) -> Result<SuppliesRead, SuppliesError> {
        let folder = self.class.join(&self.device);
        let mut battery = BTreeMap::new();
        for name in BATTERY {
            if let Some(value) = value(&folder.join(name))? {
                battery.insert(name.to_owned(), value);
            }
        }
        match battery.get("type").map(String::as_str) {
            Some("Battery" | "UPS") => {}
            Some(found) => {
                return Err(SuppliesError::NotABattery {
                    found: found.to_owned(),
                });
            }
            None => {
                return Err(SuppliesError::Unreadable {
                    path: folder.join("type"),
                    error: io::ErrorKind::NotFound.into(),
                });
            }
        }
        if battery.get("present").is_some_and(|present| present == "0") {
            return Err(SuppliesError::TakenOut);
        }
        Ok(SuppliesRead {
            battery,
            adapters: self.mains()?,
        })
    }

    /// What adapters say: one that is on line is mains; mains is absent if there are some and none is on line.
    fn mains(&self) -> Result<Mains, SuppliesError> {
        let adapters = match &self.adapter {
            Some(adapter) => vec![self.class.join(adapter)],
            None => self.adapters()?,
        };
        let mut online = Vec::new();
        for adapter in &adapters {
            match value(&adapter.join("online"))?.as_deref() {
                Some("0") => online.push(false),
                // 1: on line with a fixed voltage, 2: with a programmable one.
                Some("1" | "2") => online.push(true),
                _ => {}
            }
        }
        Ok(if online.contains(&true) {
            Mains::Present
        } else if online.is_empty() {
            Mains::Unknown
        } else {
            Mains::Absent
        })
    }

    /// Folders of all supplies that bring mains to the machine itself.
    fn adapters(&self) -> Result<Vec<PathBuf>, SuppliesError> {
        let unreadable = |error| SuppliesError::Unreadable {
            path: self.class.clone(),
            error,
        };
        let mut adapters = Vec::new();
        for entry in fs::read_dir(&self.class)
            .map_err(unreadable)?
            .take(MAX_POWER_SUPPLIES)
        {
            let folder = entry.map_err(unreadable)?.path();
            let kind = value(&folder.join("type"))?;
            // What charges a mouse says nothing of the machine.
            let is_ours = value(&folder.join("scope"))?.is_none_or(|scope| scope != "Device");
            if is_ours && matches!(kind.as_deref(), Some("Mains" | "USB")) {
                adapters.push(folder);
            }
        }
        Ok(adapters)
    }
}

/// A file's value; `None` where there is no such file, or its driver has no value for it just now.
fn value(path: &Path) -> Result<Option<String>, SuppliesError> {
    let mut text = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_SYSFS_FILE_OCTETS).read_to_end(&mut text));
    match read {
        Ok(_) => Ok(Some(String::from_utf8_lossy(&text).trim().to_owned())),
        Err(error) if has_no_value(&error) => Ok(None),
        Err(error) => Err(SuppliesError::Unreadable {
            path: path.to_owned(),
            error,
        }),
    }
}

/// A device that goes between two reads looks like one without the file. A driver answers ENODATA or ENODEV where its
/// firmware does not know the value.
fn has_no_value(error: &io::Error) -> bool {
    let errno = rustix::io::Errno::from_io_error(error);
    error.kind() == io::ErrorKind::NotFound
        || errno == Some(rustix::io::Errno::NODATA)
        || errno == Some(rustix::io::Errno::NODEV)
}
