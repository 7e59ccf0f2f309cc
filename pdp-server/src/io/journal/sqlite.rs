//! The journal as an SQLite file, in write-ahead mode, each batch one synced transaction.
//!
//! # Format 2
//!
//! `application_id` is [`APPLICATION_ID`], `user_version` the format. One table, which any SQLite tool reads, also while
//! the PDP runs:
//!
//! | column of `record` | meaning |
//! |---|---|
//! | `seq` | number, rises by one without gaps |
//! | `kind` | [`Record::kind`] |
//! | `engine_millis` | the engine's time |
//! | `unix_millis` | time of the calendar, since 1970 |
//! | `body` | the record as JSON |
//! | `digest` | SHA-256 over the other columns: SQLite itself does not notice flipped bits |
//!
//! Format 1 has the same table. Its records do not tell the policy of a start, the digest of a plan, whether a checkpoint
//! closes a hole, or of plans that are held ready.
//!
//! What stands before the last `checkpoint` is history: kept up to [`MAX_RECORDS_KEPT`] records and
//! [`MAX_JOURNAL_OCTETS`], then forgotten, oldest first.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, params};
use sha2::{Digest, Sha256};

use super::file::{self, Identity, Lock};
use super::reading::{format_of, last_seq_of, next_seq, read, recover};
use super::store::{Batch, Recovered, SetAside, Store, StoreError, Stored};
use crate::config::OnUnreadable;
use crate::engine::state::Record;
use crate::limits::{MAX_JOURNAL_OCTETS, MAX_RECORD_OCTETS, MAX_RECORDS_FORGOTTEN_AT_ONCE, MAX_RECORDS_KEPT};

/// Marks an SQLite file as a journal of this program ("PDPj").
pub const APPLICATION_ID: u32 = 0x5044_506a;
/// The format that is written, and the highest that is read.
pub const FORMAT: i64 = 2;
/// The lowest format that is read. A file of it is brought up to date with the first batch that is written to it.
pub const OLDEST_FORMAT: i64 = 1;

/// How long another tool that holds the file is waited for.
pub(super) const BUSY_PATIENCE: Duration = Duration::from_secs(1);

const SCHEMA: &str = "
CREATE TABLE record (
    seq           INTEGER PRIMARY KEY,
    kind          TEXT    NOT NULL,
    engine_millis INTEGER NOT NULL,
    unix_millis   INTEGER NOT NULL,
    body          TEXT    NOT NULL,
    digest        BLOB    NOT NULL
) STRICT;
CREATE INDEX record_kind ON record (kind, seq);
-- Written and emptied again to see whether a disk that failed works again.
CREATE TABLE probe (filling BLOB NOT NULL) STRICT;
";

/// The journal of one machine.
#[derive(Debug)]
pub struct SqliteStore {
    path: PathBuf,
    on_unreadable: OnUnreadable,
    connection: Connection,
    identity: Option<Identity>,
    next_seq: u64,
    bounds: Bounds,
    /// Format of the file: it is brought up to date with the first batch.
    format: i64,
    /// SQLite found the file damaged while it was in use.
    is_damaged: bool,
    // Last, so that it is let go of after the connection is closed.
    _lock: Lock,
}

/// How much history is kept behind the last checkpoint.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Records.
    pub(super) records: u64,
    /// Octets of the file that are in use.
    pub(super) octets: u64,
    /// Records that are forgotten at one time.
    pub(super) at_once: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            records: MAX_RECORDS_KEPT,
            octets: MAX_JOURNAL_OCTETS,
            at_once: MAX_RECORDS_FORGOTTEN_AT_ONCE,
        }
    }
}

/// A store, and what was found at its opening.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub store: SqliteStore,
    /// What it knows.
    pub recovered: Recovered,
    /// There was a file that could not be read, and the configuration says to go on: to be told loudly.
    pub set_aside: Option<SetAside>,
}

