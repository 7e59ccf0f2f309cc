//! The journal's files: the lock that keeps a second PDP out, what is there before SQLite sees it, making a new one,
//! and setting an unreadable one aside.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::store::{SetAside, StoreError};

/// The first octets of every SQLite file (SQLite's file format, 1.3).
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// Where the application id stands in it (1.3.16).
const APPLICATION_ID_AT: usize = 68;
/// Where the file format's write version stands in it, with the read version after it (1.3.3).
const WRITE_VERSION_AT: usize = 18;
/// Octets of the header that are looked at.
const HEADER_OCTETS: usize = 100;
/// Files that belong to the journal, beside itself, by what is appended to its name.
const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// A path with something appended to its last part.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// What the system says, as our error.
pub(super) fn io_error(path: &Path, doing: &str, error: &std::io::Error) -> StoreError {
    let path = path.to_owned();
    let detail = format!("{doing}: {error}");
    match error.kind() {
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
            StoreError::ReadOnly { path, detail }
        }
        std::io::ErrorKind::StorageFull
        | std::io::ErrorKind::QuotaExceeded
        | std::io::ErrorKind::FileTooLarge => StoreError::Full { path, detail },
        _ => StoreError::Io { path, detail },
    }
}

/// The file behind symbolic links, so that renaming acts on the file and not on a link to it.
pub(super) fn resolve(path: &Path) -> Result<PathBuf, StoreError> {
    if let Ok(path) = fs::canonicalize(path) {
        return Ok(path);
    }
    let parent = match path.parent() {
        Some(p) if p.as_os_str().is_empty() => Path::new("."),
        Some(p) => p,
        None => Path::new("/"),
    };
    let folder = fs::canonicalize(parent).map_err(|e| io_error(parent, "the journal's folder", &e))?;
    match path.file_name() {
        Some(name) => Ok(folder.join(name)),
        None => Err(StoreError::Io {
            path: path.to_owned(),
            detail: "not the name of a file".to_owned(),
        }),
    }
}

/// Holds the journal against a second PDP as long as it lives. The system lets go of it when the process ends, however
/// it ends. It is a file of its own so that other tools can read the journal meanwhile.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing is not enough: a process that is being started holds our open files until it executes its program.
        let _ = self.0.unlock();
    }
}

impl Lock {
    pub(super) fn take(journal: &Path) -> Result<Self, StoreError> {
        let path = beside(journal, ".lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|e| io_error(&path, "opening the lock", &e))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Best effort: the holder's number only helps the reader of the message.
                let _ = file.take(64).read_to_string(&mut holder);
                let by = match holder.trim() {
                    "" => "another PDP".to_owned(),
                    pid => format!("another PDP (process {pid})"),
                };
                return Err(StoreError::InUse {
                    path: journal.to_owned(),
                    by,
                });
            }
            Err(TryLockError::Error(e)) => return Err(io_error(&path, "locking", &e)),
        }
        // Only for the message above; a full disk must not keep us from starting.
        let _ = file
            .set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Self(file))
    }
}

/// Which file a path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    /// `None`: there is none, or it cannot be told.
    pub(super) fn of(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().map(|m| Self {
            device: m.dev(),
            inode: m.ino(),
        })
    }
}

