//! What the machine says: its clock, a process's time on the processors, its memory.

use std::fs;

use anyhow::{Context, Result};
use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of the monotonic clock, the same for all processes of the machine.
#[must_use]
pub fn now_nanos() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    let part = |part: i64| u64::try_from(part).unwrap_or(0);
    part(time.tv_sec) * 1_000_000_000 + part(time.tv_nsec)
}

/// Nanoseconds that all threads of a process have had of the processors, the kernel's part of it included.
///
/// # Errors
/// It is gone.
pub fn processor_nanos(pid: u32) -> Result<u64> {
    let mut sum = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task")).context("threads of the process")? {
        let file = thread.context("a thread")?.path().join("schedstat");
        // A thread may end while we look.
        let text = fs::read_to_string(file).unwrap_or_default();
        sum += text
            .split(' ')
            .next()
            .and_then(|nanos| nanos.parse::<u64>().ok())
            .unwrap_or(0);
    }
    Ok(sum)
}

/// Octets of a process that are resident: its own pages, not what the kernel keeps for its sockets.
///
/// # Errors
/// It is gone.
pub fn resident_octets(pid: u32) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).context("status of the process")?;
    let kibibytes: u64 = text
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.trim().strip_suffix(" kB")?.trim().parse().ok())
        .context("VmRSS of the process")?;
    Ok(kibibytes * 1024)
}

/// Average number of processes that wanted a processor in the last minute.
#[must_use]
pub fn load_average() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ')
        .next()
        .and_then(|load| load.parse().ok())
        .unwrap_or(0.0)
}

/// Lets this process have as many descriptors as it may; gives how many those are.
pub fn raise_descriptors() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Up to its own maximum nobody is refused.
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    );
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}
