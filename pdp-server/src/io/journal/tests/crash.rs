//! kill -9 in the middle of appending: what was confirmed is there, batches are whole, nothing is out of order.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use super::*;

const PATH_VARIABLE: &str = "PDP_JOURNAL_UNDER_TEST";
const RECORDS_A_BATCH: u64 = 3;

/// The process that is killed: appends for ever, and says what is durable.
#[test]
#[ignore = "started by `survives_kill_9` in a process of its own"]
fn appends_for_ever() {
    let Some(path) = std::env::var_os(PATH_VARIABLE) else {
        return;
    };
    let opened = open(Path::new(&path)).unwrap();
    let mut next = last_batch(&opened.recovered.records) + 1;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async move {
        let mut journal = Journal::start(opened.store).unwrap();
        loop {
            let mut records: Vec<Record> = (0..RECORDS_A_BATCH).map(|n| raised(next, n)).collect();
            if next % 10 == 1 {
                records.insert(0, started(next));
                records.insert(1, checkpoint(next));
            }
            journal.append(next, records).await.unwrap();
            println!("kept {next}");
            next += 1;
        }
    });
}

/// The batch of the last record, after looking whether all batches are whole and in order.
fn last_batch(records: &[Record]) -> u64 {
    let numbers: Vec<(u64, u64)> = records
        .iter()
        .filter_map(|r| match r {
            Record::Raised { term, generation } => Some((*term, *generation)),
            _ => None,
        })
        .collect();
    let first = numbers.first().map_or(1, |n| n.0);
    let expected: Vec<(u64, u64)> = (first..)
        .flat_map(|batch| (0..RECORDS_A_BATCH).map(move |n| (batch, n)))
        .take(numbers.len())
        .collect();
    assert_eq!(numbers, expected);
    assert_eq!(numbers.len() as u64 % RECORDS_A_BATCH, 0, "a part of a batch");
    numbers.last().map_or(0, |n| n.0)
}

#[test]
fn survives_kill_9() {
    let (_folder, path) = folder();
    let mut confirmed = 0;
    for round in 0..8 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "io::journal::tests::crash::appends_for_ever",
                "--ignored",
                "--nocapture",
            ])
            .env(PATH_VARIABLE, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let wanted = confirmed + 5 + 7 * round;
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut kept = |lines: &mut dyn Iterator<Item = std::io::Result<String>>, until: u64| {
            for line in lines {
                let line = line.unwrap();
                if let Some(n) = line.strip_prefix("kept ") {
                    confirmed = n.parse().unwrap();
                    if confirmed >= until {
                        return;
                    }
                }
            }
        };
        kept(&mut lines, wanted);
        child.kill().unwrap();
        child.wait().unwrap();
        // What it had said before it was killed.
        kept(&mut lines, u64::MAX);
        assert!(confirmed >= wanted, "the appending process ended by itself");

        let mut opened = open(&path).unwrap();
        let last = last_batch(&opened.recovered.records);
        assert!(
            last == confirmed || last == confirmed + 1,
            "batch {confirmed} was confirmed, batch {last} is the last one there"
        );
        let all: Vec<Record> = opened
            .store
            .read(0, usize::MAX)
            .unwrap()
            .into_iter()
            .map(|s| s.record)
            .collect();
        assert_eq!(last_batch(&all), last);
        confirmed = last;
    }
}
