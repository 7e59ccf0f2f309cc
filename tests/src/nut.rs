//! A real `upsd` with `dummy-ups` behind it (Debian's nut-server), in a folder of its own.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::process::Program;

const DRIVER: &str = "/lib/nut/dummy-ups";
/// Not `/sbin/upsd`, which is a wrapper that refuses to start without a MODE in the system's own file.
const DAEMON: &str = "/lib/nut/upsd";
/// Who may switch at each of these.
pub const USER: &str = "pep";
/// That user's password.
pub const PASSWORD: &str = "not-a-secret";
const READY_WITHIN: Duration = Duration::from_secs(20);
/// How often another free port is tried where somebody else took it first.
const PORT_TRIES: usize = 5;

/// One UPS behind one `upsd`; everything ends and is removed when dropped.
#[derive(Debug)]
pub struct Nut {
    // Fields drop in order: the programs before their folder.
    daemon: Option<Program>,
    driver: Program,
    folder: TempDir,
    ups: String,
    address: SocketAddr,
}

impl Nut {
    /// Starts both programs with these variables ("ups.status", "OL") and waits until `upsd` answers with them.
    pub fn start(ups: &str, variables: &[(&str, &str)]) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("nut-")
            .tempdir()
            .context("folder for NUT")?;
        let etc = folder.path().join("etc");
        let run = folder.path().join("run");
        fs::create_dir_all(&etc)?;
        fs::create_dir_all(&run)?;
        // upsd refuses a state folder that others can write to.
        fs::set_permissions(&run, fs::Permissions::from_mode(0o700))?;
        let user = user_name();
        fs::write(
            etc.join("ups.conf"),
            format!(
                "maxretry = 1\npollinterval = 1\nuser = {user}\n[{ups}]\n  driver = dummy-ups\n  port = {}\n  mode = \
                 dummy-once\n",
                etc.join("ups.dev").display()
            ),
        )?;
        let users = format!("[{USER}]\n  password = {PASSWORD}\n  actions = SET\n  instcmds = ALL\n");
        fs::write(etc.join("upsd.users"), users)?;
        write_variables(&etc.join("ups.dev"), variables)?;
        let mut command = Command::new(DRIVER);
        command.args(["-a", ups, "-F"]);
        let mut driver = Program::start(
            "dummy-ups",
            nut_folders(&mut command, &folder),
            &folder.path().join("driver.log"),
        )?;
        let socket = run.join(format!("dummy-ups-{ups}"));
        driver.wait_until("the driver's socket", READY_WITHIN, || socket.exists())?;
        let mut nut = Self {
            daemon: None,
            driver,
            folder,
            ups: ups.to_owned(),
            address: (Ipv4Addr::LOCALHOST, 0).into(),
        };
        nut.start_daemon()?;
        Ok(nut)
    }

    /// Starts `upsd` (again). The first time the system chooses the port; later it is the same.
    pub fn start_daemon(&mut self) -> Result<()> {
        let mut last = None;
        for _ in 0..PORT_TRIES {
            if self.address.port() == 0 || last.is_some() {
                // upsd cannot say which port it got, so it is told one that was free a moment ago.
                self.address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
            }
            let run = self.folder.path().join("run");
            fs::write(
                self.folder.path().join("etc/upsd.conf"),
                format!(
                    "LISTEN 127.0.0.1 {}\nMAXAGE 15\nSTATEPATH {}\n",
                    self.address.port(),
                    run.display()
                ),
            )?;
            let mut command = Command::new(DAEMON);
            // Started as root it would become a user who cannot read this folder.
            command.args(["-F", "-u", &user_name()]);
            let log = self.folder.path().join("upsd.log");
            let mut daemon = Program::start("upsd", nut_folders(&mut command, &self.folder), &log)?;
            let (ups, address) = (self.ups.clone(), self.address);
            let answers =
                || query(&ups, address, "ups.status").is_some_and(|status| !status.contains("WAIT"));
            match daemon.wait_until("upsd answers", READY_WITHIN, answers) {
                Ok(()) => {
                    self.daemon = Some(daemon);
                    return Ok(());
                }
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| anyhow::anyhow!("upsd was never tried")))
    }

    /// Kills `upsd`, so that its clients lose it.
    pub fn kill_daemon(&mut self) -> Result<()> {
        match self.daemon.take() {
            Some(mut daemon) => daemon.kill(),
            None => Ok(()),
        }
    }

    /// Where `upsd` listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets all variables of the UPS anew; the driver reads them at its next poll.
    pub fn set(&self, variables: &[(&str, &str)]) -> Result<()> {
        // The driver may read at any moment, so the file is replaced whole.
        let etc = self.folder.path().join("etc");
        let new = etc.join("ups.dev.new");
        write_variables(&new, variables)?;
        fs::rename(&new, etc.join("ups.dev"))?;
        Ok(())
    }

    /// What `upsd` says of a variable now.
    pub fn get(&self, variable: &str) -> Option<String> {
        query(&self.ups, self.address, variable)
    }

    /// The end of the driver's log, for messages.
    pub fn last_lines(&self) -> String {
        self.driver.last_lines()
    }
}

fn write_variables(file: &PathBuf, variables: &[(&str, &str)]) -> Result<()> {
    ensure!(!variables.is_empty(), "a UPS without variables says nothing");
    let text: String = variables
        .iter()
        .map(|(name, value)| format!("{name}: {value}\n"))
        .collect();
    fs::write(file, text).with_context(|| format!("writing {}", file.display()))
}

fn nut_folders<'a>(command: &'a mut Command, folder: &TempDir) -> &'a mut Command {
    let run = folder.path().join("run");
    command
        .env("NUT_CONFPATH", folder.path().join("etc"))
        .env("NUT_STATEPATH", &run)
        .env("NUT_ALTPIDPATH", &run)
        .env("NUT_PIDPATH", &run)
}

/// Asks with NUT's own client, so that what our agent reads is held against somebody else's reading.
fn query(ups: &str, address: SocketAddr, variable: &str) -> Option<String> {
    let output = Command::new("upsc")
        .args([&format!("{ups}@{address}"), variable])
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn user_name() -> String {
    let output = Command::new("id").arg("-un").output();
    output
        .map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned())
        .unwrap_or_else(|_| "root".to_owned())
}
