//! The worked examples of programs, each against a stand-in of the command-line tool that it uses: what it says is taken
//! by the driver, what it does is what the tool was asked for.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use power_policy::model::Name;
use tempfile::TempDir;

use super::{ExecActivity, ExecProgram};
use crate::drivers::ActivityDriver;
use crate::engine::ActionOutcome;
use crate::engine::facts::{ActivityKey, ActivityState};

/// Keeps a domain's state at each hypervisor in a file of its name; notes what it was asked for.
const VIRSH: &str = r#"#!/bin/sh
here=$(dirname "$0"); echo "$*" >>"$here/asked"
[ "$1" = -q ] && shift
[ "$1" = -c ] && { at=$here/$(echo "$2" | tr -c 'a-z0-9\n' _); shift 2; }
[ -e "$here/down" ] && { echo "error: failed to connect to the hypervisor" >&2; exit 1; }
[ "$1" = migrate ] || [ -e "$at" ] || { echo "error: failed to get domain '$2'" >&2; exit 1; }
case $1 in
  domstate) cat "$at"; echo ;;
  start) echo running >"$at" ;;
  shutdown) echo 'shut off' >"$at" ;;
  migrate)
    to=$here/$(echo "$6" | tr -c 'a-z0-9\n' _)
    [ "$(cat "$at" 2>/dev/null)" = running ] || { echo 'error: "mail" is not running' >&2; exit 1; }
    mv "$at" "$to" ;;
esac
"#;

/// Keeps a machine's state at each node in a file; notes what it was asked for.
const PVESH: &str = r#"#!/bin/sh
here=$(dirname "$0"); echo "$*" >>"$here/asked"
[ -e "$here/down" ] && { echo "cluster not ready - no quorum?" >&2; exit 1; }
node=$(echo "$2" | cut -d/ -f3); vm=$(echo "$2" | cut -d/ -f5); at=$here/$node-$vm
[ -e "$at" ] || { echo "Configuration file 'nodes/$node/qemu-server/$vm.conf' does not exist" >&2; exit 2; }
case $1:$2 in
  get:*/status/current) printf '{"status":"%s","vmid":%s}\n' "$(cat "$at")" "$vm" ;;
  create:*/status/start) printf running >"$at"; echo UPID ;;
  create:*/status/shutdown) printf stopped >"$at"; echo UPID ;;
  create:*/migrate) mv "$at" "$here/$4-$vm"; echo UPID ;;
esac
"#;

/// Keeps node, wanted and ready replicas in a file; a rollout is done at once. Notes what it was asked for.
const KUBECTL: &str = r#"#!/bin/sh
here=$(dirname "$0"); echo "$*" >>"$here/asked"
[ -e "$here/down" ] && { echo "Unable to connect to the server: timeout" >&2; exit 1; }
[ -e "$here/deployment" ] || { echo 'Error from server (NotFound): deployments.apps "reports" not found' >&2; exit 1; }
read -r node wanted all ready new <"$here/deployment"
case $3 in
  get) echo "$node|$wanted|$all|$ready|$new" ;;
  scale) n=${6#--replicas=}; echo "$node $n $n $n $n" >"$here/deployment" ;;
  patch)
    n=$(echo "$9" | sed 's/.*"replicas":\([0-9]*\).*/\1/'); to=$(echo "$9" | sed 's/.*hostname":"\([^"]*\)".*/\1/')
    echo "$to $n $n $n $n" >"$here/deployment" ;;
esac
"#;

struct Bench(TempDir);

