//! A real `upsd` with `dummy-ups` behind it (Debian's nut-server), in a folder of its own; with TLS where it is asked for.

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

/// Protects the database of upsd's certificate.
const DATABASE_PASSWORD: &str = "not-a-secret-12";

/// UPSes behind one `upsd`; everything ends and is removed when dropped.
#[derive(Debug)]
pub struct Nut {
    // Fields drop in order: the programs before their folder.
    daemon: Option<Program>,
    drivers: Vec<(String, Program)>,
    folder: TempDir,
    tls: bool,
    address: SocketAddr,
}

impl Nut {
    /// Starts both programs with these variables ("ups.status", "OL") and waits until `upsd` answers with them.
    pub fn start(ups: &str, variables: &[(&str, &str)]) -> Result<Self> {
        Self::start_all(&[(ups, variables)], false)
    }

    /// Starts an `upsd` with several UPSes. With `tls` it has a certificate of its own, for 127.0.0.1.
    pub fn start_all(upses: &[(&str, &[(&str, &str)])], tls: bool) -> Result<Self> {
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
        let mut devices = format!("maxretry = 1\npollinterval = 1\nuser = {}\n", user_name());
        for (ups, variables) in upses {
            let file = device_file(&folder, ups);
            devices.push_str(&format!(
                "[{ups}]\n  driver = dummy-ups\n  port = {}\n  mode = dummy-once\n",
                file.display()
            ));
            write_variables(&file, variables)?;
        }
        fs::write(etc.join("ups.conf"), devices)?;
        let users = format!("[{USER}]\n  password = {PASSWORD}\n  actions = SET\n  instcmds = ALL\n");
        fs::write(etc.join("upsd.users"), users)?;
        if tls {
            write_certificate(&folder)?;
        }
        let mut nut = Self {
            daemon: None,
            drivers: Vec::new(),
            folder,
            tls,
            address: (Ipv4Addr::LOCALHOST, 0).into(),
        };
        for (ups, _) in upses {
            nut.start_driver(ups)?;
        }
        nut.start_daemon()?;
        Ok(nut)
    }

    /// Starts a UPS's driver (again).
    pub fn start_driver(&mut self, ups: &str) -> Result<()> {
        let mut command = Command::new(DRIVER);
        command.args(["-a", ups, "-F"]);
        let log = self.folder.path().join(format!("{ups}.log"));
        let mut driver = Program::start("dummy-ups", nut_folders(&mut command, &self.folder), &log)?;
        let socket = self.folder.path().join(format!("run/dummy-ups-{ups}"));
        driver.wait_until("the driver's socket", READY_WITHIN, || socket.exists())?;
        self.drivers.push((ups.to_owned(), driver));
        Ok(())
    }

    /// Kills a UPS's driver, so that `upsd` has nothing fresh of it.
    pub fn kill_driver(&mut self, ups: &str) -> Result<()> {
        for (_, driver) in self.drivers.iter_mut().filter(|(name, _)| name == ups) {
            driver.kill()?;
        }
        self.drivers.retain(|(name, _)| name != ups);
        Ok(())
    }

    /// Where the certificate is, if there is one.
    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
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
            let mut conf = format!(
                "LISTEN 127.0.0.1 {}\nMAXAGE 15\nSTATEPATH {}\n",
                self.address.port(),
                run.display()
            );
            if self.tls {
                let database = self.folder.path().join("database");
                conf.push_str(&format!(
                    "CERTPATH {}\nCERTIDENT upsd {DATABASE_PASSWORD}\n",
                    database.display()
                ));
            }
            fs::write(self.folder.path().join("etc/upsd.conf"), conf)?;
            let mut command = Command::new(DAEMON);
            // Started as root it would become a user who cannot read this folder.
            command.args(["-F", "-u", &user_name()]);
            let log = self.folder.path().join("upsd.log");
            let mut daemon = Program::start("upsd", nut_folders(&mut command, &self.folder), &log)?;
            let address = self.address;
            let answers = || {
                self.drivers.iter().all(|(ups, _)| {
                    query(ups, address, "ups.status").is_some_and(|status| !status.contains("WAIT"))
                })
            };
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

    /// Sets all variables of the first UPS anew; the driver reads them at its next poll.
    pub fn set(&self, variables: &[(&str, &str)]) -> Result<()> {
        self.set_of(self.first(), variables)
    }

    /// As [`set`](Self::set), of any UPS.
    pub fn set_of(&self, ups: &str, variables: &[(&str, &str)]) -> Result<()> {
        // The driver may read at any moment, so the file is replaced whole.
        let file = device_file(&self.folder, ups);
        let new = file.with_extension("new");
        write_variables(&new, variables)?;
        fs::rename(&new, file)?;
        Ok(())
    }

    /// What `upsd` says of a variable of the first UPS now.
    pub fn get(&self, variable: &str) -> Option<String> {
        query(self.first(), self.address, variable)
    }

    fn first(&self) -> &str {
        self.drivers.first().map_or("", |(ups, _)| ups)
    }

    /// The end of the first driver's log, for messages.
    pub fn last_lines(&self) -> String {
        self.drivers
            .first()
            .map_or_else(String::new, |(_, driver)| driver.last_lines())
    }
}

fn device_file(folder: &TempDir, ups: &str) -> PathBuf {
    folder.path().join(format!("etc/{ups}.dev"))
}

/// A certificate for 127.0.0.1, in a file and in a database as upsd wants it (Debian builds it with NSS).
fn write_certificate(folder: &TempDir) -> Result<()> {
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program)
            .args(arguments)
            .current_dir(folder.path())
            .output()
            .with_context(|| format!("running {program}"))?;
        ensure!(output.status.success(), "{program} {arguments:?}: {output:?}");
        Ok(())
    };
    fs::write(folder.path().join("password"), DATABASE_PASSWORD)?;
    let database = folder.path().join("database");
    fs::create_dir(&database)?;
    fs::set_permissions(&database, fs::Permissions::from_mode(0o700))?;
    let subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"];
    let request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"];
    let files = ["-keyout", "key.pem", "-out", "cert.pem"];
    let leaf = ["-addext", "basicConstraints=critical,CA:FALSE"];
    run("openssl", &[&request[..], &files, &subject, &leaf].concat())?;
    let bundle = [
        "pkcs12", "-export", "-in", "cert.pem", "-inkey", "key.pem", "-name", "upsd",
    ];
    run(
        "openssl",
        &[&bundle[..], &["-passout", "file:password", "-out", "cert.p12"]].concat(),
    )?;
    run("certutil", &["-N", "-d", "database", "-f", "password"])?;
    run(
        "pk12util",
        &[
            "-i", "cert.p12", "-d", "database", "-w", "password", "-k", "password",
        ],
    )
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
