//! Real work for an agent to manage: a script that writes down when it begins and when it is asked to end.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use pep_agent::drivers::process::ProcessTable;
use rustix::process::{Pid, Signal, kill_process};

use crate::process::Program;

/// One kind of work in a folder of the test. Whoever started its processes, they end when this is dropped.
#[derive(Debug)]
pub struct Work {
    name: String,
    script: PathBuf,
    record: PathBuf,
    /// The process that the test started itself: nobody else can wait for it.
    first: Option<Program>,
}

impl Work {
    /// Writes the script; nothing runs yet.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub fn new(folder: &Path, name: &str) -> Result<Self> {
        let script = folder.join(format!("{name}.sh"));
        let record = folder.join(format!("{name}.record"));
        let path = record.display();
        // A shell looks at a trap after the command that runs: the sleep is short, so that the answer is prompt.
        let text = format!(
            "trap 'echo $$ ended >> {path}; exit 0' TERM\necho $$ began >> {path}\nwhile :; do sleep 0.05; done\n"
        );
        fs::write(&script, text).with_context(|| format!("writing {}", script.display()))?;
        fs::write(&record, "").with_context(|| format!("writing {}", record.display()))?;
        Ok(Self {
            name: name.to_owned(),
            script,
            record,
            first: None,
        })
    }

    /// Starts it, as somebody would who knows nothing of agents.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(&mut self) -> Result<()> {
        let mut command = Command::new("/bin/sh");
        command.arg(&self.script);
        self.first = Some(Program::start(
            &self.name,
            &mut command,
            &self.script.with_extension("log"),
        )?);
        Ok(())
    }

    /// Name of the activity.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Path of its script, which its command line ends with.
    pub fn script(&self) -> &Path {
        &self.script
    }

    /// What it has written down, a line an entry: its process number, and `began` or `ended` (when SIGTERM came).
    pub fn record(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.record).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// The processes that have begun and have not ended, by their own record and by the process table.
    pub fn running(&self) -> Vec<i32> {
        let record = self.record();
        let mut pids = self.pids();
        pids.retain(|pid| {
            record.contains(&format!("{pid} began")) && !record.contains(&format!("{pid} ended"))
        });
        pids
    }

    fn pids(&self) -> Vec<i32> {
        let path = self.script.display().to_string();
        let processes = ProcessTable::of_this_machine().scan();
        processes
            .iter()
            .flat_map(|processes| processes.iter())
            .filter(|process| process.cmdline.ends_with(&path))
            .map(|process| process.pid)
            .collect()
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        for pid in self.pids().into_iter().filter_map(Pid::from_raw) {
            // One that has ended meanwhile is what is wanted.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}
