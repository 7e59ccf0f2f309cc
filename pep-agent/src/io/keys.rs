//! The file of keys for message Integrity.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use cops_codec::integrity::key_file::{self, KeyFileError, MAX_FILE_OCTETS};
use cops_codec::integrity::{KeyRing, wipe};

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
    pub fn read(&mut self) -> Result<KeyRing, KeysError> {
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
            let problem = format!(
                "expected at most {MAX_FILE_OCTETS} octets, found {}",
                metadata.len()
            );
            return Err(exposed(problem));
        }
        let mut octets = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0) + 1);
        let read = file.take(MAX_FILE_OCTETS as u64).read_to_end(&mut octets);
        let keys = read.map_err(io).and_then(|_| match std::str::from_utf8(&octets) {
            Ok(text) => Ok(key_file::read_ring(&self.path.display().to_string(), text)?),
            Err(error) => {
                let problem = format!(
                    "expected UTF-8, found something else at octet {}",
                    error.valid_up_to()
                );
                Err(exposed(problem))
            }
        });
        wipe(&mut octets);
        keys
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_that_others_may_use_is_refused_and_a_change_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        let text = "[[key]]\nid = 1\nsecret_hex = \"30313233343536373839616263646566\"\n\
                    not_before = 2026-01-01T00:00:00Z\nnot_after = \"never\"\n";
        fs::write(&path, text).unwrap();
        let set = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let mut keys = KeyFile::new(path.clone());
        for mode in [0o640, 0o604, 0o666] {
            set(mode);
            let told = keys.read().unwrap_err().to_string();
            assert!(told.ends_with(&format!("found mode {mode:04o}")), "{told}");
            assert!(!keys.has_changed(), "a failure is not tried for ever");
        }
        set(0o600);
        assert!(keys.has_changed());
        assert!(!keys.read().unwrap().is_empty());
        fs::write(&path, text.replace("66\"", "6\"")).unwrap();
        assert!(keys.has_changed());
        let told = keys.read().unwrap_err().to_string();
        let expected = ":3: secret_hex: expected pairs of hexadecimal digits";
        assert_eq!(told, format!("{}{expected}", path.display()));
    }
}
