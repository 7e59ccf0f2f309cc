//! The file of keys for message Integrity, and the one that keeps what numbers were used.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use cops_codec::integrity::key_file::{self, KeyFileError, MAX_FILE_OCTETS};
use cops_codec::integrity::{KeyTable, wipe};
use cops_codec::wire::SequenceNumber;

use crate::config::Config;

/// Why keys cannot be had from a file.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// It cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Others than its owner may use it, or its owner is somebody else.
    #[error("{}: {problem}", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// What was expected, and found.
        problem: String,
    },
    /// Tokens that are none.
    #[error("{}: {problem}", path.display())]
    Tokens {
        /// The file.
        path: PathBuf,
        /// What was expected, and found.
        problem: String,
    },
    /// What stands in it.
    #[error(transparent)]
    Text(#[from] KeyFileError),
}

/// What tells one state of a file from another.
type Stamp = (u64, u64, u64, i64, i64);

/// A file of keys that is read again when it has changed.
#[derive(Debug)]
pub struct KeyFile {
    path: PathBuf,
    seen: Option<Stamp>,
}

impl KeyFile {
    /// This file, not read yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path, seen: None }
    }

    /// Whether it is another one than was read last, or tried to be.
    pub fn has_changed(&self) -> bool {
        let now = fs::metadata(&self.path).ok().map(|metadata| stamp(&metadata));
        now != self.seen
    }

    /// Reads it. It must be a file of this user (or root's) that nobody else may read or write.
    ///
    /// # Errors
    /// Why there are no keys; nothing of the file is shown.
    pub fn read(&mut self) -> Result<KeyTable, KeysError> {
        let mut octets = self.read_octets()?;
        let keys = match std::str::from_utf8(&octets) {
            Ok(text) => key_file::read_table(&self.path.display().to_string(), text).map_err(KeysError::from),
            Err(error) => Err(KeysError::Exposed {
                path: self.path.clone(),
                problem: format!(
                    "expected UTF-8, found something else at octet {}",
                    error.valid_up_to()
                ),
            }),
        };
        wipe(&mut octets);
        keys
    }

    /// As [`Self::read`], the octets alone.
    pub(super) fn read_octets(&mut self) -> Result<Vec<u8>, KeysError> {
        let io = |source| KeysError::Io {
            path: self.path.clone(),
            source,
        };
        self.seen = None;
        let file = File::open(&self.path).map_err(io)?;
        let metadata = file.metadata().map_err(io)?;
        self.seen = Some(stamp(&metadata));
        let exposed = |problem| KeysError::Exposed {
            path: self.path.clone(),
            problem,
        };
        if !metadata.is_file() {
            return Err(exposed("expected a file".to_owned()));
        }
        let (mode, owner) = (metadata.mode() & 0o777, metadata.uid());
        if mode & 0o077 != 0 {
            let problem =
                format!("expected a file that only its owner may use (mode 0600), found mode {mode:04o}");
            return Err(exposed(problem));
        }
        let user = rustix::process::geteuid().as_raw();
        if owner != user && owner != 0 {
            let problem = format!("expected a file of user {user} or of root, found one of user {owner}");
            return Err(exposed(problem));
        }
        if metadata.len() > MAX_FILE_OCTETS as u64 {
            return Err(exposed(format!(
                "expected at most {MAX_FILE_OCTETS} octets, found {}",
                metadata.len()
            )));
        }
        let mut octets = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0) + 1);
        file.take(MAX_FILE_OCTETS as u64)
            .read_to_end(&mut octets)
            .map_err(io)?;
        Ok(octets)
    }
}

fn stamp(metadata: &fs::Metadata) -> Stamp {
    // The time of change also moves with owner and mode.
    (
        metadata.dev(),
        metadata.ino(),
        metadata.len(),
        metadata.ctime(),
        metadata.ctime_nsec(),
    )
}

/// The keys of a configuration, if it has any.
///
/// # Errors
/// Why they cannot be had.
pub fn of(config: &Config) -> Result<Option<KeyTable>, KeysError> {
    let read = |integrity: &crate::config::Integrity| KeyFile::new(integrity.keys.clone()).read();
    config.integrity.as_ref().map(read).transpose()
}

