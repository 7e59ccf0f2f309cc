//! What is there when a journal is opened.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::io::journal::file::beside;

/// Opening fails, says which file, and leaves it as it is.
fn refuses(path: &Path) -> StoreError {
    let before = std::fs::read(path).unwrap();
    let error = open(path).unwrap_err();
    assert!(
        error.to_string().contains("journal.sqlite"),
        "which file? {error}"
    );
    assert_eq!(std::fs::read(path).unwrap(), before, "the file was touched");
    error
}

#[test]
fn a_new_one_is_for_its_owner_only() {
    let (_folder, path) = folder();
    let opened = open(&path).unwrap();
    assert_eq!(opened.set_aside, None);
    for file in [path.clone(), beside(&path, "-wal")] {
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
}

#[test]
fn a_foreign_file_is_refused_untouched() {
    let (_folder, path) = folder();
    for contents in [
        b"my only copy of something".to_vec(),
        vec![b'#'; 100_000],
        b"SQLite".to_vec(),
    ] {
        std::fs::write(&path, contents).unwrap();
        let error = refuses(&path);
        assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
    }
}

#[test]
fn another_programs_database_is_refused_untouched() {
    let (_folder, path) = folder();
    let other = rusqlite::Connection::open(&path).unwrap();
    other
        .execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE record (seq INTEGER PRIMARY KEY); PRAGMA application_id = 99;")
        .unwrap();
    other.close().unwrap();
    let error = refuses(&path);
    assert!(error.to_string().contains("application id 0x00000063"), "{error}");
    assert!(error.is_unreadable());
}

#[test]
fn a_later_format_is_refused_untouched() {
    let (_folder, path) = folder();
    make(&path, vec![started(1)]);
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("PRAGMA user_version = 3;").unwrap();
    other.close().unwrap();
    let error = refuses(&path);
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
}

#[test]
fn an_unreadable_file_is_set_aside_if_the_configuration_says_so() {
    let (folder, path) = folder();
    for (n, contents) in ["first", "second"].iter().enumerate() {
        let _ = std::fs::remove_file(&path);
        for companion in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(beside(&path, companion));
        }
        std::fs::write(&path, contents).unwrap();
        std::fs::write(beside(&path, "-wal"), "its log").unwrap();
        let mut opened = SqliteStore::open(&path, OnUnreadable::SetAside).unwrap();
        let set_aside = opened.set_aside.unwrap();
        let to = folder
            .path()
            .canonicalize()
            .unwrap()
            .join(format!("journal.sqlite.unreadable-{}", n + 1));
        assert_eq!(set_aside.to, to);
        assert!(
            set_aside.reason.contains("no journal of this program"),
            "{set_aside}"
        );
        assert_eq!(std::fs::read_to_string(&to).unwrap(), *contents);
        assert_eq!(std::fs::read_to_string(beside(&to, "-wal")).unwrap(), "its log");
        assert_eq!(opened.recovered, Recovered::default());
        opened.store.append(&batch(vec![started(1)])).unwrap();
    }
}

#[test]
fn a_good_journal_is_never_set_aside() {
    let (folder, path) = folder();
    make(&path, vec![started(1), raised(1, 5)]);
    let opened = SqliteStore::open(&path, OnUnreadable::SetAside).unwrap();
    assert_eq!(opened.set_aside, None);
    assert_eq!(opened.recovered.records.len(), 2);
    // Being in use is no reason either.
    let error = SqliteStore::open(&path, OnUnreadable::SetAside).unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    let names: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(!names.iter().any(|n| n.contains("unreadable")), "{names:?}");
}

#[test]
fn a_second_pdp_is_kept_out_and_told_by_whom() {
    let (_folder, path) = folder();
    let first = open(&path).unwrap();
    let error = open(&path).unwrap_err();
    let expected = format!("in use by another PDP (process {})", std::process::id());
    assert!(error.to_string().contains(&expected), "{error}");
    drop(first);
    open(&path).unwrap();
}

#[test]
fn a_link_leads_to_the_same_journal() {
    let (folder, path) = folder();
    make(&path, vec![started(1)]);
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let opened = open(&link).unwrap();
    assert_eq!(opened.recovered.records.len(), 1);
    assert!(matches!(open(&path), Err(StoreError::InUse { .. })));
}

#[test]
fn another_tool_that_writes_is_named_as_the_reason() {
    let (_folder, path) = folder();
    make(&path, vec![started(1)]);
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = open(&path).unwrap_err();
    assert!(error.to_string().contains("in use by another program"), "{error}");
    other.execute_batch("ROLLBACK").unwrap();
    open(&path).unwrap();
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let temporary = tempfile::tempdir().unwrap();
    // Root may write anywhere but where the file system itself refuses.
    let folder = if rustix::process::geteuid().is_root() {
        PathBuf::from("/sys")
    } else {
        std::fs::set_permissions(temporary.path(), std::fs::Permissions::from_mode(0o500)).unwrap();
        temporary.path().canonicalize().unwrap()
    };
    let error = open(&folder.join("journal.sqlite")).unwrap_err();
    assert!(matches!(error, StoreError::ReadOnly { .. }), "{error}");
    assert!(
        error
            .to_string()
            .starts_with(&format!("{}/journal.sqlite", folder.display())),
        "{error}"
    );
}

#[test]
fn a_missing_folder_and_a_folder_in_its_place_are_named() {
    let (folder, path) = folder();
    let error = open(&folder.path().join("none/journal.sqlite")).unwrap_err();
    assert!(
        error.to_string().contains("/none: the journal's folder"),
        "{error}"
    );
    std::fs::create_dir(&path).unwrap();
    let error = SqliteStore::open(&path, OnUnreadable::SetAside).unwrap_err();
    assert!(error.to_string().contains("not a regular file"), "{error}");
    assert!(path.is_dir());
}

#[test]
fn a_half_made_one_is_made_anew() {
    let (_folder, path) = folder();
    std::fs::write(beside(&path, ".new"), "half").unwrap();
    std::fs::write(beside(&path, ".new-journal"), "half").unwrap();
    make(&path, vec![started(1)]);
    assert!(!beside(&path, ".new").exists());
    assert_eq!(open(&path).unwrap().recovered.records.len(), 1);
}
