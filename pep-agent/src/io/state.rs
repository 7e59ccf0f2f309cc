//! The state folder: what the agent must not forget, written whole or not at all, and synced.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::limits::MAX_STATE_OCTETS;
use crate::node::Saved;

/// What is in the state file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateFile {
    /// Boot in which it was written: instants mean something in that boot only.
    pub boot_id: String,
    /// What `arm` or `disarm` said last; `None`: the agent's file decides.
    pub armed: Option<bool>,
    /// No sequence number of message Integrity above this one has been used (RFC 2748 5).
    #[serde(default)]
    pub reserved_number: Option<u32>,
    /// The PDP that accepted this agent last: tried first after a restart.
    #[serde(default)]
    pub pdp: Option<SocketAddr>,
    /// What the node holds.
    pub node: Option<Saved>,
}

/// Why the state folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It cannot be made or read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another agent uses it.
    #[error("{}: another agent uses this state folder", .0.display())]
    InUse(PathBuf),
}

/// The state folder of one running agent.
#[derive(Debug)]
pub struct StateDir {
    folder: PathBuf,
    /// Held for as long as the agent runs; the lock goes with it.
    _lock: File,
}

impl StateDir {
    /// Opens the folder, and makes it if need be. No two agents have one at the same time.
    ///
    /// # Errors
    /// It cannot be made or locked, or another agent has it.
    pub fn open(folder: &Path) -> Result<Self, StateError> {
        let fail = |path: &Path| {
            let path = path.to_owned();
            move |source| StateError::Io { path, source }
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(fail(folder))?;
        let path = folder.join("lock");
        // A folder that has become read-only is read all the same: what was kept still counts.
        let lock = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .mode(0o600)
                .open(&path),
            opened => opened,
        };
        let lock = lock.map_err(fail(&path))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self {
                folder: folder.to_owned(),
                _lock: lock,
            }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(StateError::InUse(folder.to_owned())),
            Err(error) => Err(fail(&path)(error.into())),
        }
    }

    fn file(&self) -> PathBuf {
        self.folder.join("state.json")
    }

    /// What was written last; nothing if nothing was. A file that cannot be read as a state is put aside, and said so:
    /// an agent without memory protects better than none.
    ///
    /// # Errors
    /// The file is there and the system does not let it be read or put aside.
    pub fn read(&self) -> Result<(StateFile, Option<String>), StateError> {
        let path = self.file();
        let fail = |source| StateError::Io {
            path: path.clone(),
            source,
        };
        let mut text = String::new();
        let problem = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((StateFile::default(), None)),
            Err(error) => return Err(fail(error)),
            Ok(file) => match file.take(MAX_STATE_OCTETS + 1).read_to_string(&mut text) {
                Ok(octets) if octets as u64 > MAX_STATE_OCTETS => {
                    format!("is longer than {MAX_STATE_OCTETS} octets")
                }
                Ok(_) => match serde_json::from_str(&text) {
                    Ok(state) => return Ok((state, None)),
                    Err(error) => error.to_string(),
                },
                Err(error) if error.kind() == io::ErrorKind::InvalidData => error.to_string(),
                Err(error) => return Err(fail(error)),
            },
        };
        Ok((StateFile::default(), Some(self.set_aside(&problem)?)))
    }

    /// Puts a state away that cannot be used, and gives the words to say so.
    ///
    /// # Errors
    /// It cannot be renamed.
    pub fn set_aside(&self, problem: &str) -> Result<String, StateError> {
        let path = self.file();
        let aside = self.folder.join("state.unreadable.json");
        fs::rename(&path, &aside).map_err(|source| StateError::Io {
            path: path.clone(),
            source,
        })?;
        Ok(format!(
            "{}: {problem}: put aside as {}",
            path.display(),
            aside.display()
        ))
    }

    /// Writes a state: into a file beside it, synced, which then takes its place.
    ///
    /// # Errors
    /// The system does not let it be written.
    pub fn write(&self, state: &StateFile) -> Result<(), StateError> {
        let path = self.folder.join("state.json.new");
        let fail = |source| StateError::Io {
            path: path.clone(),
            source,
        };
        let text = serde_json::to_vec(state).map_err(|error| fail(error.into()))?;
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(fail)?;
        file.write_all(&text).map_err(fail)?;
        file.sync_all().map_err(fail)?;
        fs::rename(&path, self.file()).map_err(fail)?;
        // The name is in the folder, which is synced of its own.
        File::open(&self.folder)
            .and_then(|folder| folder.sync_all())
            .map_err(fail)
    }
}

/// Names this boot of the machine; empty where the kernel does not say.
pub fn boot_id() -> String {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again_and_two_agents_never_share() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join("deep/state");
        let state = StateDir::open(&at).unwrap();
        assert_eq!(state.read().unwrap(), (StateFile::default(), None));
        let written = StateFile {
            boot_id: "b".into(),
            armed: Some(true),
            reserved_number: Some(7),
            pdp: Some(SocketAddr::from(([127, 0, 0, 1], 3288))),
            node: None,
        };
        state.write(&written).unwrap();
        assert!(matches!(StateDir::open(&at), Err(StateError::InUse(_))));
        drop(state);
        assert_eq!(StateDir::open(&at).unwrap().read().unwrap(), (written, None));
    }

    #[test]
    fn a_state_that_cannot_be_read_is_put_aside_and_said_so() {
        let folder = tempfile::tempdir().unwrap();
        let cases: [&[u8]; 4] = [
            b"",
            b"{\"boot_id\": 1}",
            b"\xff\xfe",
            b"{\"boot_id\":\"\",\"armed\":null,\"node\":null,\"x\":1}",
        ];
        for octets in cases {
            let state = StateDir::open(folder.path()).unwrap();
            fs::write(state.file(), octets).unwrap();
            let (read, said) = state.read().unwrap();
            assert_eq!(read, StateFile::default());
            assert!(said.unwrap().contains("put aside as"), "{octets:?}");
            assert_eq!(
                fs::read(folder.path().join("state.unreadable.json")).unwrap(),
                octets
            );
            assert!(!state.file().exists());
        }
    }
}
