//! A file of the format before this one is read, and brought up to date when it is written to.
//!
//! `tests/data/journal-format-1.sqlite` was written by the last version of that format: three agents, a commanded
//! interruption, a PDP killed in the middle of it, and the way back. Do not make it anew.

use super::super::JournalFile;
use super::*;

fn fixture() -> (TempDir, PathBuf) {
    let (folder, path) = folder();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/journal-format-1.sqlite");
    std::fs::copy(from, &path).unwrap();
    (folder, path)
}

fn format_of(path: &Path) -> i64 {
    let other = rusqlite::Connection::open(path).unwrap();
    other
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .unwrap()
}

#[test]
fn a_journal_of_format_1_is_read_and_gone_on_with() {
    let (_folder, path) = fixture();
    let opened = open(&path).unwrap();
    assert_eq!(opened.set_aside, None);
    let records = opened.recovered.records;
    assert!(matches!(records[0], Record::Checkpoint { .. }));
    assert_eq!(opened.recovered.clock.unwrap().scale, 60);
    let mut state = State::new(Interruption::new(power_policy::interruption::Config::new(
        &PowerPolicy::default(),
        BTreeMap::new(),
    )));
    records.iter().for_each(|r| state.apply(r));
    assert_eq!(state.term, 2);
    assert_eq!(state.facts.len(), 3);
    assert_eq!(state.issued.len(), 3);
    assert!(state.in_force.is_some() && state.prepared.is_empty());
    // An engine takes it up.
    let recovery = Recovery {
        records,
        ..Recovery::default()
    };
    let engine = Engine::new(settings(), 1_000_000, recovery);
    assert_eq!(engine.version().0, 3);
    // Nothing was written yet, so that the version before can still go on with it.
    drop(opened.store);
    assert_eq!(format_of(&path), 1);
    let mut opened = open(&path).unwrap();
    opened.store.append(&batch(vec![raised(3, 7)])).unwrap();
    drop(opened.store);
    assert_eq!(format_of(&path), FORMAT);
    let again = open(&path).unwrap();
    assert_eq!(again.recovered.records.last(), Some(&raised(3, 7)));
}

#[test]
fn a_journal_of_either_format_is_read_without_being_touched_also_while_it_is_in_use() {
    let (_folder, path) = fixture();
    let before = std::fs::read(&path).unwrap();
    let mut file = JournalFile::open(&path).unwrap();
    assert_eq!(file.format(), 1);
    let mut records = Vec::new();
    loop {
        let more = file.read_more().unwrap();
        if more.is_empty() {
            break;
        }
        records.extend(more);
    }
    assert_eq!(records.first().unwrap().seq, 1);
    assert_eq!(records.len() as u64, records.last().unwrap().seq);
    assert_eq!(records.iter().filter(|r| r.record.kind() == "started").count(), 2);
    assert_eq!(std::fs::read(&path).unwrap(), before);
    let (_folder, path) = folder();
    make(&path, vec![started(1)]);
    let mut opened = open(&path).unwrap();
    opened.store.append(&batch(vec![raised(1, 2)])).unwrap();
    let mut file = JournalFile::open(&path).unwrap();
    assert_eq!(file.format(), FORMAT);
    assert_eq!(file.read_more().unwrap().len(), 2);
    assert!(file.read_more().unwrap().is_empty());
}

#[test]
fn what_is_no_journal_or_a_later_one_is_not_read() {
    let (folder, path) = folder();
    let error = JournalFile::open(&path).unwrap_err().to_string();
    assert!(error.contains("there is no such file"), "{error}");
    assert!(!path.exists());
    make(&path, vec![started(1)]);
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("PRAGMA user_version = 3;").unwrap();
    other.close().unwrap();
    let error = JournalFile::open(&path).unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::Newer {
                found: 3,
                known: 2,
                ..
            }
        ),
        "{error}"
    );
    let text = folder.path().join("notes.txt");
    std::fs::write(&text, "no journal at all, but some words").unwrap();
    let error = JournalFile::open(&text).unwrap_err();
    assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
}