/// Looks at what is there. `true`: a file of ours, as far as its header tells. `false`: nothing at all.
///
/// SQLite itself would take an empty file for a new database, would replay whatever `-wal` stands beside it, and would
/// write to a foreign database's file in order to look at it.
pub(super) fn inspect(path: &Path, application_id: u32) -> Result<bool, StoreError> {
    let corrupt = |detail: &str| StoreError::Corrupt {
        path: path.to_owned(),
        detail: detail.to_owned(),
    };
    let foreign = |found: String| StoreError::Foreign {
        path: path.to_owned(),
        found,
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            // The log of a journal that is gone must not be replayed into a new one.
            return match COMPANIONS.iter().find(|s| beside(path, s).exists()) {
                Some(suffix) => Err(corrupt(&format!("the file is gone, its {suffix} file is left"))),
                None => Ok(false),
            };
        }
        Err(e) => return Err(io_error(path, "opening", &e)),
    };
    let meta = file.metadata().map_err(|e| io_error(path, "opening", &e))?;
    if !meta.is_file() {
        return Err(StoreError::Io {
            path: path.to_owned(),
            detail: "not a regular file".to_owned(),
        });
    }
    if meta.len() == 0 {
        return Err(corrupt("the file is empty; a journal never is"));
    }
    let mut header = [0u8; HEADER_OCTETS];
    match file.read_exact_at(&mut header, 0) {
        Ok(()) => {}
        Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
            let is_ours = header.starts_with(MAGIC);
            return Err(if is_ours {
                corrupt(&format!("it ends after {} octets", meta.len()))
            } else {
                foreign(format!("{} octets that are no SQLite header", meta.len()))
            });
        }
        Err(e) => return Err(io_error(path, "reading", &e)),
    }
    if !header.starts_with(MAGIC) {
        return Err(foreign(
            "it does not begin as an SQLite file does (another file, or a damaged one)".to_owned(),
        ));
    }
    let found = header[APPLICATION_ID_AT..]
        .first_chunk()
        .map_or(0, |b| u32::from_be_bytes(*b));
    if found != application_id {
        return Err(foreign(format!(
            "an SQLite file with application id {found:#010x}, not {application_id:#010x}"
        )));
    }
    // SQLite would open a file of a later file format, but not write to it.
    let versions = (header[WRITE_VERSION_AT], header[WRITE_VERSION_AT + 1]);
    if !matches!(versions, (1, 1) | (2, 2)) {
        return Err(corrupt(&format!(
            "its header has file format versions {versions:?}"
        )));
    }
    Ok(true)
}

/// Makes a new journal: `fill` writes it under another name, so that a crash leaves a whole one or none.
pub(super) fn create(
    path: &Path,
    fill: impl FnOnce(&Path) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let unfinished = beside(path, ".new");
    // What an earlier attempt left behind has never been a journal.
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let _ = fs::remove_file(beside(&unfinished, suffix));
    }
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&unfinished)
        .map_err(|e| io_error(path, "making it", &e))
        .and_then(|_| fill(&unfinished))
        .and_then(|()| rename(&unfinished, path))
        .and_then(|()| sync_folder(path));
    if made.is_err() {
        let _ = fs::remove_file(&unfinished);
    }
    made
}

/// Renames the journal and what belongs to it, so that it is kept for those who want to look at it.
pub(super) fn set_aside(path: &Path, reason: &StoreError) -> Result<SetAside, StoreError> {
    let is_taken = |to: &Path| {
        to.symlink_metadata().is_ok()
            || COMPANIONS
                .iter()
                .any(|s| beside(to, s).symlink_metadata().is_ok())
    };
    let to = (1..=MAX_SET_ASIDE)
        .map(|n| beside(path, &format!(".unreadable-{n}")))
        .find(|to| !is_taken(to))
        .ok_or_else(|| StoreError::Io {
            path: path.to_owned(),
            detail: format!("{MAX_SET_ASIDE} files were set aside already; look at them and move them away"),
        })?;
    // The file itself first: a crash in between leaves a log without its file, which is set aside at the next start. A
    // file without its log might be read as an older journal.
    for suffix in [""].iter().chain(&COMPANIONS) {
        let from = beside(path, suffix);
        if from.symlink_metadata().is_ok() {
            rename(&from, &beside(&to, suffix))?;
        }
    }
    sync_folder(path)?;
    Ok(SetAside {
        reason: reason.to_string(),
        to,
    })
}

/// Files set aside beside one journal before a person must look.
const MAX_SET_ASIDE: u32 = 100;

/// Renames without ever replacing.
fn rename(from: &Path, to: &Path) -> Result<(), StoreError> {
    let renamed = match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Some file systems do not know the flag. The lock is held, so that nobody is between the look and the rename.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) if to.symlink_metadata().is_err() => {
            fs::rename(from, to)
        }
        other => other.map_err(std::io::Error::from),
    };
    renamed.map_err(|e| io_error(from, &format!("renaming to {}", to.display()), &e))
}

/// Makes renames durable.
fn sync_folder(path: &Path) -> Result<(), StoreError> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    File::open(folder)
        .and_then(|f| f.sync_all())
        .map_err(|e| io_error(folder, "syncing the folder", &e))
}
