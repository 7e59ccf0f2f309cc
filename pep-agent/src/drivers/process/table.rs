//! What runs, read from /proc (proc(5)).

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::limits::{MAX_PROC_FILE_OCTETS, MAX_PROCESSES};

/// A scan younger than this serves another activity that asks.
const SCAN_AGE: Duration = Duration::from_millis(20);

/// Flag of a kernel thread in /proc/PID/stat (include/linux/sched.h, PF_KTHREAD).
const PF_KTHREAD: u64 = 0x0020_0000;

/// One process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// Its parent's number.
    pub parent: i32,
    /// When it was started, in clock ticks since boot: with the number it names a process for good.
    pub started: u64,
    /// Name of its executable as the kernel keeps it, at most 15 octets.
    pub comm: String,
    /// Its command line, arguments joined by blanks.
    pub cmdline: String,
    /// Path of its executable; empty where it may not be read.
    pub exe: String,
    /// Name of the user it runs as, or the number where it has no name.
    pub user: String,
    /// Its control groups, one path a hierarchy.
    pub cgroups: Vec<String>,
    /// It is a thread of the kernel.
    pub is_kernel: bool,
}

/// What a process has used so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// When it was started, in clock ticks since boot.
    pub started: u64,
    /// Time on processors, in clock ticks.
    pub cpu_ticks: u64,
    /// Memory that it holds, in pages.
    pub resident_pages: u64,
}

/// The process table. Shared by all activities; a scan is used by all who ask at the same time.
#[derive(Debug)]
pub struct ProcessTable {
    root: PathBuf,
    passwd: PathBuf,
    last: RefCell<Option<(Instant, std::rc::Rc<[Process]>)>>,
}

