//! The PDP's journal: a damaged file is found out or harmless, and never another history; a record of any JSON is taken or
//! refused, and one that is taken is written and read again to the same, and can be recovered from.
//!
//! Input: one octet. 0 to 2: damage of a small journal, in one file (0), with its log beside it (1, the file is damaged; 2,
//! the log is). Damages of 5 octets each follow: place (32 bits), and the octet that is combined with what is there by
//! exclusive or; 0 cuts the file there. Otherwise: the JSON of a record.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use pdp_server::config::OnUnreadable;
use pdp_server::engine::state::{Record, State};
use pdp_server::io::journal::{Batch, SqliteStore, Store};
use power_policy::interruption::{Config, Interruption};
use power_policy::model::PowerPolicy;

use crate::Input;

/// Damages of one input.
const MAX_DAMAGES: usize = 32;

/// See the module.
pub fn run(octets: &[u8]) {
    let mut input = Input::new(octets);
    match input.u8() {
        kind @ 0..=2 => damaged(kind, &mut input),
        _ => record(input.rest()),
    }
}

/// A journal as it was left, in octets.
struct Journal {
    file: Vec<u8>,
    log: Option<Vec<u8>>,
    records: Vec<Record>,
}

/// A folder for one journal; gone when dropped.
fn folder() -> tempfile::TempDir {
    // Memory where there is some, for what is written a thousand times a second.
    let shared = Path::new("/dev/shm");
    if shared.is_dir() {
        tempfile::tempdir_in(shared)
    } else {
        tempfile::tempdir()
    }
    .expect("a folder for the journal")
}

fn log_of(path: &Path) -> PathBuf {
    path.with_extension("sqlite-wal")
}

fn machine() -> Interruption {
    Interruption::new(Config::new(&PowerPolicy::default(), BTreeMap::new()))
}

fn records() -> Vec<Record> {
    let mut records = vec![
        Record::Started {
            term: 1,
            boot_id: "a-boot".to_owned(),
            scale: 1,
            offset_millis: -42,
            policy: None,
        },
        Record::Checkpoint {
            state: Box::new(State::new(machine())),
            after_failure: false,
        },
    ];
    records.extend((1..12).map(|generation| Record::Raised { term: 1, generation }));
    records.push(Record::Forgiven);
    records
}

fn journals() -> &'static [Journal; 2] {
    static JOURNALS: OnceLock<[Journal; 2]> = OnceLock::new();
    JOURNALS.get_or_init(|| {
        let folder = folder();
        let path = folder.path().join("made.sqlite");
        let mut opened = SqliteStore::open(&path, OnUnreadable::Refuse).expect("a new journal");
        for record in records() {
            let batch = Batch {
                engine_millis: 1_000,
                records: vec![record],
            };
            opened.store.append(&batch).expect("a record");
        }
        let read = |path: &Path| std::fs::read(path).expect("a file that was just written");
        let with_log = Journal {
            file: read(&path),
            log: Some(read(&log_of(&path))),
            records: records(),
        };
        drop(opened);
        let opened = SqliteStore::open(&path, OnUnreadable::Refuse).expect("the journal again");
        let recovered = opened.recovered.records.clone();
        drop(opened);
        let alone = Journal {
            file: read(&path),
            log: None,
            records: recovered,
        };
        [alone, with_log]
    })
}

fn damaged(kind: u8, input: &mut Input<'_>) {
    let journal = &journals()[usize::from(kind > 0)];
    let (mut file, mut log) = (journal.file.clone(), journal.log.clone());
    let target = match (kind, &mut log) {
        (2, Some(log)) => log,
        _ => &mut file,
    };
    for _ in 0..MAX_DAMAGES {
        if input.is_at_end() || target.is_empty() {
            break;
        }
        let place = input.u32() as usize % target.len();
        match input.u8() {
            0 => target.truncate(place),
            octet => target[place] ^= octet,
        }
    }
    let folder = folder();
    let path = folder.path().join("damaged.sqlite");
    std::fs::write(&path, &file).expect("the damaged file");
    if let Some(log) = &log {
        std::fs::write(log_of(&path), log).expect("its log");
    }
    match SqliteStore::open(&path, OnUnreadable::Refuse) {
        Ok(opened) => {
            let found = opened.recovered.records;
            // A log ends where it is damaged, as where a crash cut it: what was in it may be gone, from the end.
            let may_be_shorter = kind > 0;
            let whole = recovered(&journal.records);
            assert!(
                found == whole || (may_be_shorter && is_beginning(&found, &journal.records)),
                "another history: {found:#?}\ninstead of\n{whole:#?}"
            );
        }
        Err(error) => assert!(error.is_unreadable(), "{error}"),
    }
}

/// What a start reads: the last checkpoint, what came after it.
fn recovered(records: &[Record]) -> Vec<Record> {
    let from = records
        .iter()
        .rposition(|record| matches!(record, Record::Checkpoint { .. }))
        .unwrap_or(0);
    records[from..].to_vec()
}

fn is_beginning(found: &[Record], records: &[Record]) -> bool {
    (0..=records.len()).any(|end| recovered(&records[..end]) == found)
}

fn record(json: &[u8]) {
    let Ok(record) = serde_json::from_slice::<Record>(json) else {
        return;
    };
    let written = serde_json::to_vec(&record).expect("a record that was read can be written");
    let again: Record = serde_json::from_slice(&written).expect("and read again");
    assert_eq!(record, again);
    assert!(!record.kind().is_empty());
    let mut state = State::new(machine());
    state.apply(&record);
    state.rebase(-1);
    state.rebase(i64::MAX);
    state.apply(&record);
}
