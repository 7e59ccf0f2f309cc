//! A switched PDU: Debian's `snmpsimd` over a table of SQLite, in a folder of its own.
//!
//! The simulated agent reads and writes rows of the table; a trigger is the relay: what is set on an outlet's control
//! object shows in its state object. Without it the outlet is stuck. The table also tells what the agent does not say.
//!
//! Version 3 is spoken by net-snmp's `snmpd` with one writable object: what snmpsim encrypts with AES it fills up to whole
//! blocks, which RFC 3826 does not have, and which no strict reader takes.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::process::Program;

const AGENT: &str = "snmpsimd";
const READY_WITHIN: Duration = Duration::from_secs(30);
/// How often another free port is tried where somebody else took it first.
const PORT_TRIES: usize = 5;
/// The community of SNMPv2c.
pub const COMMUNITY: &str = "public";
/// The user of SNMPv3.
pub const USER: &str = "pep";
/// That user's password, for SHA-256.
pub const PASSWORD: &str = "not-a-secret";
/// That user's other password, for AES.
pub const PRIVACY_PASSWORD: &str = "not-a-secret-either";

/// An outlet, as its device's objects have it.
#[derive(Debug, Clone, Copy)]
pub struct Objects {
    /// The object that is set.
    pub control: &'static str,
    /// Its values for on and off.
    pub commands: (i32, i32),
    /// The object that is read.
    pub state: &'static str,
    /// Its values for on and off.
    pub states: (i32, i32),
}

/// A PDU; it ends and is removed when dropped.
#[derive(Debug)]
pub struct Pdu {
    // The program before its folder.
    program: Option<Program>,
    folder: TempDir,
    address: SocketAddr,
}

impl Pdu {
    /// Starts it with nothing in its table.
    pub fn start() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("pdu-").tempdir()?;
        let data = folder.path().join("data");
        fs::create_dir_all(&data)?;
        fs::create_dir_all(folder.path().join("cache"))?;
        fs::write(
            data.join(format!("{COMMUNITY}.snmprec")),
            "1.3.6.1|:sql|snmprec\n",
        )?;
        let mut pdu = Self {
            program: None,
            folder,
            address: (Ipv4Addr::LOCALHOST, 0).into(),
        };
        pdu.table()?.execute_batch(
            "CREATE TABLE snmprec (oid TEXT PRIMARY KEY, tag TEXT, value TEXT, maxaccess TEXT);",
        )?;
        pdu.power_on()?;
        Ok(pdu)
    }

    /// Starts its agent (again). The first time the system chooses the port; later it is the same.
    pub fn power_on(&mut self) -> Result<()> {
        let mut last = None;
        for _ in 0..PORT_TRIES {
            if self.address.port() == 0 || last.is_some() {
                // snmpsimd cannot say which port it got, so it is told one that was free a moment ago.
                self.address = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
            }
            let here = self.folder.path();
            let of = |name: &str| here.join(name).display().to_string();
            let mut command = Command::new(AGENT);
            command
                .arg(format!("--data-dir={}", of("data")))
                .arg(format!("--cache-dir={}", of("cache")))
                .arg(format!("--agent-udpv4-endpoint={}", self.address))
                .arg(format!(
                    "--variation-module-options=sql:dbtype:sqlite3,database:{}",
                    of("table")
                ));
            if rustix::process::geteuid().is_root() {
                // It does not stay root by itself.
                command.args(["--process-user=root", "--process-group=root"]);
            }
            let log = here.join("log");
            let mut program = Program::start(AGENT, &mut command, &log)?;
            let listens = || fs::read_to_string(&log).is_ok_and(|log| log.contains("Listening at UDP"));
            match program.wait_until("it listens", READY_WITHIN, listens) {
                Ok(()) => {
                    self.program = Some(program);
                    return Ok(());
                }
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| anyhow::anyhow!("{AGENT} was never tried")))
    }

    /// Kills its agent: questions get no answer.
    pub fn power_off(&mut self) -> Result<()> {
        match self.program.take() {
            Some(mut program) => program.kill(),
            None => Ok(()),
        }
    }

    /// Where its agent listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Puts an outlet in that is off, with a relay that follows.
    pub fn add_outlet(&self, outlet: Objects) -> Result<()> {
        self.add_stuck_outlet(outlet)?;
        if outlet.control == outlet.state {
            return Ok(());
        }
        let ((control_on, control_off), (state_on, state_off)) = (outlet.commands, outlet.states);
        self.table()?.execute_batch(&format!(
            "CREATE TRIGGER \"relay of {control}\" AFTER UPDATE ON snmprec WHEN NEW.oid = '{set}' BEGIN
               UPDATE snmprec SET value = CASE NEW.value WHEN '{control_on}' THEN '{state_on}'
                 WHEN '{control_off}' THEN '{state_off}' ELSE value END WHERE oid = '{read}';
             END;",
            control = outlet.control,
            set = key(outlet.control),
            read = key(outlet.state),
        ))?;
        Ok(())
    }

    /// Puts an outlet in that is off, and that does not follow its commands.
    pub fn add_stuck_outlet(&self, outlet: Objects) -> Result<()> {
        self.put(outlet.state, outlet.states.1, "read-write")?;
        if outlet.control != outlet.state {
            self.put(outlet.control, outlet.commands.1, "read-write")?;
        }
        Ok(())
    }

    /// Puts an object in, or another value.
    pub fn put(&self, oid: &str, value: i32, access: &str) -> Result<()> {
        let integer = "2";
        self.table()?.execute(
            "INSERT OR REPLACE INTO snmprec VALUES (?1, ?2, ?3, ?4)",
            (key(oid), integer, value.to_string(), access),
        )?;
        Ok(())
    }

    /// Takes an object out.
    pub fn remove(&self, oid: &str) -> Result<()> {
        let removed = self
            .table()?
            .execute("DELETE FROM snmprec WHERE oid = ?1", [key(oid)])?;
        ensure!(removed == 1, "there was no object {oid}");
        Ok(())
    }

    /// What an object holds, asked of nobody.
    pub fn value(&self, oid: &str) -> Result<i32> {
        let text: String = self
            .table()?
            .query_row("SELECT value FROM snmprec WHERE oid = ?1", [key(oid)], |row| {
                row.get(0)
            })
            .with_context(|| format!("object {oid}"))?;
        text.parse().with_context(|| format!("object {oid}: {text:?}"))
    }

    fn table(&self) -> Result<Connection> {
        let path: PathBuf = self.folder.path().join("table");
        let table = Connection::open(path)?;
        table.busy_timeout(READY_WITHIN)?;
        Ok(table)
    }
}