/// Keeps the highest sequence number that may have been used: RFC 2748 5 wants none used twice for a key.
#[derive(Debug)]
pub struct NumberFile {
    path: PathBuf,
    kept: Option<SequenceNumber>,
}

impl NumberFile {
    /// Reads what was kept, if there is such a file.
    ///
    /// # Errors
    /// If there is one and it cannot be read, or holds something else.
    pub fn open(path: &Path) -> io::Result<Self> {
        let kept = match fs::read_to_string(path) {
            Ok(text) => Some(text.trim_end().parse().map(SequenceNumber).map_err(|_| {
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    "expected a number from 0 to 4294967295",
                )
            })?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok(Self {
            path: path.to_owned(),
            kept,
        })
    }

    /// What is kept.
    pub fn kept(&self) -> Option<SequenceNumber> {
        self.kept
    }

    /// Keeps another number. It is on disk when this returns.
    ///
    /// # Errors
    /// What the system says; it is tried again the next time.
    pub fn keep(&mut self, number: SequenceNumber) -> io::Result<()> {
        if self.kept == Some(number) {
            return Ok(());
        }
        let mut name = self.path.clone().into_os_string();
        name.push(".new");
        let new = PathBuf::from(name);
        let mut file = File::create(&new)?;
        writeln!(file, "{}", number.0)?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        if let Some(folder) = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            File::open(folder)?.sync_all()?;
        }
        self.kept = Some(number);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const KEYS: &str = "[[key]]\npep = \"node1\"\nid = 1\nsecret_hex = \"30313233343536373839616263646566\"\n\
                        not_before = 2026-01-01T00:00:00Z\nnot_after = \"never\"\n";

    fn file(folder: &Path, text: &str, mode: u32) -> PathBuf {
        let path = folder.join("keys.toml");
        let _ = fs::remove_file(&path);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn a_file_that_others_may_use_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for mode in [0o600, 0o400] {
            assert_eq!(
                KeyFile::new(file(folder.path(), KEYS, mode))
                    .read()
                    .unwrap()
                    .len(),
                1
            );
        }
        for mode in [0o640, 0o604, 0o620, 0o601, 0o666] {
            let told = KeyFile::new(file(folder.path(), KEYS, mode))
                .read()
                .unwrap_err()
                .to_string();
            assert!(
                told.ends_with(&format!("(mode 0600), found mode {mode:04o}")),
                "{told}"
            );
        }
        let told = KeyFile::new(folder.path().to_owned())
            .read()
            .unwrap_err()
            .to_string();
        assert!(told.ends_with("expected a file"), "{told}");
        KeyFile::new(folder.path().join("none")).read().unwrap_err();
    }

    #[test]
    fn a_fault_names_file_and_line_and_not_the_secret() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(folder.path(), &KEYS.replace("66\"", "6\""), 0o600);
        let told = KeyFile::new(path.clone()).read().unwrap_err().to_string();
        let expected = format!(
            "{}:4: secret_hex: expected pairs of hexadecimal digits",
            path.display()
        );
        assert_eq!(told, expected);
    }

    #[test]
    fn a_change_is_noticed_and_a_failure_is_not_tried_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let mut keys = KeyFile::new(file(folder.path(), KEYS, 0o600));
        assert!(keys.has_changed());
        keys.read().unwrap();
        assert!(!keys.has_changed());
        let path = file(folder.path(), "nonsense", 0o600);
        assert!(keys.has_changed());
        keys.read().unwrap_err();
        assert!(!keys.has_changed());
        fs::remove_file(path).unwrap();
        assert!(keys.has_changed());
    }

    #[test]
    fn c_5_02_numbers_survive_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("numbers");
        let mut numbers = NumberFile::open(&path).unwrap();
        assert_eq!(numbers.kept(), None);
        for number in [7, u32::MAX] {
            numbers.keep(SequenceNumber(number)).unwrap();
            assert_eq!(
                NumberFile::open(&path).unwrap().kept(),
                Some(SequenceNumber(number))
            );
        }
        fs::write(&path, "many").unwrap();
        NumberFile::open(&path).unwrap_err();
    }
}
