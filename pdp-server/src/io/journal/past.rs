//! Reads the history in a journal file, also while a PDP writes it: SQLite's write-ahead mode keeps readers and the writer
//! out of each other's way.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, params};

use super::sqlite::{APPLICATION_ID, BUSY_PATIENCE, FORMAT, Row, column, sqlite_error};
use super::store::StoreError;
use crate::api::History;
use crate::history::{KINDS, Teller};
use crate::limits::MAX_HISTORY_ENTRIES;

/// The newest `limit` entries that are not older than `since_unix_millis`, oldest first.
///
/// # Errors
/// [`StoreError`]: the file is no journal, is of a later version, is damaged, or cannot be read.
pub fn read_history(path: &Path, since_unix_millis: u64, limit: usize) -> Result<History, StoreError> {
    let fail = |e: rusqlite::Error| sqlite_error(path, "reading the history", &e);
    let corrupt = |detail: String| StoreError::Corrupt {
        path: path.to_owned(),
        detail,
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(fail)?;
    connection.busy_timeout(BUSY_PATIENCE).map_err(fail)?;
    let pragma = |name: &str| -> Result<i64, StoreError> {
        connection
            .query_row(&format!("PRAGMA {name}"), [], |row| row.get(0))
            .map_err(fail)
    };
    if pragma("application_id")? != i64::from(APPLICATION_ID) {
        return Err(corrupt("it is no journal of this program".to_owned()));
    }
    let format = pragma("user_version")?;
    if format > FORMAT {
        return Err(corrupt(format!(
            "its format is {format}; expected at most {FORMAT}"
        )));
    }
    let marks = vec!["?"; KINDS.len()].join(", ");
    let newest = format!(
        "SELECT seq, kind, engine_millis, unix_millis, body, digest FROM record \
         WHERE seq IN (SELECT seq FROM record WHERE kind IN ({marks}) AND unix_millis >= ? \
         ORDER BY seq DESC LIMIT ?) ORDER BY seq"
    );
    let mut select = connection.prepare(&newest).map_err(fail)?;
    let since = column(since_unix_millis);
    let limit = column(limit.min(MAX_HISTORY_ENTRIES) as u64);
    let mut values: Vec<&dyn rusqlite::ToSql> =
        KINDS.iter().map(|kind| kind as &dyn rusqlite::ToSql).collect();
    values.extend(params![since, limit]);
    let mut rows = select.query(&values[..]).map_err(fail)?;
    let mut teller = Teller::default();
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
        let damaged = |what: String| corrupt(format!("record {} ({}): {what}", found.seq, found.kind));
        let digest: [u8; 32] = row.get(5).map_err(fail)?;
        if digest != found.digest() {
            return Err(damaged("its contents do not have its digest".to_owned()));
        }
        teller
            .take(found.seq, found.unix_millis, found.body)
            .map_err(|error| damaged(format!("not understood: {error}")))?;
    }
    Ok(teller.finish())
}
