use std::fs;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use power_policy::grouping::Glob;
use power_policy::model::Name;
use tempfile::TempDir;

use super::*;
use crate::drivers::ActivityDriver;
use crate::engine::ActionOutcome;
use crate::engine::facts::ActivityState;

/// Adds a process to a made-up tree.
fn put(root: &Path, pid: i32, parent: i32, comm: &str, cmdline: &str, uid: u32) {
    let folder = root.join(pid.to_string());
    fs::create_dir_all(&folder).unwrap();
    let started = 100 + i64::from(pid);
    let stat = format!("{pid} ({comm}) S {parent} 1 1 0 -1 4194304 1 0 0 0 1 1 0 0 20 0 1 0 {started} 1 1\n");
    fs::write(folder.join("stat"), stat).unwrap();
    fs::write(folder.join("cmdline"), cmdline.replace(' ', "\0")).unwrap();
    fs::write(
        folder.join("status"),
        format!("Name:\t{comm}\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\n"),
    )
    .unwrap();
    fs::write(
        folder.join("cgroup"),
        format!("0::/system.slice/{comm}.service\n"),
    )
    .unwrap();
    std::os::unix::fs::symlink(format!("/usr/bin/{comm}"), folder.join("exe")).unwrap();
}

fn tree() -> (TempDir, Rc<ProcessTable>) {
    let folder = TempDir::new().unwrap();
    let root = folder.path();
    put(root, 1, 0, "systemd", "/sbin/init", 0);
    put(root, 90, 1, "sshd", "sshd: /usr/sbin/sshd -D", 0);
    put(root, 200, 1, "worker", "/usr/bin/worker --queue bulk", 1001);
    put(root, 201, 200, "worker", "/usr/bin/worker --queue gold", 1001);
    put(root, 300, 90, "odd ) name", "odd (x) y", 4242);
    put(root, 400, 90, "bash", "-bash", 1001);
    put(root, 401, 400, "agent", "pep-agent run", 0);
    fs::write(root.join("uptime"), "1 1").unwrap();
    fs::write(
        root.join("passwd"),
        "root:x:0:0::/root:/bin/sh\nbatch:x:1001:1001::/:/bin/false\nbroken\n",
    )
    .unwrap();
    let table = Rc::new(ProcessTable::new(root, root.join("passwd")));
    (folder, table)
}

fn glob(text: &str) -> Option<Glob> {
    Some(Glob::new(text).unwrap())
}

