//! Control groups on made-up trees of both versions, and on this machine's own where the test may make one (as root).

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::tree::{CGROUP_ROOT, Freezer};
use super::*;
use crate::drivers::ActivityDriver;
use crate::drivers::process::{DenyList, ProcessTable};
use crate::engine::ActionOutcome;
use crate::engine::facts::ActivityState;

/// A group that a real machine has nowhere.
const GROUP: &str = "/machine.slice/libpod-0123.scope";

fn write(folder: &Path, file: &str, text: &str) {
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join(file), text).unwrap();
}

/// Version 2 alone.
fn second() -> (TempDir, PathBuf) {
    let tree = tempfile::tempdir().unwrap();
    write(tree.path(), "cgroup.controllers", "cpu memory\n");
    let group = tree.path().join(&GROUP[1..]);
    write(&group, "cgroup.freeze", "0\n");
    write(&group, "cgroup.events", "populated 1\nfrozen 0\n");
    write(&group, "cgroup.procs", "11\n12\n");
    write(&group.join("below"), "cgroup.procs", "13\n");
    write(
        &group,
        "cpu.stat",
        "usage_usec 4500000\nuser_usec 4000000\nsystem_usec 500000\n",
    );
    write(&group, "memory.current", "1048576\n");
    (tree, group)
}

/// Version 1, with version 2 beside it that has no controllers: its own files win, the rest is version 1's.
fn hybrid() -> (TempDir, PathBuf) {
    let tree = tempfile::tempdir().unwrap();
    write(&tree.path().join("unified"), "cgroup.controllers", "\n");
    write(
        &tree.path().join("unified").join(&GROUP[1..]),
        "cgroup.procs",
        "21\n",
    );
    let of = |controller: &str| tree.path().join(controller).join(&GROUP[1..]);
    write(&of("freezer"), "freezer.state", "THAWED\n");
    write(&of("freezer"), "cgroup.procs", "22\n");
    write(&of("cpuacct"), "cpuacct.usage", "7000000000\n");
    write(&of("memory"), "memory.usage_in_bytes", "2097152\n");
    let group = of("freezer");
    (tree, group)
}

#[test]
fn readings_come_from_whichever_hierarchy_has_them() {
    let (tree, folder) = second();
    let group = CgroupRoot::new(tree.path()).group(GROUP);
    assert_eq!(group.processes().unwrap(), [11, 12, 13].into());
    assert_eq!(
        (group.cpu_micros(), group.memory_octets()),
        (Some(4_500_000), Some(1 << 20))
    );
    assert_eq!(group.freezer().unwrap(), Some(Freezer::Thawed));
    group.freeze(true).unwrap();
    assert_eq!(fs::read_to_string(folder.join("cgroup.freeze")).unwrap(), "1");
    assert_eq!(
        group.freezer().unwrap(),
        Some(Freezer::Freezing),
        "it was asked for, and is not so yet"
    );
    write(&folder, "cgroup.events", "populated 1\nfrozen 1\n");
    assert_eq!(group.freezer().unwrap(), Some(Freezer::Frozen));

    let (tree, folder) = hybrid();
    let group = CgroupRoot::new(tree.path()).group(GROUP);
    assert_eq!(group.processes().unwrap(), [21, 22].into());
    assert_eq!(
        (group.cpu_micros(), group.memory_octets()),
        (Some(7_000_000), Some(2 << 20))
    );
    group.freeze(true).unwrap();
    assert_eq!(
        fs::read_to_string(folder.join("freezer.state")).unwrap(),
        "FROZEN"
    );
    assert_eq!(group.freezer().unwrap(), Some(Freezer::Frozen));
    for (word, state) in [("THAWED\n", Freezer::Thawed), ("FREEZING\n", Freezer::Freezing)] {
        write(&folder, "freezer.state", word);
        assert_eq!(group.freezer().unwrap(), Some(state));
    }
    write(&folder, "freezer.state", "MELTING\n");
    let error = group.freezer().unwrap_err().to_string();
    assert!(
        error.ends_with("freezer.state: \"MELTING\" is no state of a freezer"),
        "{error}"
    );
}

#[test]
fn a_container_is_found_by_the_beginning_of_its_identifier_under_any_runtime() {
    let (tree, _) = second();
    let id = |digit: &str| digit.repeat(64);
    let root = CgroupRoot::new(tree.path());
    for (path, digit) in [
        (format!("system.slice/docker-{}.scope", id("a")), "a"),
        (format!("docker/{}", id("b")), "b"),
        (
            format!(
                "kubepods.slice/kubepods-pod1.slice/cri-containerd-{}.scope",
                id("c")
            ),
            "c",
        ),
        (format!("machine.slice/libpod-{}.scope", id("d")), "d"),
    ] {
        write(&tree.path().join(&path), "cgroup.procs", "7\n");
        let found = root.container(&digit.repeat(12)).unwrap().unwrap();
        assert_eq!(found.label(), format!("control group /{path}"));
    }
    assert_eq!(root.container(&"e".repeat(12)).unwrap(), None);
    // Names that only look like one.
    write(&tree.path().join("docker-aaaaaaaaaaaa.scope"), "cgroup.procs", "");
    assert!(root.container(&"a".repeat(12)).unwrap().is_some());
    let twin = format!("docker/{}1", "b".repeat(63));
    write(&tree.path().join(&twin), "cgroup.procs", "8\n");
    let error = root.container(&"b".repeat(12)).unwrap_err().to_string();
    assert!(error.contains("more than one container begins with"), "{error}");
    assert!(root.container(&"b".repeat(64)).unwrap().is_some());
}