impl Bench {
    fn new(tool: &str, text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(tool);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn put(&self, file: &str, text: &str) {
        fs::write(self.path().join(file), text).unwrap();
    }

    fn asked(&self) -> String {
        fs::read_to_string(self.path().join("asked")).unwrap()
    }

    fn activity(&self, example: &str, server: &str, arguments: &[&str]) -> ExecActivity {
        let name = |text: &str| Name::new(text).unwrap();
        let mut argv = vec![
            "/usr/bin/env".to_owned(),
            format!("PATH={}:/usr/bin:/bin", self.path().display()),
            format!("{}/examples/exec/{example}", env!("CARGO_MANIFEST_DIR")),
        ];
        argv.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        let limit = Duration::from_secs(20);
        let key = ActivityKey {
            activity: name("work"),
            server: name(server),
        };
        ExecActivity::new(ExecProgram { argv, limit }, key, limit, limit)
    }
}

async fn state(activity: &mut ExecActivity) -> ActivityState {
    activity.read().await.unwrap().state
}

fn done() -> ActionOutcome {
    ActionOutcome::Done(String::new())
}

/// Stopped, started, and moved from the first server to the second; what nobody answers for is no reading.
async fn lives_through_it_all(bench: &Bench, first: &mut ExecActivity, second: &mut ExecActivity) {
    use ActivityState::{Absent, Running, Stopped};
    assert_eq!(state(first).await, Running);
    assert_eq!(first.stop(false).await, done());
    assert_eq!(state(first).await, Stopped);
    assert_eq!(first.start(false).await, done());
    assert_eq!(state(first).await, Running);
    assert!(matches!(state(second).await, Absent | Stopped));

    // The receiver takes it in, and what the source then has to stop has gone from there.
    assert_eq!(second.start(true).await, done());
    assert_eq!(state(second).await, Running);
    assert!(matches!(state(first).await, Absent | Stopped));
    assert!(matches!(first.stop(true).await, ActionOutcome::Done(_)));
    assert_eq!(
        state(second).await,
        Running,
        "the source's stop does not reach it"
    );

    bench.put("down", "");
    let error = second.read().await.unwrap_err().0;
    assert!(error.contains("ended with exit status: 1: "), "{error}");
    assert!(matches!(second.stop(false).await, ActionOutcome::Failed(_)));
    fs::remove_file(bench.path().join("down")).unwrap();
    assert_eq!(state(second).await, Running);
}

#[tokio::test]
async fn a_virtual_machine_of_libvirt_is_stopped_started_and_migrated_alive() {
    let bench = Bench::new("virsh", VIRSH);
    let (one, two) = ("qemu://one/system", "qemu://two/system");
    bench.put("qemu___one_system", "running\n");
    let mut first = bench.activity("libvirt.sh", "s1", &["mail", one, two]);
    let mut second = bench.activity("libvirt.sh", "s2", &["mail", two, one]);
    lives_through_it_all(&bench, &mut first, &mut second).await;
    let asked = bench.asked();
    let migrated = format!("-q -c {one} migrate --live --persistent --undefinesource mail {two}");
    assert!(asked.lines().any(|line| line == migrated), "{asked}");
    assert!(
        asked.contains("shutdown mail --mode acpi") && !asked.contains("destroy"),
        "{asked}"
    );
    bench.put("qemu___two_system", "paused\n");
    assert_eq!(state(&mut second).await, ActivityState::Failed);
    // What the tool complains of is the reason.
    let outcome = first.start(true).await;
    assert_eq!(
        outcome,
        ActionOutcome::Failed("error: mail is not running".to_owned())
    );
}

#[tokio::test]
async fn a_virtual_machine_of_proxmox_is_stopped_started_and_migrated_alive() {
    let bench = Bench::new("pvesh", PVESH);
    bench.put("s1-101", "running");
    let mut first = bench.activity("proxmox.sh", "s1", &["101", "s1", "s2"]);
    let mut second = bench.activity("proxmox.sh", "s2", &["101", "s2", "s1"]);
    lives_through_it_all(&bench, &mut first, &mut second).await;
    let asked = bench.asked();
    assert!(
        asked.contains("create /nodes/s1/qemu/101/migrate --target s2 --online 1"),
        "{asked}"
    );
    assert!(asked.contains("status/shutdown --forceStop 0"), "{asked}");
}

#[tokio::test]
async fn a_deployment_of_kubernetes_is_stopped_started_and_rolled_out_elsewhere() {
    let bench = Bench::new("kubectl", KUBECTL);
    bench.put("deployment", "s1 2 2 2 2\n");
    let mut first = bench.activity("kubernetes.sh", "s1", &["batch", "reports", "2", "s1"]);
    let mut second = bench.activity("kubernetes.sh", "s2", &["batch", "reports", "2", "s2"]);
    lives_through_it_all(&bench, &mut first, &mut second).await;
    let asked = bench.asked();
    assert!(
        asked.contains("-n batch scale deployment reports --replicas=0"),
        "{asked}"
    );
    for (told, seen) in [
        ("s2 2 3 2 1\n", ActivityState::Starting),
        ("s2 0 1 1 1\n", ActivityState::Stopping),
        ("s2 0 0 0 0\n", ActivityState::Stopped),
    ] {
        bench.put("deployment", told);
        assert_eq!(state(&mut second).await, seen, "{told}");
    }
    fs::remove_file(bench.path().join("deployment")).unwrap();
    assert_eq!(state(&mut second).await, ActivityState::Absent);
}
