//! What is read from the file: all that a start needs, and records in their order.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use super::file;
use super::sqlite::{APPLICATION_ID, FORMAT, OLDEST_FORMAT, Row, column, number, sqlite_error};
use super::store::{LastClock, Recovered, StoreError, Stored};
use crate::engine::state::Record;
use crate::limits::MAX_RECORDS_READ;

/// A journal that is read and not written: also while a PDP writes it, and one of an earlier format.
#[derive(Debug)]
pub struct JournalFile {
    path: PathBuf,
    connection: Connection,
    format: i64,
    /// Number of the last record that was given.
    after: u64,
}

impl JournalFile {
    /// Opens the file. Nothing of it is changed.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: it is not there, foreign, of a later format, or cannot be opened.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let path = path.to_owned();
        if !file::inspect(&path, APPLICATION_ID)? {
            return Err(StoreError::Io {
                path,
                detail: "there is no such file".to_owned(),
            });
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&path, flags)
            .map_err(|e| sqlite_error(&path, "opening to read", &e))?;
        let format = format_of(&path, &connection)?;
        Ok(Self {
            path,
            connection,
            format,
            after: 0,
        })
    }

    /// Its format.
    pub fn format(&self) -> i64 {
        self.format
    }

    /// The next records, oldest first; none at the end.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`] for records that are damaged, missing or not understood.
    pub fn read_more(&mut self) -> Result<Vec<Stored>, StoreError> {
        let stored = read(&self.path, &self.connection, self.after, MAX_RECORDS_READ)?;
        if let (Some(first), true) = (stored.first(), self.after > 0)
            && first.seq != self.after + 1
        {
            return Err(StoreError::Corrupt {
                path: self.path.clone(),
                detail: format!("record {} comes after record {}", first.seq, self.after),
            });
        }
        if let Some(last) = stored.last() {
            self.after = last.seq;
        }
        Ok(stored)
    }
}

/// The format of a file, if it is one that is understood.
pub(super) fn format_of(path: &Path, connection: &Connection) -> Result<i64, StoreError> {
    let found: i64 = connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(|e| sqlite_error(path, "reading its format", &e))?;
    match found {
        OLDEST_FORMAT..=FORMAT => Ok(found),
        ..OLDEST_FORMAT => Err(StoreError::Corrupt {
            path: path.to_owned(),
            detail: format!("its format is {found}, which no version has written"),
        }),
        _ => Err(StoreError::Newer {
            path: path.to_owned(),
            found,
            known: FORMAT,
        }),
    }
}

/// Searched from the end in the table itself, where digests are: a damaged index must not hide a record.
pub(super) fn last_seq_of(connection: &Connection, kind: &str) -> rusqlite::Result<Option<u64>> {
    connection
        .query_row(
            "SELECT seq FROM record NOT INDEXED WHERE kind = ?1 ORDER BY seq DESC LIMIT 1",
            [kind],
            number,
        )
        .optional()
}

pub(super) fn next_seq(path: &Path, connection: &Connection) -> Result<u64, StoreError> {
    connection
        .query_row("SELECT coalesce(max(seq), 0) + 1 FROM record", [], number)
        .map_err(|e| sqlite_error(path, "reading", &e))
}

pub(super) fn recover(path: &Path, connection: &Connection) -> Result<Recovered, StoreError> {
    let fail = |e: rusqlite::Error| sqlite_error(path, "reading", &e);
    let checkpoint = last_seq_of(connection, "checkpoint").map_err(fail)?;
    let from = checkpoint.unwrap_or(1);
    let stored = read(path, connection, from.saturating_sub(1), usize::MAX)?;
    let corrupt = |detail: String| StoreError::Corrupt {
        path: path.to_owned(),
        detail,
    };
    if let Some(first) = stored.first()
        && first.seq != from
    {
        return Err(corrupt(format!(
            "records {from} to {} are missing",
            first.seq - 1
        )));
    }
    let started = match last_seq_of(connection, "started").map_err(fail)? {
        // Numbers begin at 1; a damaged one may be anything.
        Some(seq) => {
            let before = seq
                .checked_sub(1)
                .ok_or_else(|| corrupt("a record has the number 0".to_owned()))?;
            read(path, connection, before, 1)?.pop().map(|s| s.record)
        }
        None => None,
    };
    let clock = match (started, stored.last()) {
        (
            Some(Record::Started {
                boot_id,
                scale,
                offset_millis,
                ..
            }),
            Some(last),
        ) => Some(LastClock {
            boot_id,
            scale,
            offset_millis,
            engine_millis: last.engine_millis,
            unix_millis: last.unix_millis,
        }),
        (_, None) => None,
        (_, Some(_)) => return Err(corrupt("no record tells of a start".to_owned())),
    };
    Ok(Recovered {
        records: stored.into_iter().map(|s| s.record).collect(),
        clock,
    })
}

pub(super) fn read(
    path: &Path,
    connection: &Connection,
    after: u64,
    limit: usize,
) -> Result<Vec<Stored>, StoreError> {
    let fail = |e: rusqlite::Error| match &e {
        // A column that is not of its type, or text that is not UTF-8.
        rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::Utf8Error(..)
        | rusqlite::Error::FromSqlConversionFailure(..) => StoreError::Corrupt {
            path: path.to_owned(),
            detail: e.to_string(),
        },
        _ => sqlite_error(path, "reading", &e),
    };
    let mut select = connection
        .prepare_cached(
            "SELECT seq, kind, engine_millis, unix_millis, body, digest FROM record \
             WHERE seq > ?1 ORDER BY seq LIMIT ?2",
        )
        .map_err(fail)?;
    let mut rows = select
        .query(params![column(after), column(limit as u64)])
        .map_err(fail)?;
    let mut stored: Vec<Stored> = Vec::new();
    while let Some(row) = rows.next().map_err(fail)? {
        let integer = |i: usize| row.get::<_, i64>(i).map(|n| u64::try_from(n).unwrap_or(0));
        let text = |i: usize| row.get_ref(i).and_then(|v| Ok(v.as_str()?));
        let found = Row {
            seq: integer(0).map_err(fail)?,
            kind: text(1).map_err(fail)?,
            engine_millis: integer(2).map_err(fail)?,
            unix_millis: integer(3).map_err(fail)?,
            body: text(4).map_err(fail)?,
        };
        let corrupt = |detail: String| StoreError::Corrupt {
            path: path.to_owned(),
            detail: format!("record {} ({}): {detail}", found.seq, found.kind),
        };
        if let Some(before) = stored.last()
            && before.seq + 1 != found.seq
        {
            return Err(corrupt(format!("comes after record {}", before.seq)));
        }
        let digest: [u8; 32] = row.get(5).map_err(fail)?;
        if digest != found.digest() {
            return Err(corrupt("its contents do not have its digest".to_owned()));
        }
        let record: Record =
            serde_json::from_str(found.body).map_err(|e| corrupt(format!("not understood: {e}")))?;
        stored.push(Stored {
            seq: found.seq,
            engine_millis: found.engine_millis,
            unix_millis: found.unix_millis,
            record,
        });
    }
    Ok(stored)
}