#[test]
fn a_freezer_that_is_missing_or_not_ours_is_told() {
    let (tree, folder) = second();
    let root = CgroupRoot::new(tree.path());
    assert_eq!(root.group(GROUP).freezer_problem(), None);
    fs::remove_file(folder.join("cgroup.freeze")).unwrap();
    let problem = root.group(GROUP).freezer_problem().unwrap();
    assert_eq!(
        problem,
        format!("control group {GROUP} has no freezer in any hierarchy")
    );
    assert!(!root.group("/nowhere").exists());
}

fn activity(root: &CgroupRoot, which: Which, stop_by: StopBy, grace: Duration) -> CgroupActivity {
    let own = i32::try_from(std::process::id()).unwrap();
    CgroupActivity::new(
        root.clone(),
        which,
        stop_by,
        Rc::new(ProcessTable::of_this_machine()),
        Rc::new(DenyList::new(own, true, Vec::new())),
        grace,
        Duration::from_secs(20),
    )
}

/// A group on this machine with a process in it; both go with it.
struct Real {
    folders: Vec<PathBuf>,
    path: String,
    child: Child,
}

impl Real {
    /// `None`, and said so, where this user may make no control group.
    fn new(hierarchy: &str, name: &str) -> Option<Self> {
        // Not the same in two hierarchies: it would be one group.
        let path = format!("/pep-agent-test-{}-{name}-{hierarchy}", std::process::id());
        let folder = Path::new(CGROUP_ROOT).join(hierarchy).join(&path[1..]);
        if let Err(error) = fs::create_dir(&folder) {
            let is_root = rustix::process::geteuid().is_root();
            assert!(!is_root || !folder.parent().unwrap().is_dir(), "as root: {error}");
            eprintln!("not tested here: no control group below {hierarchy:?}: {error}");
            return None;
        }
        let child = Command::new("sleep").arg("600").spawn().unwrap();
        fs::write(folder.join("cgroup.procs"), child.id().to_string()).unwrap();
        Some(Self {
            folders: vec![folder],
            path,
            child,
        })
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        for folder in &self.folders {
            // One that is frozen dies when it is thawed.
            let _ = fs::write(folder.join("cgroup.freeze"), "0");
            let _ = fs::write(folder.join("freezer.state"), "THAWED");
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        let end = Instant::now() + Duration::from_secs(10);
        for folder in &self.folders {
            while fs::remove_dir(folder).is_err() && folder.exists() && Instant::now() < end {
                std::thread::yield_now();
            }
        }
    }
}

async fn freezes_and_thaws(hierarchy: &str) {
    let Some(real) = Real::new(hierarchy, "freeze") else {
        return;
    };
    let root = CgroupRoot::new(CGROUP_ROOT);
    let which = Which::Path(real.path.clone());
    let mut work = activity(&root, which, StopBy::Freezing, Duration::from_secs(20));
    assert_eq!(work.read().await.unwrap().state, ActivityState::Running);
    assert_eq!(work.stop(false).await, ActionOutcome::Done(String::new()));
    assert_eq!(work.read().await.unwrap().state, ActivityState::Stopped);
    assert_eq!(
        work.stop(false).await,
        ActionOutcome::Done("stopped already".to_owned())
    );
    assert_eq!(work.start(false).await, ActionOutcome::Done(String::new()));
    assert_eq!(work.read().await.unwrap().state, ActivityState::Running);
}

#[tokio::test]
async fn a_real_group_of_version_1_freezes_and_thaws() {
    freezes_and_thaws("freezer").await;
}

#[tokio::test]
async fn a_real_group_of_version_2_freezes_and_thaws() {
    let beside = Path::new(CGROUP_ROOT).join("unified").is_dir();
    freezes_and_thaws(if beside { "unified" } else { "" }).await;
}

#[tokio::test]
async fn a_real_group_is_ended_and_one_with_the_agent_in_it_is_not_touched() {
    let beside = Path::new(CGROUP_ROOT).join("unified").is_dir();
    let Some(mut real) = Real::new(if beside { "unified" } else { "" }, "end") else {
        return;
    };
    let root = CgroupRoot::new(CGROUP_ROOT);
    let which = Which::Path(real.path.clone());
    let ending = StopBy::Ending { start: None };
    let mut work = activity(&root, which, ending.clone(), Duration::from_secs(20));
    // Its parent has to wait for it, or it stays as a zombie in the group.
    let waiter = async {
        loop {
            if real.child.try_wait().unwrap().is_some() {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    let (outcome, ()) = tokio::join!(work.stop(false), waiter);
    assert_eq!(outcome, ActionOutcome::Done("1 process ended".to_owned()));
    assert_eq!(work.read().await.unwrap().state, ActivityState::Absent);

    // The group of this very process: named too wide.
    let own = fs::read_to_string("/proc/self/cgroup").unwrap();
    let own = own.lines().find_map(|line| line.strip_prefix("0::")).unwrap();
    let mut wide = activity(&root, Which::Path(own.to_owned()), ending, Duration::from_secs(1));
    assert!(matches!(wide.stop(false).await, ActionOutcome::Refused(_)));
    assert!(wide.read().await.unwrap().denied.is_some());
}
