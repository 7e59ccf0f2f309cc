//! One control group, wherever its files are.
//!
//! On a machine with version 2 alone all of them are in one folder. With version 1 each controller has a hierarchy of its
//! own below the root, and version 2 may stand beside them (`unified`), usually without controllers: so each file is looked
//! for in version 2 first, and then in the hierarchy of version 1 that has it.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::limits::{MAX_CGROUP_FILE_OCTETS, MAX_CGROUPS};

/// Where control groups are found where nobody says otherwise.
pub const CGROUP_ROOT: &str = "/sys/fs/cgroup";
/// Hierarchies of version 1 whose files are looked at.
const CONTROLLERS: [&str; 6] = ["freezer", "cpu,cpuacct", "cpuacct", "memory", "pids", "systemd"];
/// What names of containers' groups begin with, before the container's own: runtimes under systemd.
const RUNTIMES: [&str; 5] = ["docker-", "libpod-", "cri-containerd-", "crio-", "nerdctl-"];

/// The folder of all control groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CgroupRoot(PathBuf);

/// A control group of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroup {
    root: CgroupRoot,
    /// Below each hierarchy, without a slash in front.
    path: PathBuf,
}

/// How a group stands with its freezer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freezer {
    /// It runs.
    Thawed,
    /// It is on its way.
    Freezing,
    /// None of its processes runs.
    Frozen,
}

impl CgroupRoot {
    /// The machine's own, or a made-up one.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }

    /// The hierarchy of version 2, if there is one.
    fn unified(&self) -> Option<PathBuf> {
        let is_unified = |folder: &Path| folder.join("cgroup.controllers").is_file();
        let beside = self.0.join("unified");
        if is_unified(&self.0) {
            Some(self.0.clone())
        } else {
            is_unified(&beside).then_some(beside)
        }
    }

    /// The hierarchies there are, version 2 first.
    fn hierarchies(&self) -> Vec<PathBuf> {
        let first = CONTROLLERS.iter().map(|controller| self.0.join(controller));
        self.unified()
            .into_iter()
            .chain(first.filter(|folder| folder.is_dir()))
            .collect()
    }

    /// A group by its path, as `/proc/PID/cgroup` has it.
    pub fn group(&self, path: &str) -> Cgroup {
        Cgroup {
            root: self.clone(),
            path: path.trim_matches('/').into(),
        }
    }

    /// The group of a container, by the beginning of its identifier; `None`: it does not run here.
    ///
    /// # Errors
    /// More than one begins so, or there are too many groups to look at.
    pub fn container(&self, id: &str) -> io::Result<Option<Cgroup>> {
        let mut found = BTreeSet::new();
        for hierarchy in self.hierarchies() {
            let mut left = MAX_CGROUPS;
            walk(&hierarchy, &mut left, &mut |folder| {
                let name = folder
                    .file_name()
                    .and_then(|name| name.to_str())
                    .unwrap_or_default();
                let name = name.strip_suffix(".scope").unwrap_or(name);
                let own = RUNTIMES
                    .iter()
                    .find_map(|runtime| name.strip_prefix(runtime))
                    .unwrap_or(name);
                let is_identifier = own.len() == 64 && own.bytes().all(|octet| octet.is_ascii_hexdigit());
                if is_identifier && own.starts_with(id) {
                    found.extend(folder.strip_prefix(&hierarchy).map(Path::to_owned));
                }
            })?;
        }
        let mut found = found.into_iter();
        match (found.next(), found.next()) {
            (Some(path), None) => Ok(Some(Cgroup {
                root: self.clone(),
                path,
            })),
            (None, _) => Ok(None),
            (Some(first), Some(second)) => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "more than one container begins with {id}: {}, {}",
                    first.display(),
                    second.display()
                ),
            )),
        }
    }
}

/// Visits every folder below one.
fn walk(folder: &Path, left: &mut usize, visit: &mut dyn FnMut(&Path)) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        // It went while it was looked at.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(named(folder, &error)),
    };
    for entry in entries {
        let entry = entry?;
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        *left = left.checked_sub(1).ok_or_else(|| {
            io::Error::other(format!(
                "more than {MAX_CGROUPS} control groups below {}",
                folder.display()
            ))
        })?;
        visit(&entry.path());
        walk(&entry.path(), left, visit)?;
    }
    Ok(())
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn text(path: &Path) -> io::Result<String> {
    use std::io::Read;
    let mut text = String::new();
    fs::File::open(path)
        .and_then(|file| file.take(MAX_CGROUP_FILE_OCTETS).read_to_string(&mut text))
        .map_err(|error| named(path, &error))?;
    Ok(text)
}