fn pids(table: &ProcessTable, pattern: &Pattern) -> Vec<i32> {
    table
        .scan()
        .unwrap()
        .iter()
        .filter(|p| pattern.matches(p))
        .map(|p| p.pid)
        .collect()
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

#[test]
fn reads_a_process_table() {
    let (_folder, table) = tree();
    let all = table.scan().unwrap();
    assert_eq!(
        all.iter().map(|p| p.pid).collect::<Vec<_>>(),
        [1, 90, 200, 201, 300, 400, 401]
    );
    let worker = &all[3];
    assert_eq!(
        *worker,
        Process {
            pid: 201,
            parent: 200,
            started: 301,
            comm: "worker".into(),
            cmdline: "/usr/bin/worker --queue gold".into(),
            exe: "/usr/bin/worker".into(),
            user: "batch".into(),
            cgroups: vec!["/system.slice/worker.service".into()],
            is_kernel: false,
        }
    );
    assert_eq!(
        (all[4].comm.as_str(), all[4].parent, all[4].user.as_str()),
        ("odd ) name", 90, "4242")
    );
}

#[test]
fn leaves_out_zombies_kernel_threads_and_what_is_broken() {
    let (folder, table) = tree();
    let root = folder.path();
    let stat = |pid: i32, text: &str| {
        fs::create_dir_all(root.join(pid.to_string())).unwrap();
        fs::write(root.join(pid.to_string()).join("stat"), text).unwrap();
    };
    stat(
        500,
        "500 (worker) Z 1 1 1 0 -1 4194304 1 0 0 0 1 1 0 0 20 0 1 0 7 1 1",
    );
    stat(
        501,
        "501 (worker) S 2 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 7 0 0",
    );
    for (pid, text) in [
        (502, ""),
        (503, "503 (worker"),
        (504, "504 (worker) S x"),
        (505, ")("),
        (506, "\u{0}\u{1}"),
    ] {
        stat(pid, text);
    }
    fs::create_dir_all(root.join("507")).unwrap();
    let pattern = Pattern {
        comm: glob("worker"),
        ..Pattern::default()
    };
    assert_eq!(pids(&table, &pattern), [200, 201]);
    assert!(table.scan().unwrap().iter().any(|p| p.pid == 501 && p.is_kernel));
    assert_eq!(table.started(500), None, "a zombie has ended");
}

#[test]
fn every_pattern_that_is_given_must_match() {
    let (_folder, table) = tree();
    let by = |pattern: Pattern| pids(&table, &pattern);
    let none: [i32; 0] = [];
    assert_eq!(
        by(Pattern {
            comm: glob("work*"),
            ..Pattern::default()
        }),
        [200, 201]
    );
    assert_eq!(
        by(Pattern {
            comm: glob("work*"),
            cmdline: glob("*bulk"),
            ..Pattern::default()
        }),
        [200]
    );
    assert_eq!(
        by(Pattern {
            exe: glob("/usr/bin/w*"),
            user: glob("root"),
            ..Pattern::default()
        }),
        none
    );
    assert_eq!(
        by(Pattern {
            exe: glob("/usr/bin/w*"),
            user: glob("batch"),
            ..Pattern::default()
        }),
        [200, 201]
    );
    assert_eq!(
        by(Pattern {
            cgroup: glob("/system.slice/worker.*"),
            ..Pattern::default()
        }),
        [200, 201]
    );
    assert_eq!(by(Pattern::default()), none, "no pattern is not every pattern");
    assert!(
        !Pattern {
            user: glob("batch"),
            ..Pattern::default()
        }
        .is_specific()
    );
}

#[test]
fn the_deny_list_holds_init_the_agent_its_parents_sshd_storage_and_upsd() {
    let (folder, table) = tree();
    put(folder.path(), 600, 1, "upsd", "upsd -F", 0);
    put(folder.path(), 601, 1, "multipathd", "multipathd", 0);
    put(folder.path(), 602, 1, "secret", "secret", 0);
    let all = table.scan().unwrap();
    let added = vec![Pattern {
        comm: glob("secret"),
        ..Pattern::default()
    }];
    let deny = DenyList::new(401, true, added.clone());
    let reasons: Vec<String> = all
        .iter()
        .filter_map(|process| deny.reason(process, &all))
        .collect();
    assert_eq!(
        reasons,
        [
            "systemd (process 1) is init",
            "sshd (process 90) started this agent",
            "bash (process 400) started this agent",
            "agent (process 401) is this agent",
            "upsd (process 600) is on the deny list",
            "multipathd (process 601) is on the deny list",
            "secret (process 602) is on the deny list",
        ]
    );
    let bare = DenyList::new(7, false, added);
    let denied: Vec<i32> = all
        .iter()
        .filter(|p| bare.reason(p, &all).is_some())
        .map(|p| p.pid)
        .collect();
    assert_eq!(denied, [1, 602]);
}

fn activity(
    table: &Rc<ProcessTable>,
    pattern: Pattern,
    start: Option<StartCommand>,
    grace: u64,
) -> ProcessActivity {
    let own = i32::try_from(std::process::id()).unwrap();
    let deny = Rc::new(DenyList::new(own, true, Vec::new()));
    let (grace, limit) = (Duration::from_millis(grace), Duration::from_secs(20));
    ProcessActivity::new(
        name("batch"),
        Rc::clone(table),
        deny,
        pattern,
        start,
        grace,
        limit,
    )
}

#[tokio::test]
async fn states_follow_the_table() {
    let (_folder, table) = tree();
    let start = StartCommand {
        argv: vec!["x".into()],
        directory: None,
        output: "/dev/null".into(),
    };
    let read = async |comm: &str, start: Option<StartCommand>| {
        let pattern = Pattern {
            comm: glob(comm),
            ..Pattern::default()
        };
        activity(&table, pattern, start, 1).read().await.unwrap()
    };
    assert_eq!(read("worker", None).await.state, ActivityState::Running);
    assert_eq!(read("nobody", Some(start)).await.state, ActivityState::Stopped);
    assert_eq!(read("nobody", None).await.state, ActivityState::Absent);
    let wide = read("*d", None).await;
    assert_eq!(
        wide.denied.as_deref(),
        Some("sshd (process 90) is on the deny list")
    );
}

#[tokio::test]
async fn nothing_is_signalled_by_the_numbers_of_a_made_up_tree() {
    let (_folder, table) = tree();
    let pattern = Pattern {
        comm: glob("worker"),
        ..Pattern::default()
    };
    let outcome = activity(&table, pattern, None, 1_000).stop(false).await;
    assert!(matches!(outcome, ActionOutcome::Refused(_)), "{outcome:?}");
}

/// A script of its own name in a folder of its own, so that no rule of a test can match anything else.
struct Script {
    folder: TempDir,
    argv: Vec<String>,
}

impl Script {
    fn new(text: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("work.sh");
        fs::write(&path, text).unwrap();
        let argv = vec!["/bin/sh".to_owned(), path.to_str().unwrap().to_owned()];
        Self { folder, argv }
    }

    fn pattern(&self) -> Pattern {
        Pattern {
            cmdline: glob(&format!("*{}*", self.argv[1])),
            ..Pattern::default()
        }
    }

    fn start(&self) -> StartCommand {
        StartCommand {
            argv: self.argv.clone(),
            directory: None,
            output: self.output(),
        }
    }

    fn output(&self) -> std::path::PathBuf {
        self.folder.path().join("logs").join("output")
    }

    fn activity(&self, grace: u64) -> ProcessActivity {
        activity(
            &Rc::new(ProcessTable::of_this_machine()),
            self.pattern(),
            Some(self.start()),
            grace,
        )
    }

    fn running(&self) -> Vec<Process> {
        let table = ProcessTable::of_this_machine();
        table
            .scan()
            .unwrap()
            .iter()
            .filter(|p| self.pattern().matches(p))
            .cloned()
            .collect()
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        for process in self.running() {
            let pid = rustix::process::Pid::from_raw(process.pid).unwrap();
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

async fn local<F: Future>(future: F) -> F::Output {
    tokio::task::LocalSet::new().run_until(future).await
}

#[tokio::test]
async fn starts_and_stops_a_real_process() {
    local(async {
        let script = Script::new("while :; do sleep 0.05; done\n");
        let mut activity = script.activity(10_000);
        assert_eq!(activity.read().await.unwrap().state, ActivityState::Stopped);
        let started = activity.start(false).await;
        assert!(
            matches!(&started, ActionOutcome::Done(note) if note.contains("runs as sh (process ")),
            "{started:?}"
        );
        assert_eq!(activity.read().await.unwrap().state, ActivityState::Running);
        assert_eq!(
            activity.start(false).await,
            ActionOutcome::Done("runs already".into())
        );
        let stopped = activity.stop(false).await;
        assert_eq!(stopped, ActionOutcome::Done("1 process ended".into()));
        assert_eq!(script.running(), []);
        assert_eq!(
            activity.stop(false).await,
            ActionOutcome::Done("stopped already".into())
        );
        assert_eq!(activity.read().await.unwrap().state, ActivityState::Stopped);
    })
    .await;
}

#[tokio::test]
async fn what_does_not_end_within_its_grace_is_reported_and_left_running() {
    local(async {
        let script = Script::new("trap '' TERM\necho ready\nwhile :; do sleep 0.05; done\n");
        let mut activity = script.activity(300);
        let started = activity.start(false).await;
        assert!(matches!(started, ActionOutcome::Done(_)), "{started:?}");
        // Ready when the trap stands: only then is SIGTERM ignored.
        while fs::read_to_string(script.output()).unwrap_or_default() != "ready\n" {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let outcome = activity.stop(false).await;
        let ActionOutcome::Failed(reason) = outcome else {
            panic!("{outcome:?}")
        };
        assert!(reason.contains("still run after 0 s"), "{reason}");
        assert_eq!(script.running().len(), 1, "never silently killed");
    })
    .await;
}

#[tokio::test]
async fn all_processes_of_a_group_are_asked() {
    local(async {
        let script = Script::new(
            "if [ -z \"$1\" ]; then sh $0 child & sh $0 child & fi\nwhile :; do sleep 0.05; done\n",
        );
        let mut activity = script.activity(10_000);
        activity.start(false).await;
        while script.running().len() < 3 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(
            activity.stop(false).await,
            ActionOutcome::Done("3 processes ended".into())
        );
        assert_eq!(script.running(), []);
    })
    .await;
}

#[tokio::test]
async fn a_command_that_ends_ill_is_a_failure_with_its_output_kept() {
    local(async {
        let script = Script::new("echo broken >&2\nexit 3\n");
        let mut start = script.start();
        start.argv = vec!["/bin/sh".into(), "-c".into(), "echo broken >&2; exit 3".into()];
        let table = Rc::new(ProcessTable::of_this_machine());
        let mut activity = activity(&table, script.pattern(), Some(start), 1_000);
        let outcome = activity.start(false).await;
        let ActionOutcome::Failed(reason) = outcome else {
            panic!("{outcome:?}")
        };
        assert!(reason.contains("exit status: 3"), "{reason}");
        assert_eq!(fs::read_to_string(script.output()).unwrap(), "broken\n");
        let missing = StartCommand {
            argv: vec!["/nonexistent/x".into()],
            ..script.start()
        };
        let mut activity = self::activity(&table, script.pattern(), Some(missing), 1_000);
        let outcome = activity.start(false).await;
        assert!(matches!(&outcome, ActionOutcome::Failed(reason) if reason.starts_with("/nonexistent/x: ")));
    })
    .await;
}