/// An agent of SNMPv3 with one object that can be set; it ends and is removed when dropped.
#[derive(Debug)]
pub struct SecureAgent {
    _program: Program,
    _folder: TempDir,
    address: SocketAddr,
}

impl SecureAgent {
    /// Starts it, the object with this value; only [`USER`] may read or set it, authenticated by SHA-256 and encrypted by
    /// AES.
    pub fn start(oid: &str, value: i32) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("snmpd-").tempdir()?;
        let here = folder.path();
        let file = here.join("snmpd.conf");
        fs::write(
            &file,
            format!(
                "createUser {USER} SHA-256 \"{PASSWORD}\" AES \"{PRIVACY_PASSWORD}\"\nrwuser {USER} priv\n\
                 override -rw {oid} integer {value}\n"
            ),
        )?;
        let log = here.join("log");
        let mut last = None;
        for _ in 0..PORT_TRIES {
            let address = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
            let mut command = Command::new("snmpd");
            command
                .args(["-f", "-C", "-c"])
                .arg(&file)
                .arg("-Lf")
                .arg(&log)
                .arg(format!("udp:{address}"))
                .env("SNMP_PERSISTENT_DIR", here.join("state"))
                .env("MIBS", "");
            let mut program = Program::start("snmpd", &mut command, &here.join("output"))?;
            let listens = || fs::read_to_string(&log).is_ok_and(|log| log.contains("NET-SNMP version"));
            match program.wait_until("it listens", READY_WITHIN, listens) {
                Ok(()) => {
                    return Ok(Self {
                        _program: program,
                        _folder: folder,
                        address,
                    });
                }
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| anyhow::anyhow!("snmpd was never tried")))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// An object identifier as the simulator has it in its table.
fn key(oid: &str) -> String {
    let arcs: Vec<String> = oid.split('.').map(|arc| format!("{arc:>10}")).collect();
    arcs.join(".")
}
