//! The tutorial: every command on that page is run, in its order, by a shell in an empty folder.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_types,
    clippy::disallowed_methods
)]

use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use system_tests::process::program;

/// How long all of it may take, on a machine that has other work.
const PATIENCE: Duration = Duration::from_secs(300);

/// What the page has a reader type.
fn commands(page: &str) -> String {
    page.split("```sh\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect()
}

/// All that the shell started goes with it, however the test ends.
struct Group(Pid);

impl Drop for Group {
    fn drop(&mut self) {
        // It is gone already where all went well.
        let _ = kill_process_group(self.0, Signal::KILL);
    }
}

#[test]
fn whoever_types_what_the_tutorial_says_has_protected_a_cluster_of_three() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/tutorial.md");
    let page = std::fs::read_to_string(page).unwrap();
    // Where others work on the same machine the port may be taken.
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let script = commands(&page).replace("127.0.0.1:3288", &format!("127.0.0.1:{port}"));
    assert!(script.lines().count() > 150, "{script}");
    let bin = program("pdp-server").unwrap().parent().unwrap().to_owned();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("tutorial.log");
    let out = std::fs::File::create(&log).unwrap();
    let mut shell = Command::new("bash")
        .args(["-e", "-x", "-c", &script])
        .current_dir(folder.path())
        .env("PATH", path)
        .stdin(Stdio::null())
        .stdout(out.try_clone().unwrap())
        .stderr(out)
        .process_group(0)
        .spawn()
        .unwrap();
    let _group = Group(Pid::from_child(&shell));
    let deadline = Instant::now() + PATIENCE;
    let said = || std::fs::read_to_string(&log).unwrap_or_default();
    let status = loop {
        if let Some(status) = shell.try_wait().unwrap() {
            break status;
        }
        assert!(Instant::now() < deadline, "it does not end:\n{}", said());
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(status.success(), "{status}:\n{}", said());
    let said = said();
    for part in [
        "the configuration of tutorial is right",
        "wrong.toml:",
        "class 300 (gold)",
        "would be done",
        "are stopped, sooner or later",
        "commanded 'interrupt cluster'",
        "interruption ended",
    ] {
        assert!(said.contains(part), "{part} in\n{said}");
    }
    assert!(folder.path().join("plan.svg").exists());
}
