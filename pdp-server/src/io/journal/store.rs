//! What a journal must be able to do ([`Store`]), and what can go wrong with one ([`StoreError`]).

use std::path::PathBuf;

use crate::engine::state::Record;

/// Where records are kept. One thread owns it ([`super::Journal`]), so that a method may block; a store over the
/// network brings its own runtime to that thread.
///
/// Implementations: [`super::SqliteStore`] on one machine. A replicated one has the same methods; its `append` also
/// fails when another PDP has taken the lead.
pub trait Store: Send + 'static {
    /// Keeps a batch: all of it is durable when this returns, or none of it.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; the batch is not kept then.
    fn append(&mut self, batch: &Batch) -> Result<(), StoreError>;

    /// What a start needs: the records from the last checkpoint on.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; [`StoreError::Corrupt`] also for records that are damaged, missing or not understood.
    fn recover(&mut self) -> Result<Recovered, StoreError>;

    /// Records with a number above `after`, oldest first, at most `limit`: for history and replay.
    ///
    /// # Errors
    ///
    /// As [`Store::recover`].
    fn read(&mut self, after: u64, limit: usize) -> Result<Vec<Stored>, StoreError>;

    /// Forgets history before the last checkpoint, as far as it goes beyond the bounds. Some work a call, so that no
    /// append waits for long.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; nothing is lost then.
    fn compact(&mut self) -> Result<(), StoreError>;

    /// After a failure: does what it can to work again, and shows it by writing `octets` of no meaning durably. Nothing
    /// that is there is lost by it; a file that cannot be read is set aside if the configuration says so.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; it does not work yet.
    fn probe(&mut self, octets: usize) -> Result<Option<SetAside>, StoreError>;
}

/// Records that become durable together.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// The engine's time, in milliseconds.
    pub engine_millis: u64,
    /// In order.
    pub records: Vec<Record>,
}

/// A record as it was kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// Number; rises by one from record to record.
    pub seq: u64,
    /// The engine's time when it was kept, in milliseconds.
    pub engine_millis: u64,
    /// Time of the calendar, in milliseconds since 1970; for people, and for what a reboot took.
    pub unix_millis: u64,
    /// The record.
    pub record: Record,
}

/// What a start needs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Recovered {
    /// The last checkpoint and what came after it; all records, if there is no checkpoint yet.
    pub records: Vec<Record>,
    /// The clock of the process that wrote last; `None` in a new journal.
    pub clock: Option<LastClock>,
}

/// What the journal knows of the clock of the process that wrote to it last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastClock {
    /// Boot id of the machine (of the last [`Record::Started`]).
    pub boot_id: String,
    /// Clock scale.
    pub scale: u32,
    /// What the engine's clock showed minus the scaled clock of the machine.
    pub offset_millis: i64,
    /// The engine's time at the last record, in milliseconds.
    pub engine_millis: u64,
    /// Time of the calendar then, in milliseconds since 1970.
    pub unix_millis: u64,
}

/// A file that could not be read as a journal was renamed, and a new one begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// What was wrong with it.
    pub reason: String,
    /// Where it is now.
    pub to: PathBuf,
}

impl std::fmt::Display for SetAside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "the journal could not be read and was set aside as {}; a new one was begun ({})",
            self.to.display(),
            self.reason
        )
    }
}

/// What is wrong with a journal. Each names the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file is something else.
    #[error("{}: no journal of this program: {found}; give another path in [journal], or move the file away", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it seems to be.
        found: String,
    },
    /// It is a journal, and damaged.
    #[error("{}: the journal is damaged: {detail}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        detail: String,
    },
    /// It was written by a later version.
    #[error("{}: the journal has format {found}, of a later version; this one reads up to format {known}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The highest format that is understood.
        known: i64,
    },
    /// It cannot be written: permissions, or a file system mounted read-only.
    #[error("{}: cannot be written: {detail}", path.display())]
    ReadOnly {
        /// The file, or its folder.
        path: PathBuf,
        /// What the system says.
        detail: String,
    },
    /// Another program has it.
    #[error("{}: in use by {by}", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
        /// By whom, as far as it can be told.
        by: String,
    },
    /// No space is left.
    #[error("{}: no space is left: {detail}", path.display())]
    Full {
        /// The file.
        path: PathBuf,
        /// What the system says.
        detail: String,
    },
    /// The file was removed, or another one put in its place, while the PDP ran.
    #[error("{}: the file was removed or replaced while it was in use", path.display())]
    Replaced {
        /// The file.
        path: PathBuf,
    },
    /// The system refuses for another reason.
    #[error("{}: {detail}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was done, and what the system says.
        detail: String,
    },
    /// A record is larger than any journal keeps.
    #[error("{}: a record of {octets} octets ({kind}) is larger than a journal keeps ({limit})", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Kind of the record.
        kind: String,
        /// Its size.
        octets: usize,
        /// The bound.
        limit: usize,
    },
    /// The store has not answered within its time; it may yet keep the batch.
    #[error("the journal has not kept a batch within {patience_millis} ms; is the disk failing?")]
    Slow {
        /// How long was waited, in real milliseconds.
        patience_millis: u64,
    },
    /// The journal's thread has ended.
    #[error("the journal is closed")]
    Closed,
}

impl StoreError {
    /// Whether what is there cannot be read as a journal: what `[journal] on_unreadable` is about.
    pub fn is_unreadable(&self) -> bool {
        matches!(
            self,
            Self::Foreign { .. } | Self::Corrupt { .. } | Self::Newer { .. }
        )
    }
}
