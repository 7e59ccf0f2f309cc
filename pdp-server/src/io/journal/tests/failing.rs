//! Disks that fail while the PDP runs.

use std::sync::mpsc;

use super::*;
use crate::io::journal::file::beside;

#[test]
fn a_full_disk_keeps_all_of_a_batch_or_nothing() {
    let (_folder, path) = folder();
    let mut store = open(&path).unwrap().store;
    store.append(&batch(vec![started(1)])).unwrap();
    let many = || batch((0..3_000).map(|n| raised(1, n)).collect());
    store.set_max_pages(20);
    let error = store.append(&many()).unwrap_err();
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    assert!(error.to_string().contains("journal.sqlite"), "{error}");
    assert_eq!(store.read(0, 10_000).unwrap().len(), 1);
    let error = store.probe(200_000).unwrap_err();
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    assert_eq!(store.probe(100).unwrap(), None, "a small one finds room");
    store.set_max_pages(100_000);
    assert_eq!(store.probe(200_000).unwrap(), None);
    store.append(&many()).unwrap();
    assert_eq!(store.read(0, 10_000).unwrap().len(), 3_001);
}

/// A small file system of its own, if this user may have one.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn new(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(folder.path())
            .stderr(std::process::Stdio::null())
            .status();
        mounted.is_ok_and(|s| s.success()).then(|| Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = std::process::Command::new("umount")
            .arg("-l")
            .arg(self.0.path())
            .status();
        assert!(unmounted.is_ok_and(|s| s.success()), "umount");
    }
}

#[test]
fn a_disk_that_is_really_full_is_told_as_such() {
    let Some(disk) = SmallDisk::new("400k") else {
        eprintln!("no file system of its own for this user; `a_full_disk_...` stands in");
        return;
    };
    let path = disk.0.path().join("journal.sqlite");
    let mut store = open(&path).unwrap().store;
    store.append(&batch(vec![started(1)])).unwrap();
    let error = (0u64..100)
        .find_map(|n| {
            let records = (0..200).map(|g| raised(n, g)).collect();
            store.append(&batch(records)).err()
        })
        .expect("400 KiB are full at some time");
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    let kept = store.read(0, 100_000).unwrap().len();
    assert_eq!(kept % 200, 1, "batches are whole");
}

#[test]
fn a_full_disk_is_no_reason_not_to_start() {
    let Some(disk) = SmallDisk::new("2m") else {
        eprintln!("no file system of its own for this user");
        return;
    };
    let closed = disk.0.path().join("journal.sqlite");
    // As kill -9 leaves one: with its log.
    let killed = disk.0.path().join("killed.sqlite");
    let mut store = open(&closed).unwrap().store;
    store.append(&batch(vec![started(1), raised(1, 7)])).unwrap();
    for suffix in ["", "-wal"] {
        std::fs::copy(beside(&closed, suffix), beside(&killed, suffix)).unwrap();
    }
    drop(store);
    // Once opened before, so that their locks are there.
    for path in [&closed, &killed] {
        std::fs::write(beside(path, ".lock"), "").unwrap();
    }
    let ballast = disk.0.path().join("ballast");
    assert!(std::fs::write(&ballast, vec![0u8; 3_000_000]).is_err());

    let mut stores: Vec<SqliteStore> = [&closed, &killed]
        .into_iter()
        .map(|path| {
            let opened = open(path).unwrap();
            assert_eq!(opened.recovered.records, [started(1), raised(1, 7)]);
            opened.store
        })
        .collect();
    for store in &mut stores {
        let error = store.append(&batch(vec![raised(1, 8)])).unwrap_err();
        assert!(matches!(error, StoreError::Full { .. }), "{error}");
        assert!(store.probe(100).is_err());
    }
    let error = open(&disk.0.path().join("new.sqlite")).unwrap_err();
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    assert!(!disk.0.path().join("new.sqlite").exists());

    std::fs::remove_file(&ballast).unwrap();
    for store in &mut stores {
        store.probe(100_000).unwrap();
        store.append(&batch(vec![checkpoint(9)])).unwrap();
    }
    drop(stores);
    for path in [&closed, &killed] {
        assert_eq!(open(path).unwrap().recovered.records, [checkpoint(9)]);
    }
}

#[test]
fn a_file_that_is_removed_while_in_use_is_noticed_and_made_anew() {
    let (_folder, path) = folder();
    let mut store = open(&path).unwrap().store;
    store.append(&batch(vec![started(1), raised(1, 2)])).unwrap();
    for file in ["journal.sqlite", "journal.sqlite-wal", "journal.sqlite-shm"] {
        std::fs::remove_file(path.with_file_name(file)).unwrap();
    }
    let error = store.append(&batch(vec![raised(1, 3)])).unwrap_err();
    assert!(matches!(error, StoreError::Replaced { .. }), "{error}");
    assert_eq!(store.probe(10).unwrap(), None);
    store.append(&batch(vec![started(1), checkpoint(3)])).unwrap();
    drop(store);
    assert_eq!(open(&path).unwrap().recovered.records, [checkpoint(3)]);
}

#[test]
fn a_file_put_in_its_place_is_never_written_to() {
    let (folder, path) = folder();
    let mut store = SqliteStore::open(&path, OnUnreadable::SetAside).unwrap().store;
    store.append(&batch(vec![started(1)])).unwrap();
    let mine = folder.path().join("mine");
    std::fs::write(&mine, "precious").unwrap();
    std::fs::rename(&mine, &path).unwrap();
    assert!(store.append(&batch(vec![raised(1, 3)])).is_err());
    let set_aside = store.probe(10).unwrap().unwrap();
    assert_eq!(std::fs::read_to_string(&set_aside.to).unwrap(), "precious");
    store.append(&batch(vec![started(1), checkpoint(3)])).unwrap();
    drop(store);
    assert_eq!(open(&path).unwrap().recovered.records, [checkpoint(3)]);
}