/// The number after a word, in a file of such pairs.
fn number_after(text: &str, word: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix(word)?.strip_prefix(' ')?.trim().parse().ok())
}

impl Cgroup {
    /// Its folders, version 2 first.
    fn folders(&self) -> Vec<PathBuf> {
        let all = self.root.hierarchies().into_iter();
        all.map(|hierarchy| hierarchy.join(&self.path))
            .filter(|folder| folder.is_dir())
            .collect()
    }

    /// The first of its folders that has a file, as that file.
    fn file(&self, name: &str) -> Option<PathBuf> {
        let files = self.folders().into_iter().map(|folder| folder.join(name));
        files.into_iter().find(|file| file.is_file())
    }

    /// Whether it is there at all.
    pub fn exists(&self) -> bool {
        !self.folders().is_empty()
    }

    /// How messages name it.
    pub fn label(&self) -> String {
        format!("control group /{}", self.path.display())
    }

    /// Its processes, and those of the groups below it.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn processes(&self) -> io::Result<BTreeSet<i32>> {
        let mut processes = BTreeSet::new();
        for folder in self.folders() {
            let mut groups = vec![folder.clone()];
            let mut left = MAX_CGROUPS;
            walk(&folder, &mut left, &mut |below| groups.push(below.to_owned()))?;
            for group in groups {
                match text(&group.join("cgroup.procs")) {
                    Ok(text) => processes.extend(text.lines().filter_map(|line| line.parse::<i32>().ok())),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(processes)
    }

    /// The file that freezes it, and the words for frozen and thawed.
    fn freezer_file(&self) -> io::Result<(PathBuf, &'static str, &'static str)> {
        let second = self.file("cgroup.freeze").map(|file| (file, "1", "0"));
        let first = || self.file("freezer.state").map(|file| (file, "FROZEN", "THAWED"));
        second.or_else(first).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotFound,
                format!("{} has no freezer in any hierarchy", self.label()),
            )
        })
    }

    /// Has it freeze, or thaw. That it has done so is read from [`freezer`](Self::freezer).
    ///
    /// # Errors
    /// It has no freezer, or this user may not use it.
    pub fn freeze(&self, frozen: bool) -> io::Result<()> {
        let (file, freeze, thaw) = self.freezer_file()?;
        fs::write(&file, if frozen { freeze } else { thaw }).map_err(|error| named(&file, &error))
    }

    /// How it stands with its freezer; `None`: it has none.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn freezer(&self) -> io::Result<Option<Freezer>> {
        let Ok((file, ..)) = self.freezer_file() else {
            return Ok(None);
        };
        let word = text(&file)?;
        let is_second = file.ends_with("cgroup.freeze");
        Ok(Some(match word.trim() {
            "0" if is_second => Freezer::Thawed,
            // Asked for; whether it is so stands in another file.
            "1" if is_second => {
                let events = text(&file.with_file_name("cgroup.events"))?;
                if number_after(&events, "frozen") == Some(1) {
                    Freezer::Frozen
                } else {
                    Freezer::Freezing
                }
            }
            "THAWED" => Freezer::Thawed,
            "FREEZING" => Freezer::Freezing,
            "FROZEN" => Freezer::Frozen,
            other => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("{}: {other:?} is no state of a freezer", file.display()),
                ));
            }
        }))
    }

    /// Whether this user may freeze it: what is wrong, if not.
    pub fn freezer_problem(&self) -> Option<String> {
        use rustix::fs::{Access, access};
        match self.freezer_file() {
            Err(error) => Some(error.to_string()),
            Ok((file, ..)) if access(&file, Access::WRITE_OK).is_err() => {
                Some(format!("{} may not be written by this user", file.display()))
            }
            Ok(_) => None,
        }
    }

    /// Processor time that it has used, in microseconds.
    pub fn cpu_micros(&self) -> Option<u64> {
        let second = || number_after(&text(&self.file("cpu.stat")?).ok()?, "usage_usec");
        let first = || {
            let nanos: u64 = text(&self.file("cpuacct.usage")?).ok()?.trim().parse().ok()?;
            Some(nanos / 1_000)
        };
        second().or_else(first)
    }

    /// Memory that it uses, in octets.
    pub fn memory_octets(&self) -> Option<u64> {
        let of = |name: &str| text(&self.file(name)?).ok()?.trim().parse().ok();
        of("memory.current").or_else(|| of("memory.usage_in_bytes"))
    }
}