impl SqliteStore {
    /// Opens the journal, or makes a new one where there is no file, and reads it.
    ///
    /// # Errors
    ///
    /// [`StoreError`], naming the file: in use by another PDP, not writable, no space for a new one (one that is there
    /// is opened on a full disk too, and fails at the first batch); and, if `on_unreadable` is [`OnUnreadable::Refuse`],
    /// foreign, damaged or of a later version.
    pub fn open(path: &Path, on_unreadable: OnUnreadable) -> Result<Opened, StoreError> {
        let path = file::resolve(path)?;
        let lock = Lock::take(&path)?;
        let (connection, recovered, format, set_aside) = open_or_set_aside(&path, on_unreadable)?;
        let store = Self {
            identity: Identity::of(&path),
            next_seq: next_seq(&path, &connection)?,
            path,
            on_unreadable,
            connection,
            bounds: Bounds::default(),
            format,
            is_damaged: false,
            _lock: lock,
        };
        Ok(Opened {
            store,
            recovered,
            set_aside,
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file that was removed is still written to, to nobody's use.
    fn check_identity(&self) -> Result<(), StoreError> {
        if Identity::of(&self.path) == self.identity {
            return Ok(());
        }
        Err(StoreError::Replaced {
            path: self.path.clone(),
        })
    }

    /// Opens the file anew, without letting the old connection touch what stands under its name by now.
    fn reopen(&mut self) -> Result<Option<SetAside>, StoreError> {
        let path = &self.path;
        let fail = |e: rusqlite::Error| sqlite_error(path, "closing", &e);
        self.connection
            .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
            .map_err(fail)?;
        // In its place until there is a new one; never written to, because the identity does not fit.
        let nothing = Connection::open_in_memory().map_err(fail)?;
        self.identity = None;
        drop(std::mem::replace(&mut self.connection, nothing));
        let (connection, _, format, set_aside) = open_or_set_aside(&self.path, self.on_unreadable)?;
        self.next_seq = next_seq(&self.path, &connection)?;
        self.connection = connection;
        self.format = format;
        self.identity = Identity::of(&self.path);
        self.is_damaged = false;
        Ok(set_aside)
    }

    fn insert(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let path = &self.path;
        let fail = |e: rusqlite::Error| sqlite_error(path, "writing", &e);
        let unix_millis = unix_millis();
        let mut seq = self.next_seq;
        // Dropped without a commit, it rolls back.
        let transaction = self.connection.transaction().map_err(fail)?;
        {
            let mut insert = transaction
                .prepare_cached(
                    "INSERT INTO record (seq, kind, engine_millis, unix_millis, body, digest) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                )
                .map_err(fail)?;
            for record in &batch.records {
                let body = body_of(path, record)?;
                let row = Row {
                    seq,
                    kind: record.kind(),
                    engine_millis: batch.engine_millis,
                    unix_millis,
                    body: &body,
                };
                insert
                    .execute(params![
                        column(row.seq),
                        row.kind,
                        column(row.engine_millis),
                        column(row.unix_millis),
                        row.body,
                        row.digest().as_slice()
                    ])
                    .map_err(fail)?;
                seq += 1;
            }
        }
        if self.format != FORMAT {
            // Earlier versions must not read what this one writes.
            transaction
                .pragma_update(None, "user_version", FORMAT)
                .map_err(fail)?;
        }
        transaction.commit().map_err(fail)?;
        self.format = FORMAT;
        self.next_seq = seq;
        Ok(())
    }

    /// A setting of the connection, for tests.
    #[cfg(test)]
    pub(super) fn pragma(&self, name: &str) -> String {
        let value = self
            .connection
            .query_row(&format!("PRAGMA {name}"), [], |row| row.get(0))
            .unwrap();
        match value {
            rusqlite::types::Value::Text(text) => text,
            rusqlite::types::Value::Integer(number) => number.to_string(),
            other => format!("{other:?}"),
        }
    }

    #[cfg(test)]
    pub(super) fn set_bounds(&mut self, bounds: Bounds) {
        self.bounds = bounds;
    }

    /// The bound on the file's pages, for tests of a full disk.
    #[cfg(test)]
    pub(super) fn set_max_pages(&self, pages: u32) {
        let sql = format!("PRAGMA max_page_count = {pages}");
        self.connection.query_row(&sql, [], |_| Ok(())).unwrap();
    }
}

impl Store for SqliteStore {
    fn append(&mut self, batch: &Batch) -> Result<(), StoreError> {
        if batch.records.is_empty() {
            return Ok(());
        }
        self.check_identity()?;
        let inserted = self.insert(batch);
        self.is_damaged = matches!(inserted, Err(StoreError::Corrupt { .. }));
        inserted
    }

    fn recover(&mut self) -> Result<Recovered, StoreError> {
        recover(&self.path, &self.connection)
    }

    fn read(&mut self, after: u64, limit: usize) -> Result<Vec<Stored>, StoreError> {
        read(&self.path, &self.connection, after, limit)
    }

    fn compact(&mut self) -> Result<(), StoreError> {
        let path = &self.path;
        let fail = |e: rusqlite::Error| sqlite_error(path, "forgetting history", &e);
        let Some(checkpoint) = last_seq_of(&self.connection, "checkpoint").map_err(fail)? else {
            return Ok(());
        };
        let pragma = |name: &str| {
            self.connection
                .query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0))
                .map_err(fail)
        };
        let used = pragma("page_count")?
            .saturating_sub(pragma("freelist_count")?)
            .saturating_mul(pragma("page_size")?);
        let first: u64 = self
            .connection
            .query_row("SELECT coalesce(min(seq), 1) FROM record", [], number)
            .map_err(fail)?;
        let mut below = checkpoint.saturating_sub(self.bounds.records);
        if used > column(self.bounds.octets) {
            // Half of the history, so that this is not done for every checkpoint.
            below = below.max(first.saturating_add(checkpoint.saturating_sub(first).div_ceil(2)));
        }
        let below = below
            .min(first.saturating_add(self.bounds.at_once))
            .min(checkpoint);
        if below > first {
            self.connection
                .execute("DELETE FROM record WHERE seq < ?1", params![column(below)])
                .map_err(fail)?;
        }
        Ok(())
    }

    fn probe(&mut self, octets: usize) -> Result<Option<SetAside>, StoreError> {
        let set_aside = if self.is_damaged || self.check_identity().is_err() {
            self.reopen()?
        } else {
            None
        };
        let octets = column(octets.min(MAX_RECORD_OCTETS) as u64);
        let path = &self.path;
        let fail = |e: rusqlite::Error| sqlite_error(path, "writing", &e);
        // Two transactions: the first one must find room for all of it in the file and in its log.
        self.connection
            .execute(
                "INSERT INTO probe (filling) VALUES (zeroblob(?1))",
                params![octets],
            )
            .and_then(|_| self.connection.execute("DELETE FROM probe", []))
            .map_err(fail)?;
        Ok(set_aside)
    }
}

/// A row, for its digest.
pub(super) struct Row<'a> {
    pub(super) seq: u64,
    pub(super) kind: &'a str,
    pub(super) engine_millis: u64,
    pub(super) unix_millis: u64,
    pub(super) body: &'a str,
}

impl Row<'_> {
    pub(super) fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for number in [
            self.seq,
            self.engine_millis,
            self.unix_millis,
            self.kind.len() as u64,
        ] {
            hash.update(number.to_be_bytes());
        }
        hash.update(self.kind);
        hash.update(self.body);
        hash.finalize().into()
    }
}