/// A store that fails, or hangs, as it is told.
#[derive(Clone, Default)]
struct FakeStore(Arc<Mutex<Fake>>);

#[derive(Default)]
struct Fake {
    kept: Vec<Record>,
    fails: bool,
    tried: usize,
    probed: Vec<usize>,
    /// The next append waits for this.
    hang: Option<mpsc::Receiver<()>>,
}

fn full() -> StoreError {
    StoreError::Full {
        path: PathBuf::from("/fake"),
        detail: "full".to_owned(),
    }
}

impl FakeStore {
    fn with<T>(&self, f: impl FnOnce(&mut Fake) -> T) -> T {
        f(&mut self.0.lock().unwrap())
    }
}

impl Store for FakeStore {
    fn append(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let hang = self.with(|f| {
            f.tried += 1;
            f.hang.take()
        });
        if let Some(hang) = hang {
            let _ = hang.recv();
        }
        self.with(|f| {
            if f.fails {
                return Err(full());
            }
            f.kept.extend(batch.records.iter().cloned());
            Ok(())
        })
    }

    fn recover(&mut self) -> Result<Recovered, StoreError> {
        Ok(Recovered::default())
    }

    fn read(&mut self, _: u64, _: usize) -> Result<Vec<Stored>, StoreError> {
        Ok(Vec::new())
    }

    fn compact(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    fn probe(&mut self, octets: usize) -> Result<Option<SetAside>, StoreError> {
        self.with(|f| {
            f.probed.push(octets);
            if f.fails { Err(full()) } else { Ok(None) }
        })
    }
}

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(5);

#[tokio::test]
async fn after_a_failure_nothing_is_kept_before_a_checkpoint() {
    let fake = FakeStore::default();
    let mut journal = Journal::start_with(fake.clone(), LONG, SHORT).unwrap();
    journal.append(1, vec![raised(1, 1)]).await.unwrap();
    fake.with(|f| f.fails = true);
    assert_eq!(journal.append(2, vec![raised(1, 2)]).await, Err(full()));
    let tried = fake.with(|f| f.tried);
    assert_eq!(journal.append(3, vec![raised(1, 3)]).await, Err(full()));
    assert_eq!(fake.with(|f| f.tried), tried, "no decision waits for a dead disk");
    // A checkpoint is tried, and fails as well.
    assert_eq!(journal.append(4, vec![checkpoint(3)]).await, Err(full()));
    fake.with(|f| f.fails = false);
    journal.recovered().await;
    assert_eq!(
        journal.append(5, vec![raised(1, 4)]).await,
        Err(full()),
        "there is still a hole"
    );
    let healing = vec![raised(1, 5), checkpoint(5), raised(1, 6)];
    journal.append(6, healing).await.unwrap();
    journal.append(7, vec![raised(1, 7)]).await.unwrap();
    let expected = [raised(1, 1), checkpoint(5), raised(1, 6), raised(1, 7)];
    assert_eq!(fake.with(|f| f.kept.clone()), expected);
    let largest = serde_json::to_vec(&checkpoint(3)).unwrap().len();
    assert_eq!(
        fake.with(|f| f.probed.last().copied()),
        Some(largest),
        "probed with as much as it failed on"
    );
    journal.close().await.unwrap();
}

#[tokio::test]
async fn a_disk_that_hangs_holds_up_one_batch_only() {
    let fake = FakeStore::default();
    let mut journal = Journal::start_with(fake.clone(), Duration::from_millis(50), SHORT).unwrap();
    let (release, hang) = mpsc::channel();
    fake.with(|f| f.hang = Some(hang));
    let slow = Err(StoreError::Slow { patience_millis: 50 });
    assert_eq!(journal.append(1, vec![raised(1, 1)]).await, slow);
    // Not even a checkpoint waits while the first batch hangs.
    let journal_patience = journal.patience;
    journal.patience = LONG;
    assert_eq!(journal.append(2, vec![raised(1, 2)]).await, slow);
    assert_eq!(journal.append(3, vec![checkpoint(2)]).await, slow);
    release.send(()).unwrap();
    journal.recovered().await;
    journal.append(4, vec![checkpoint(3)]).await.unwrap();
    journal.append(5, vec![raised(1, 4)]).await.unwrap();
    journal.patience = journal_patience;
    assert_eq!(
        fake.with(|f| f.kept.clone()),
        [raised(1, 1), checkpoint(3), raised(1, 4)]
    );
    journal.close().await.unwrap();
}

#[tokio::test]
async fn works_with_a_real_file_from_full_to_healed() {
    let (_folder, path) = folder();
    let opened = open(&path).unwrap();
    opened.store.set_max_pages(20);
    // What is small still fits, what is large does not.
    let mut journal = Journal::start_with(opened.store, LONG, SHORT).unwrap();
    let reader = journal.reader();
    journal.append(1, vec![started(1)]).await.unwrap();
    let large = (0..3_000).map(|n| raised(1, n)).collect();
    assert!(matches!(
        journal.append(2, large).await,
        Err(StoreError::Full { .. })
    ));
    assert!(journal.append(3, vec![raised(1, 1)]).await.is_err());
    journal.append(4, vec![checkpoint(7)]).await.unwrap();
    journal.append(5, vec![raised(1, 8)]).await.unwrap();
    assert_eq!(reader.read(0, 10).await.unwrap().len(), 3);
    drop(reader);
    journal.close().await.unwrap();
    assert_eq!(
        open(&path).unwrap().recovered.records,
        [checkpoint(7), raised(1, 8)]
    );
}