impl ProcessTable {
    /// A table that reads below `root`, with user names from `passwd`.
    pub fn new(root: impl Into<PathBuf>, passwd: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            passwd: passwd.into(),
            last: RefCell::new(None),
        }
    }

    /// The machine's own.
    pub fn of_this_machine() -> Self {
        Self::new("/proc", "/etc/passwd")
    }

    /// Whether numbers in this table are processes of this machine. In a made-up tree they are not, and nothing may be
    /// signalled by them.
    pub fn is_live(&self) -> bool {
        self.root == Path::new("/proc")
    }

    /// All processes, zombies left out: they have ended, whoever has yet to wait for them.
    ///
    /// # Errors
    /// The folder cannot be read. A process that ends while it is read is no error.
    pub fn scan(&self) -> io::Result<std::rc::Rc<[Process]>> {
        if let Some((at, processes)) = &*self.last.borrow()
            && at.elapsed() < SCAN_AGE
        {
            return Ok(std::rc::Rc::clone(processes));
        }
        let users = self.users();
        let mut processes = Vec::new();
        for entry in fs::read_dir(&self.root)?.take(MAX_PROCESSES) {
            let Some(pid) = entry?
                .file_name()
                .to_str()
                .and_then(|name| name.parse::<i32>().ok())
            else {
                continue;
            };
            processes.extend(self.process(pid, &users));
        }
        processes.sort_by_key(|process| process.pid);
        let processes: std::rc::Rc<[Process]> = processes.into();
        *self.last.borrow_mut() = Some((Instant::now(), std::rc::Rc::clone(&processes)));
        Ok(processes)
    }

    /// Forgets the last scan: what follows an action must be seen anew.
    pub fn forget(&self) {
        *self.last.borrow_mut() = None;
    }

    /// What a process has used so far; `None` if there is none of this number.
    pub fn usage(&self, pid: i32) -> Option<Usage> {
        let stat = parse_stat(&self.text(pid, "stat").ok()?)?;
        // Second number of statm: resident pages.
        let statm = self.text(pid, "statm").ok()?;
        let resident_pages = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
        Some(Usage {
            started: stat.started,
            cpu_ticks: stat.cpu_ticks,
            resident_pages,
        })
    }

    /// When a process was started, in clock ticks since boot; `None` if there is none of this number.
    pub fn started(&self, pid: i32) -> Option<u64> {
        let stat = self.text(pid, "stat").ok()?;
        parse_stat(&stat)
            .filter(|stat| !stat.is_dead)
            .map(|stat| stat.started)
    }

    fn process(&self, pid: i32, users: &BTreeMap<u32, String>) -> Option<Process> {
        let stat = parse_stat(&self.text(pid, "stat").ok()?)?;
        if stat.is_dead {
            return None;
        }
        let cmdline = self.text(pid, "cmdline").unwrap_or_default();
        let arguments: Vec<&str> = cmdline
            .split('\0')
            .filter(|argument| !argument.is_empty())
            .collect();
        let exe = fs::read_link(self.folder(pid).join("exe"))
            .map(|path| path.to_string_lossy().into_owned())
            .unwrap_or_default();
        let uid = self.text(pid, "status").ok().as_deref().and_then(parse_uid);
        let user = match uid {
            Some(uid) => users.get(&uid).cloned().unwrap_or_else(|| uid.to_string()),
            None => String::new(),
        };
        let cgroups = self
            .text(pid, "cgroup")
            .unwrap_or_default()
            .lines()
            // "hierarchy:controllers:path" (cgroups(7)).
            .filter_map(|line| line.splitn(3, ':').nth(2))
            .map(str::to_owned)
            .collect();
        Some(Process {
            pid,
            parent: stat.parent,
            started: stat.started,
            comm: stat.comm,
            cmdline: arguments.join(" "),
            // A program that was replaced on disk still is the program that was matched.
            exe: exe.trim_end_matches(" (deleted)").to_owned(),
            user,
            cgroups,
            is_kernel: stat.flags & PF_KTHREAD != 0,
        })
    }

    fn folder(&self, pid: i32) -> PathBuf {
        self.root.join(pid.to_string())
    }

    /// The beginning of a file of a process, as text.
    fn text(&self, pid: i32, file: &str) -> io::Result<String> {
        let mut octets = Vec::new();
        fs::File::open(self.folder(pid).join(file))?
            .take(MAX_PROC_FILE_OCTETS)
            .read_to_end(&mut octets)?;
        Ok(String::from_utf8_lossy(&octets).into_owned())
    }

    fn users(&self) -> BTreeMap<u32, String> {
        let text = fs::read_to_string(&self.passwd).unwrap_or_default();
        let mut users = BTreeMap::new();
        for line in text.lines() {
            let mut fields = line.split(':');
            if let (Some(name), Some(uid)) = (fields.next(), fields.nth(1).and_then(|uid| uid.parse().ok())) {
                users.entry(uid).or_insert_with(|| name.to_owned());
            }
        }
        users
    }
}

struct Stat {
    comm: String,
    parent: i32,
    started: u64,
    cpu_ticks: u64,
    flags: u64,
    is_dead: bool,
}

/// Reads /proc/PID/stat. The name stands in brackets and may hold brackets and blanks itself, so its end is the last
/// bracket of the line.
fn parse_stat(text: &str) -> Option<Stat> {
    let open = text.find('(')?;
    let close = text.rfind(')')?;
    let comm = text.get(open + 1..close)?.to_owned();
    let mut fields = text.get(close + 1..)?.split_ascii_whitespace();
    // Counted as proc(5) does: 3 is the state, 4 the parent, 9 the flags, 22 the start time.
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let flags = fields.nth(4)?.parse().ok()?;
    // 14 and 15 are its time in user and kernel mode.
    let user: u64 = fields.nth(4)?.parse().ok()?;
    let kernel: u64 = fields.next()?.parse().ok()?;
    let started = fields.nth(6)?.parse().ok()?;
    Some(Stat {
        comm,
        parent,
        started,
        cpu_ticks: user.saturating_add(kernel),
        flags,
        is_dead: matches!(state, "Z" | "X" | "x"),
    })
}

/// The effective user: second number of the line "Uid:" (proc(5)).
fn parse_uid(status: &str) -> Option<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_ascii_whitespace().nth(1)?.parse().ok()
}
