//! What is kept comes back, history is bounded, other tools can read it.

use super::*;
use crate::io::journal::sqlite::Bounds;

#[test]
fn a_real_interruption_comes_back_as_it_was() {
    let (_folder, path) = folder();
    let (records, state) = an_interruption();
    let mut kinds: Vec<&str> = records.iter().map(Record::kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    for kind in [
        "started",
        "checkpoint",
        "facts",
        "machine",
        "track",
        "plan",
        "issued",
    ] {
        assert!(kinds.contains(&kind), "no {kind} among {kinds:?}");
    }
    let mut opened = open(&path).unwrap();
    assert_eq!(opened.recovered, Recovered::default());
    for records in records.chunks(3) {
        opened.store.append(&batch(records.to_vec())).unwrap();
    }
    drop(opened);

    let opened = open(&path).unwrap();
    let mut back = State::new(state.machine.clone());
    for record in &opened.recovered.records {
        back.apply(record);
    }
    assert_eq!(back, state);
    let at = records
        .iter()
        .rposition(|r| matches!(r, Record::Checkpoint { .. }))
        .unwrap();
    assert_eq!(
        opened.recovered.records,
        records[at..],
        "the last checkpoint and what came after it"
    );
    assert!(
        at > 0,
        "the record of the start stands before it, and its clock comes back all the same"
    );
    assert_eq!(opened.recovered.clock.unwrap().boot_id, "this-boot");
}

#[test]
fn the_clock_of_the_last_start_comes_back() {
    let (_folder, path) = folder();
    make(&path, vec![started(1), checkpoint(1)]);
    let mut opened = open(&path).unwrap();
    opened
        .store
        .append(&Batch {
            engine_millis: 77_000,
            records: vec![raised(1, 2)],
        })
        .unwrap();
    drop(opened);
    let clock = open(&path).unwrap().recovered.clock.unwrap();
    assert_eq!(
        (clock.boot_id.as_str(), clock.scale, clock.offset_millis),
        ("this-boot", 5, -42)
    );
    assert_eq!(clock.engine_millis, 77_000);
    assert!(
        clock.unix_millis > 1_700_000_000_000,
        "milliseconds of the calendar"
    );
}

#[test]
fn reads_in_pieces_for_history() {
    let (_folder, path) = folder();
    make(&path, vec![started(1), raised(1, 1), raised(1, 2), raised(1, 3)]);
    let mut store = open(&path).unwrap().store;
    let all = store.read(0, 100).unwrap();
    assert_eq!(all.iter().map(|s| s.seq).collect::<Vec<_>>(), [1, 2, 3, 4]);
    let some = store.read(1, 2).unwrap();
    assert_eq!(some, all[1..3]);
}

#[test]
fn an_empty_batch_writes_nothing() {
    let (_folder, path) = folder();
    let mut store = open(&path).unwrap().store;
    store.append(&batch(Vec::new())).unwrap();
    assert_eq!(store.read(0, 10).unwrap(), []);
}

#[test]
fn other_tools_read_it_while_it_is_written() {
    let (_folder, path) = folder();
    let mut store = open(&path).unwrap().store;
    store
        .append(&batch(vec![started(1), checkpoint(1), raised(1, 2)]))
        .unwrap();
    let other =
        rusqlite::Connection::open_with_flags(&path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let (kinds, generation): (String, i64) = other
        .query_row(
            "SELECT group_concat(kind, ' '), max(json_extract(body, '$.generation')) FROM record",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    assert_eq!((kinds.as_str(), generation), ("started checkpoint raised", 2));
    store.append(&batch(vec![raised(1, 3)])).unwrap();
}

#[test]
fn history_is_forgotten_beyond_its_records() {
    let (_folder, path) = folder();
    let mut store = open(&path).unwrap().store;
    store.set_bounds(Bounds {
        records: 10,
        octets: u64::MAX,
        at_once: 30,
    });
    store.append(&batch(vec![started(1)])).unwrap();
    store
        .append(&batch((0..100).map(|n| raised(1, n)).collect()))
        .unwrap();
    store.compact().unwrap();
    assert_eq!(
        store.read(0, 1000).unwrap().len(),
        101,
        "nothing is history without a checkpoint"
    );
    store
        .append(&batch(vec![started(2), checkpoint(1), raised(1, 1_000)]))
        .unwrap();
    store.compact().unwrap();
    assert_eq!(store.read(0, 1000).unwrap().len(), 104 - 30, "some at a time");
    for _ in 0..5 {
        store.compact().unwrap();
    }
    let left = store.read(0, 1000).unwrap();
    assert_eq!(left.first().unwrap().seq, 103 - 10);
    assert_eq!(left.len(), 12);
    drop(store);
    let recovered = open(&path).unwrap().recovered;
    assert_eq!(recovered.records, [checkpoint(1), raised(1, 1_000)]);
    assert_eq!(recovered.clock.unwrap().scale, 5);
}

#[test]
fn history_is_forgotten_beyond_its_octets_and_the_file_stops_growing() {
    let (_folder, path) = folder();
    let mut store = open(&path).unwrap().store;
    store.set_bounds(Bounds {
        records: u64::MAX,
        octets: 300_000,
        at_once: u64::MAX,
    });
    let mut sizes = Vec::new();
    for round in 0..60 {
        let mut records = vec![started(round)];
        records.extend((0..200).map(|n| raised(round, n)));
        records.push(checkpoint(round));
        store.append(&batch(records)).unwrap();
        store.compact().unwrap();
        sizes.push(std::fs::metadata(&path).unwrap().len());
    }
    assert!(*sizes.last().unwrap() < 1_000_000, "{sizes:?}");
    drop(store);
    let recovered = open(&path).unwrap().recovered;
    assert_eq!(recovered.records, [checkpoint(59)]);
    assert!(recovered.clock.is_some(), "the last start is never forgotten");
}

#[test]
fn every_batch_is_synced_to_the_disk() {
    let (_folder, path) = folder();
    let store = open(&path).unwrap().store;
    assert_eq!(store.pragma("journal_mode"), "wal");
    assert_eq!(store.pragma("synchronous"), "2", "FULL: a sync at each commit");
}