/// SQLite's integers are signed; what is beyond them (292 million years) is not reached.
pub(super) fn column(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn number(row: &rusqlite::Row<'_>) -> rusqlite::Result<u64> {
    row.get::<_, i64>(0).map(|n| u64::try_from(n).unwrap_or(0))
}

fn unix_millis() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

fn body_of(path: &Path, record: &Record) -> Result<String, StoreError> {
    let body = serde_json::to_string(record).map_err(|e| StoreError::Io {
        path: path.to_owned(),
        detail: format!("a record ({}) cannot be written as JSON: {e}", record.kind()),
    })?;
    if body.len() > MAX_RECORD_OCTETS {
        return Err(StoreError::TooLarge {
            path: path.to_owned(),
            kind: record.kind().to_owned(),
            octets: body.len(),
            limit: MAX_RECORD_OCTETS,
        });
    }
    Ok(body)
}

/// SQLite's error as ours.
pub(super) fn sqlite_error(path: &Path, doing: &str, error: &rusqlite::Error) -> StoreError {
    let path = path.to_owned();
    let detail = format!("{doing}: {error}");
    // "No such column" and the like: our statements are always the same, so that the schema is not ours any more.
    if matches!(error, rusqlite::Error::SqlInputError { .. }) {
        return StoreError::Corrupt { path, detail };
    }
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full { path, detail },
        // Growing a file in memory-mapped or reserved ways fails as plain "disk I/O error" on a full disk.
        Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) if is_disk_full(&path) => {
            StoreError::Full { path, detail }
        }
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => StoreError::ReadOnly { path, detail },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed) => {
            StoreError::InUse {
                path,
                by: "another program that reads or writes it".to_owned(),
            }
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Corrupt { path, detail },
        Some(ErrorCode::Unknown) => StoreError::Corrupt { path, detail },
        _ => StoreError::Io { path, detail },
    }
}

