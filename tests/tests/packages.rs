//! The Debian packages: packed as `make debs` packs them, installed with dpkg, their units' command lines run as their
//! users, upgraded, removed, purged. `tests/packages/install.sh` does it within an overlay of this machine's root folder,
//! in a mount namespace of its own.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .unwrap()
}

/// Packs what the tests have built (the dev profile) as a given revision of the version.
fn pack(folder: &Path, revision: u32) {
    let output = Command::new("make")
        .current_dir(workspace())
        .args(["debs-of-built", "DEBS_PROFILE=dev"])
        .arg(format!("DEBS_FOLDER={}", folder.display()))
        .arg(format!("DEBS_REVISION={revision}"))
        .output()
        .unwrap();
    assert!(output.status.success(), "make debs: {}", told(&output));
}

fn told(output: &Output) -> String {
    format!(
        "{}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// What the script tells at each stage that it has come through.
const STAGES: [&str; 8] = [
    "== installing",
    "== units",
    "== the PDP as its unit runs it",
    "== the agent as its unit runs it",
    "== upgrading",
    "== removing",
    "== purging",
    "== done",
];

#[test]
fn packages_are_installed_run_upgraded_with_their_state_and_purged() {
    let folder = tempfile::tempdir().unwrap();
    let (first, later, scratch) = (
        folder.path().join("first"),
        folder.path().join("later"),
        folder.path().join("scratch"),
    );
    for made in [&first, &later, &scratch] {
        std::fs::create_dir(made).unwrap();
    }
    pack(&first, 1);
    pack(&later, 2);
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "private"])
        .arg(workspace().join("tests/packages/install.sh"))
        .args([&first, &later, &scratch])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", told(&output));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let stages: Vec<&str> = printed.lines().filter(|line| line.starts_with("== ")).collect();
    assert_eq!(stages, STAGES, "{}", told(&output));
}
