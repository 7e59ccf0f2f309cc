//! Damaged files: found out, or harmless; never another history without a word.

use super::*;
use crate::io::journal::file::beside;

/// A journal of a few pages, all in the main file.
fn a_journal(path: &Path) -> Vec<Record> {
    let (records, _) = an_interruption();
    make(path, records);
    open(path).unwrap().recovered.records
}

#[test]
fn flipped_bits_are_found_out_or_harmless() {
    let (_folder, path) = folder();
    let whole = a_journal(&path);
    let bytes = std::fs::read(&path).unwrap();
    let mut found_out = 0;
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    const FLIPS: usize = 400;
    for n in 0..FLIPS {
        // Half of them in the header and the first page, where structure is.
        let at = if n % 2 == 0 {
            random.usize(..bytes.len().min(4_096))
        } else {
            random.usize(..bytes.len())
        };
        let bit = random.u32(..8);
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << bit;
        std::fs::write(&path, &damaged).unwrap();
        match open(&path) {
            Ok(opened) => assert_eq!(
                opened.recovered.records, whole,
                "bit {bit} of octet {at} changed history (seed {seed})"
            ),
            Err(error) => {
                assert!(
                    error.is_unreadable(),
                    "bit {bit} of octet {at} (seed {seed}): {error}"
                );
                found_out += 1;
            }
        }
        for companion in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(beside(&path, companion));
        }
    }
    assert!(
        found_out > FLIPS / 20,
        "only {found_out} of {FLIPS} were found out"
    );
}

#[test]
fn a_changed_figure_is_found_out() {
    let (_folder, path) = folder();
    make(&path, vec![started(1), raised(1, 41)]);
    for change in [
        "UPDATE record SET body = replace(body, '41', '42')",
        "UPDATE record SET kind = 'released' WHERE seq = 2",
        "UPDATE record SET engine_millis = 2",
    ] {
        let copy = path.with_file_name("copy.sqlite");
        std::fs::copy(&path, &copy).unwrap();
        let other = rusqlite::Connection::open(&copy).unwrap();
        other.execute_batch(change).unwrap();
        other.close().unwrap();
        let error = open(&copy).unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{change}: {error}");
        assert!(
            error.to_string().contains("does not have its digest")
                || error.to_string().contains("do not have its digest"),
            "{error}"
        );
    }
}

/// Found by the fuzz target `journal`, and seldom by the test of flipped bits: the number of the first record is 1, and
/// one bit makes it 0.
#[test]
fn a_start_with_the_number_0_is_found_out() {
    let (_folder, path) = folder();
    make(&path, vec![started(1), checkpoint(1), raised(1, 41)]);
    let other = rusqlite::Connection::open(&path).unwrap();
    other
        .execute("UPDATE record SET seq = 0 WHERE seq = 1", [])
        .unwrap();
    other.close().unwrap();
    let error = open(&path).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
}

#[test]
fn missing_records_are_found_out() {
    let (_folder, path) = folder();
    let mut records = vec![started(1), checkpoint(1)];
    records.extend((0..10).map(|n| raised(1, n)));
    make(&path, records);
    for (gone, says) in [("seq = 5", "comes after record 4"), ("kind = 'started'", "start")] {
        let copy = path.with_file_name("copy.sqlite");
        std::fs::copy(&path, &copy).unwrap();
        let other = rusqlite::Connection::open(&copy).unwrap();
        other
            .execute(&format!("DELETE FROM record WHERE {gone}"), [])
            .unwrap();
        other.close().unwrap();
        let error = open(&copy).unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[test]
fn missing_tables_are_found_out() {
    let (_folder, path) = folder();
    make(&path, vec![started(1)]);
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("DROP TABLE record").unwrap();
    other.close().unwrap();
    let error = open(&path).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
}

#[test]
fn truncated_files_are_found_out() {
    let (_folder, path) = folder();
    a_journal(&path);
    let bytes = std::fs::read(&path).unwrap();
    let pages = bytes.len() / 4_096;
    assert!(pages > 4, "{pages} pages");
    let lengths = [
        0,
        1,
        15,
        16,
        99,
        100,
        4_095,
        4_096,
        8_192,
        4_096 * (pages - 1),
        bytes.len() - 1,
    ];
    for length in lengths {
        std::fs::write(&path, &bytes[..length]).unwrap();
        let error = open(&path).unwrap_err();
        assert!(error.is_unreadable(), "{length} octets: {error}");
        assert_eq!(std::fs::read(&path).unwrap(), &bytes[..length], "{length}");
        for companion in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(beside(&path, companion));
        }
    }
}

#[test]
fn a_log_without_its_file_is_no_new_journal() {
    let (_folder, path) = folder();
    let mut opened = open(&path).unwrap();
    opened.store.append(&batch(vec![started(1)])).unwrap();
    let log = std::fs::read(beside(&path, "-wal")).unwrap();
    assert!(!log.is_empty());
    drop(opened);
    std::fs::remove_file(&path).unwrap();
    std::fs::write(beside(&path, "-wal"), &log).unwrap();
    let error = open(&path).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("the file is gone, its -wal file is left"),
        "{error}"
    );
    let opened = SqliteStore::open(&path, OnUnreadable::SetAside).unwrap();
    assert!(opened.set_aside.is_some());
    assert_eq!(
        opened.recovered,
        Recovered::default(),
        "the old log was not replayed into the new file"
    );
}

#[test]
fn a_torn_log_loses_the_unsynced_end_alone() {
    let (_folder, path) = folder();
    let mut opened = open(&path).unwrap();
    opened.store.append(&batch(vec![started(1)])).unwrap();
    opened.store.append(&batch(vec![raised(1, 2)])).unwrap();
    let wal = beside(&path, "-wal");
    let (main, before) = (std::fs::read(&path).unwrap(), std::fs::read(&wal).unwrap());
    opened
        .store
        .append(&batch(vec![raised(1, 3), raised(1, 4)]))
        .unwrap();
    let after = std::fs::read(&wal).unwrap();
    drop(opened);
    // As a crash in the middle of the last write leaves it.
    let cut = before.len() + (after.len() - before.len()) / 2;
    std::fs::write(&path, main).unwrap();
    std::fs::write(&wal, &after[..cut]).unwrap();
    let _ = std::fs::remove_file(beside(&path, "-shm"));
    let opened = open(&path).unwrap();
    assert_eq!(opened.recovered.records, [started(1), raised(1, 2)]);
}
