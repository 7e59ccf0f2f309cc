//! Files that hold one secret: a password, a community.
//!
//! A secret stands in a file of its own, not in the agent's file, which others may read. It is read at each login, so that
//! a new one needs no restart.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::limits::MAX_PASSWORD_FILE_OCTETS;

/// Why there is no secret in a file. The secret itself is in no error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("password file {}: {problem}", path.display())]
pub struct SecretError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: String,
}

/// Reads the one line of a file that nobody but its owner may use.
///
/// # Errors
/// It cannot be read, others may use it, or it holds something else than one line.
pub fn read_secret(path: &Path) -> Result<String, SecretError> {
    let fail = |problem: String| SecretError {
        path: path.to_owned(),
        problem,
    };
    let metadata = fs::metadata(path).map_err(|error| fail(error.to_string()))?;
    if metadata.mode() & 0o077 != 0 {
        let mode = metadata.mode() & 0o777;
        return Err(fail(format!(
            "others than its owner may use it (mode {mode:03o}), expected 600 or less"
        )));
    }
    if metadata.len() > MAX_PASSWORD_FILE_OCTETS {
        return Err(fail(format!("longer than {MAX_PASSWORD_FILE_OCTETS} octets")));
    }
    let text = fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
    let secret = text.trim_end_matches(['\n', '\r']);
    if secret.is_empty() || secret.contains(char::is_control) {
        return Err(fail("expected one line, the password".to_owned()));
    }
    Ok(secret.to_owned())
}
