//! The file of tokens: who may look, and who may command. It holds digests, so that it gives nobody a token.
//!
//! ```toml
//! [[token]]
//! name = "anna"
//! role = "operator"        # or "viewer"
//! sha256_hex = "..."       # of the token: printf %s TOKEN | sha256sum
//! ```

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::api::{Me, Role};
use crate::io::keys::{KeyFile, KeysError};
use crate::limits;

/// The SHA-256 digest of a token.
type TokenDigest = [u8; 32];

/// Tokens that count now: the file is read again when it has changed.
#[derive(Debug)]
pub struct Tokens(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    file: KeyFile,
    tokens: Vec<(TokenDigest, Me)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    token: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    role: Role,
    sha256_hex: String,
}

impl Tokens {
    /// Reads the file, which must be this user's or root's, mode 0600.
    ///
    /// # Errors
    /// Others may use it, or what stands in it is no list of tokens.
    pub fn read(path: PathBuf) -> Result<Self, KeysError> {
        let mut inner = Inner {
            file: KeyFile::new(path.clone()),
            path,
            tokens: Vec::new(),
        };
        inner.tokens = inner.read()?;
        Ok(Self(Mutex::new(inner)))
    }

    /// Whose token it is; `None`: it does not count.
    pub fn holder(&self, token: &str) -> Option<Me> {
        // What is compared are digests: how long it takes tells nothing of the token.
        let digest: TokenDigest = Sha256::digest(token.as_bytes()).into();
        let mut inner = self.lock();
        inner.refresh();
        let found = inner.tokens.iter().find(|(known, _)| *known == digest);
        found.map(|(_, me)| me.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// A file that is wrong now leaves nobody in: who took a token out of it must be able to rely on that.
    fn refresh(&mut self) {
        if !self.file.has_changed() {
            return;
        }
        match self.read() {
            Ok(tokens) => {
                self.tokens = tokens;
                tracing::info!("the tokens of [web] were read again");
            }
            Err(error) => {
                self.tokens.clear();
                tracing::error!("no token of [web] counts until its file is mended: {error}");
            }
        }
    }

    fn read(&mut self) -> Result<Vec<(TokenDigest, Me)>, KeysError> {
        let octets = self.file.read_octets()?;
        parse(&octets).map_err(|problem| KeysError::Tokens {
            path: self.path.clone(),
            problem,
        })
    }
}

fn parse(octets: &[u8]) -> Result<Vec<(TokenDigest, Me)>, String> {
    let text = std::str::from_utf8(octets).map_err(|error| {
        let at = error.valid_up_to();
        format!("expected UTF-8, found something else at octet {at}")
    })?;
    // Its message may quote the line; nothing of the file is shown.
    let file: File = toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start).min(text.len());
        let line = text.as_bytes()[..at].iter().filter(|octet| **octet == b'\n').count() + 1;
        format!("line {line}: expected [[token]] tables with name, role (\"viewer\" or \"operator\") and sha256_hex")
    })?;
    if file.token.len() > limits::MAX_TOKENS {
        return Err(format!(
            "expected at most {} tokens, found {}",
            limits::MAX_TOKENS,
            file.token.len()
        ));
    }
    let mut tokens = Vec::with_capacity(file.token.len());
    let (mut names, mut digests) = (BTreeSet::new(), BTreeSet::new());
    for (number, entry) in file.token.into_iter().enumerate() {
        let number = number + 1;
        let fits = (1..=64).contains(&entry.name.len()) && !entry.name.chars().any(char::is_control);
        if !fits {
            return Err(format!(
                "token {number}: expected a name of 1 to 64 octets without control characters"
            ));
        }
        let name = entry.name;
        if !names.insert(name.clone()) {
            return Err(format!("token {number}: the name '{name}' is there twice"));
        }
        let digest = digest(&entry.sha256_hex).ok_or_else(|| {
            format!("token {number} ('{name}'): sha256_hex: expected 64 hexadecimal digits")
        })?;
        if !digests.insert(digest) {
            return Err(format!(
                "token {number} ('{name}'): another name has the same token"
            ));
        }
        let name = format!("token {name}");
        let role = entry.role;
        tokens.push((digest, Me { name, role }));
    }
    Ok(tokens)
}

fn digest(hex: &str) -> Option<TokenDigest> {
    if hex.len() != 64 || !hex.bytes().all(|octet| octet.is_ascii_hexdigit()) {
        return None;
    }
    let mut digest = [0; 32];
    for (octet, pair) in digest.iter_mut().zip(hex.as_bytes().chunks(2)) {
        *octet = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn entry(name: &str, role: &str, token: &str) -> String {
        let hex: String = Sha256::digest(token).iter().map(|o| format!("{o:02x}")).collect();
        format!("[[token]]\nname = \"{name}\"\nrole = \"{role}\"\nsha256_hex = \"{hex}\"\n")
    }

    fn write(path: &std::path::Path, text: &str, mode: u32) {
        let new = path.with_extension("new");
        std::fs::write(&new, text).unwrap();
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(mode)).unwrap();
        std::fs::rename(&new, path).unwrap();
    }

    #[test]
    fn a_token_that_is_taken_out_or_exposed_does_not_count_any_more() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.toml");
        let both = entry("anna", "operator", "a") + &entry("wall", "viewer", "w");
        write(&path, &both, 0o600);
        let tokens = Tokens::read(path.clone()).unwrap();
        let role = |token: &str| tokens.holder(token).map(|me| (me.name, me.role));
        assert_eq!(role("a"), Some(("token anna".to_owned(), Role::Operator)));
        assert_eq!(role("w"), Some(("token wall".to_owned(), Role::Viewer)));
        assert_eq!(role(""), None);
        write(&path, &entry("wall", "viewer", "w"), 0o600);
        assert_eq!(role("a"), None);
        assert!(role("w").is_some());
        write(&path, &both, 0o640);
        assert_eq!(role("w"), None);
        write(&path, &both, 0o600);
        assert!(role("a").is_some());
    }

    #[test]
    fn what_is_wrong_is_said_without_showing_the_file() {
        let secret = entry("anna", "operator", "a");
        for (text, expected) in [
            (secret.replace("operator", "owner"), "line 3: expected [[token]]"),
            (
                secret.replace("sha256_hex = \"", "sha256_hex = \"x"),
                "token 1 ('anna'): sha256_hex: expected 64",
            ),
            (
                format!("{secret}{secret}"),
                "token 2: the name 'anna' is there twice",
            ),
            (
                format!("{secret}{}", secret.replace("anna", "otto")),
                "token 2 ('otto'): another name has the same token",
            ),
            (secret.replace("anna", ""), "token 1: expected a name of 1 to 64"),
            ("token = 3".to_owned(), "line 1: expected [[token]]"),
        ] {
            let said = parse(text.as_bytes()).unwrap_err();
            assert!(said.starts_with(expected), "{said}");
            assert!(!said.contains("ca978112"), "{said}");
        }
        assert!(parse(&[0xff]).unwrap_err().ends_with("at octet 0"));
    }
}