fn is_disk_full(path: &Path) -> bool {
    let folder = path.parent().unwrap_or(Path::new("/"));
    rustix::fs::statvfs(folder).is_ok_and(|s| s.f_bavail == 0)
}

/// Opens what is there; what cannot be read is set aside, if that is wanted, and a new one begun.
fn open_or_set_aside(
    path: &Path,
    on_unreadable: OnUnreadable,
) -> Result<(Connection, Recovered, i64, Option<SetAside>), StoreError> {
    match open_file(path) {
        Ok((connection, recovered, format)) => Ok((connection, recovered, format, None)),
        Err(error) if error.is_unreadable() && on_unreadable == OnUnreadable::SetAside => {
            let set_aside = file::set_aside(path, &error)?;
            let (connection, recovered, format) = open_file(path)?;
            Ok((connection, recovered, format, Some(set_aside)))
        }
        Err(error) => Err(error),
    }
}

fn open_file(path: &Path) -> Result<(Connection, Recovered, i64), StoreError> {
    if !file::inspect(path, APPLICATION_ID)? {
        file::create(path, |unfinished| {
            let fail = |e: rusqlite::Error| sqlite_error(path, "making it", &e);
            let connection = connect(unfinished).map_err(fail)?;
            connection
                .execute_batch(&format!(
                    "PRAGMA synchronous = FULL; BEGIN; {SCHEMA} \
                     PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT}; COMMIT;"
                ))
                .map_err(fail)?;
            connection.close().map_err(|(_, e)| fail(e))
        })?;
    }
    match open_existing(path, false) {
        // The index of the log, beside the file, takes space of its own. What is there can be read without it; then
        // every batch fails, which is told loudly, until there is space.
        Err(StoreError::Full { .. }) => open_existing(path, true),
        other => other,
    }
}

/// Opens a file of ours. `is_alone`: without the log's shared index, so that other tools are kept out.
fn open_existing(path: &Path, is_alone: bool) -> Result<(Connection, Recovered, i64), StoreError> {
    let connection = connect(path).map_err(|e| sqlite_error(path, "opening", &e))?;
    if is_alone {
        connection
            .query_row("PRAGMA locking_mode = EXCLUSIVE", [], |_| Ok(()))
            .map_err(|e| sqlite_error(path, "opening", &e))?;
    }
    // Before anything is changed: a later format may mean anything by what it contains.
    let format = format_of(path, &connection)?;
    let mode: String = connection
        .query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))
        .map_err(|e| sqlite_error(path, "opening for writing", &e))?;
    if mode != "wal" {
        return Err(StoreError::Io {
            path: path.to_owned(),
            detail: format!("the file system does not permit write-ahead mode (SQLite says {mode})"),
        });
    }
    connection
        .execute_batch(
            "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 1000; \
             PRAGMA journal_size_limit = 16777216; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;",
        )
        .map_err(|e| sqlite_error(path, "opening", &e))?;
    quick_check(path, &connection)?;
    let recovered = recover(path, &connection)?;
    // A file that can be read but not written must not be found out by the first decision. A full disk is no reason not
    // to start: what is known is known, and protection goes on.
    match connection
        .execute("INSERT INTO probe (filling) VALUES (zeroblob(1))", [])
        .and_then(|_| connection.execute("DELETE FROM probe", []))
        .map_err(|e| sqlite_error(path, "opening for writing", &e))
    {
        Ok(_) | Err(StoreError::Full { .. }) => Ok((connection, recovered, format)),
        Err(error) => Err(error),
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_PATIENCE)?;
    Ok(connection)
}

/// SQLite's own check of its structure.
fn quick_check(path: &Path, connection: &Connection) -> Result<(), StoreError> {
    let says: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|e| sqlite_error(path, "checking", &e))?;
    if says == "ok" {
        return Ok(());
    }
    Err(StoreError::Corrupt {
        path: path.to_owned(),
        detail: says.replace('\n', " "),
    })
}
