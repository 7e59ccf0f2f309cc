//! Programs as an operator would write them: a shell that keeps its state in a file.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use power_policy::model::{FigureSource, LineState, Mains, Powered, ReserveState};
use power_policy::plan::HostState;
use tempfile::TempDir;

use super::*;
use crate::drivers::{ActivityDriver, HostDriver, LineDriver, ReserveDriver};
use crate::engine::facts::{ActivityKey, ActivityState, Joint, Role};

struct Script {
    folder: TempDir,
    program: ExecProgram,
}

impl Script {
    /// A program with this body; `$q` is the question, `$d` its folder.
    fn new(body: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        let text = format!(
            "#!/bin/sh\nd={}\nread -r q\necho \"$q\" >> $d/asked\n{body}\n",
            folder.path().display()
        );
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let program = ExecProgram {
            argv: vec![path.to_str().unwrap().to_owned()],
            limit: Duration::from_secs(20),
        };
        Self { folder, program }
    }

    fn answer(text: &str) -> Self {
        Self::new(&format!("cat <<'END'\n{text}\nEND"))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn asked(&self) -> String {
        fs::read_to_string(self.file("asked")).unwrap_or_default()
    }

    async fn reserve(&self) -> Result<crate::engine::facts::ReserveReading, ReadError> {
        ExecReserve::new(self.program.clone(), name("ups1"), 100_000)
            .read()
            .await
    }
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

#[tokio::test]
async fn a_reserve_is_read_and_the_lesser_charge_counts() {
    let script = Script::answer(
        r#"{"state":"discharging","charge_joules":60000,"charge_percent":50,"milliwatts":120000,"mains":"absent","note":"bank A"}"#,
    );
    let reading = script.reserve().await.unwrap();
    assert_eq!(
        (reading.charge_joules, reading.capacity_joules, reading.source),
        (Some(50_000), Some(100_000), FigureSource::Estimated)
    );
    assert_eq!(
        (reading.state, reading.mains, reading.note.as_str()),
        (ReserveState::Discharging, Mains::Absent, "bank A")
    );
    assert_eq!(
        script.asked(),
        "{\"version\":1,\"do\":\"read-reserve\",\"reserve\":\"ups1\"}\n"
    );
}

#[tokio::test]
async fn what_a_program_says_wrong_is_told_and_is_no_reading() {
    for (answer, told) in [
        (r#"{"state":"idle"}"#, "neither charge_joules nor charge_percent"),
        (r#"{"state":"idle","charge_percent":150}"#, "expected 0 to 100"),
        (r#"{"state":"idle","charge":5}"#, "unknown field `charge`"),
        (r#"{"state":"good","charge_percent":5}"#, "unknown variant `good`"),
        ("", "EOF while parsing"),
        ("battery fine", "expected value"),
    ] {
        let error = Script::answer(answer).reserve().await.unwrap_err().0;
        assert!(error.contains(told), "{answer}: {error}");
    }
    let error = Script::new("echo no such outlet >&2; exit 3")
        .reserve()
        .await
        .unwrap_err()
        .0;
    assert!(
        error.ends_with("ended with exit status: 3: no such outlet"),
        "{error}"
    );
    let long = Script::new("head -c 70000 /dev/zero | tr '\\0' x; echo");
    let error = long.reserve().await.unwrap_err().0;
    assert!(error.contains("a line of more than 65536 octets"), "{error}");
    let missing = ExecProgram {
        argv: vec!["/nonexistent/program".to_owned()],
        limit: Duration::from_secs(1),
    };
    let error = ExecReserve::new(missing, name("ups1"), 1)
        .read()
        .await
        .unwrap_err()
        .0;
    assert!(error.starts_with("/nonexistent/program: No such file"), "{error}");
}

#[tokio::test]
async fn one_that_hangs_is_ended_with_all_that_it_started() {
    // Its child holds the pipes open and would outlive it.
    let mut script = Script::new("sleep 1000 & echo $! > $d/child; wait");
    script.program.limit = Duration::from_secs(1);
    let error = script.reserve().await.unwrap_err().0;
    assert!(error.ends_with("was not done after 1 s"), "{error}");
    let child = fs::read_to_string(script.file("child")).unwrap();
    let gone = |pid: &str| {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
        // A zombie that init has not yet taken is dead too.
        stat.is_err() || stat.unwrap().contains(") Z")
    };
    while !gone(&child) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn what_a_program_leaves_behind_does_not_hold_up_its_answer() {
    let script =
        Script::new("sleep 1000 & echo $! > $d/child; echo '{\"state\":\"idle\",\"charge_percent\":80}'");
    let reading = script.reserve().await.unwrap();
    assert_eq!(reading.charge_joules, Some(80_000));
    // A daemon that it started on purpose lives on; this one is ours to end.
    let child: i32 = fs::read_to_string(script.file("child"))
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    let child = rustix::process::Pid::from_raw(child).unwrap();
    rustix::process::kill_process(child, rustix::process::Signal::KILL).unwrap();
}

/// A switch with one position, which moves for two looks.
const SWITCH: &str = r#"
looks=$(cat $d/looks 2>/dev/null || echo 0)
case "$q" in
*'"do":"read-line"'*)
  if [ "$looks" -gt 0 ]; then echo $((looks - 1)) > $d/looks; echo '{"state":"moving"}'; exit; fi
  if [ -s $d/joint ]; then echo "{\"state\":\"closed\",\"joined\":[$(cat $d/joint)]}"; else echo '{"state":"open"}'; fi;;
*'"milliwatts":0}') : > $d/joint; echo '{"outcome":"done"}';;
*'"do":"open"'*) : > $d/joint; echo '{"outcome":"done"}';;
*'"do":"join"'*'"server":"s1"'*) echo 2 > $d/looks
  echo '{"reserve":"ups1","server":"s1","milliwatts":95000}' > $d/joint
  echo '{"outcome":"done","reason":"outlet 7"}';;
*'"server":"stuck"'*) echo '{"outcome":"done"}';;
*) echo '{"outcome":"refused","reason":"no such outlet"}';;
esac
"#;

#[tokio::test]
async fn a_line_is_switched_and_read_back() {
    let script = Script::new(SWITCH);
    let mut line = ExecLine::new(script.program.clone(), name("L1"), Duration::from_secs(20));
    assert_eq!(line.read().await.unwrap().state, LineState::Open);
    let joined = line.join(name("ups1"), name("s1"), 95_000).await;
    assert_eq!(
        joined,
        ActionOutcome::Done("outlet 7".to_owned()),
        "two looks later"
    );
    let reading = line.read().await.unwrap();
    let joint = Joint {
        reserve: name("ups1"),
        server: name("s1"),
        milliwatts: 95_000,
    };
    assert_eq!((reading.state, reading.joined), (LineState::Closed, vec![joint]));
    let joins = script.asked().matches("\"join\"").count();
    let again = line.join(name("ups1"), name("s1"), 95_000).await;
    assert_eq!(again, ActionOutcome::Done("so already".to_owned()));
    assert_eq!(
        script.asked().matches("\"join\"").count(),
        joins,
        "nothing is switched twice"
    );
    let other = line.join(name("ups1"), name("s9"), 1).await;
    assert_eq!(other, ActionOutcome::Refused("no such outlet".to_owned()));
    let stuck = line.join(name("ups1"), name("stuck"), 1).await;
    let ActionOutcome::Failed(reason) = stuck else {
        panic!("{stuck:?}")
    };
    assert_eq!(
        reason,
        "the program says done, and the line rests at something else"
    );
    assert_eq!(
        line.join(name("ups1"), name("s1"), 0).await,
        ActionOutcome::Done(String::new())
    );
    assert_eq!(line.open().await, ActionOutcome::Done("so already".to_owned()));
}

/// A machine that starts and stops in two looks, and does not stop if there is a file `stubborn`.
const MACHINE: &str = r#"
state=$(cat $d/state 2>/dev/null || echo stopped)
case "$q" in
*'"do":"read-activity"'*) echo "{\"state\":\"$state\"}"
  case $state in starting) echo running > $d/state;; stopping) echo stopped > $d/state;; esac;;
*'"do":"start"'*) echo starting > $d/state; echo '{"outcome":"done"}';;
*'"do":"stop"'*) [ -e $d/stubborn ] || echo stopping > $d/state; echo '{"outcome":"done"}';;
*'"do":"cap"'*) echo '{"outcome":"failed","reason":"no governor"}';;
esac
"#;

#[tokio::test]
async fn an_activity_is_started_stopped_and_shifted() {
    let script = Script::new(MACHINE);
    let key = ActivityKey {
        activity: name("vm7"),
        server: name("s1"),
    };
    let limit = Duration::from_secs(20);
    let mut activity = ExecActivity::new(script.program.clone(), key, limit, limit);
    assert_eq!(activity.read().await.unwrap().state, ActivityState::Stopped);
    assert_eq!(activity.start(true).await, ActionOutcome::Done(String::new()));
    assert!(
        script
            .asked()
            .contains("\"do\":\"start\",\"activity\":\"vm7\",\"server\":\"s1\",\"moved\":true"),
        "the hook of a live migration"
    );
    assert_eq!(activity.read().await.unwrap().state, ActivityState::Running);
    assert_eq!(
        activity.cap(5).await,
        ActionOutcome::Failed("no governor".to_owned())
    );
    fs::write(script.file("stubborn"), "").unwrap();
    let refused = activity.stop(false).await;
    assert_eq!(
        refused,
        ActionOutcome::Failed("the program says done, and it is running".to_owned())
    );
    fs::remove_file(script.file("stubborn")).unwrap();
    assert_eq!(activity.stop(false).await, ActionOutcome::Done(String::new()));
}

const HOST: &str = r#"
state=$(cat $d/state 2>/dev/null || echo on)
case "$q" in
*read-server*) echo "{\"powered\":\"$state\",\"inlets\":[{\"domain\":\"feedA\",\"mains\":\"absent\"}]}"
  [ $state = changing ] && cat $d/next > $d/state;;
*switch-on*) echo on > $d/next; echo changing > $d/state; echo '{"outcome":"done"}';;
*switch-off*) echo off > $d/next; echo changing > $d/state; echo '{"outcome":"done"}';;
esac
exit 0
"#;

#[tokio::test]
async fn a_server_is_switched_from_outside_and_by_itself() {
    let script = Script::new(HOST);
    let host = |role| ExecHost::new(script.program.clone(), name("s1"), role, Duration::from_secs(20));
    let mut starter = host(Role::Witness);
    let reading = starter.read().await.unwrap();
    assert_eq!(reading.server.powered, Powered::On);
    assert_eq!(reading.inlets, [(name("feedA"), Mains::Absent)]);
    assert_eq!(
        starter.set(HostState::Off).await,
        ActionOutcome::Done(String::new())
    );
    assert_eq!(starter.read().await.unwrap().server.powered, Powered::OffSeen);
    assert_eq!(
        starter.set(HostState::On).await,
        ActionOutcome::Done(String::new())
    );
    assert_eq!(starter.read().await.unwrap().server.powered, Powered::On);

    let mut itself = host(Role::Custodian);
    assert_eq!(
        itself.set(HostState::Off).await,
        ActionOutcome::Done(String::new())
    );
    fs::write(script.file("state"), "changing").unwrap();
    assert_eq!(
        itself.read().await.unwrap().server.powered,
        Powered::OffCommanded,
        "one that halts will be off whatever comes"
    );
}

/// Stand-ins for NUT's clients: a PDU whose outlet follows, in a file.
const UPSC: &str = "#!/bin/sh\n[ \"$2\" = outlet.3.status ] && cat \"$(dirname \"$0\")/outlet\"\n";
const UPSCMD: &str = "#!/bin/sh\nfor last; do :; done\necho \"${last##*.}\" > \"$(dirname \"$0\")/outlet\"\n";

#[tokio::test]
async fn the_example_of_an_outlet_switches_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    for (file, text) in [("upsc", UPSC), ("upscmd", UPSCMD)] {
        let path = folder.path().join(file);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::write(folder.path().join("outlet"), "off").unwrap();
    let bin = folder.path().display();
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/exec/outlet.sh");
    let path = format!("PATH={bin}:/usr/bin:/bin");
    let memory = format!("OUTLET_MEMORY={bin}/memory");
    let argv = [
        "/usr/bin/env",
        &path,
        &memory,
        example,
        "pdu1@localhost",
        "3",
        "ups-b",
        "s1",
        "400000",
    ];
    let program = ExecProgram {
        argv: argv.map(str::to_owned).to_vec(),
        limit: Duration::from_secs(20),
    };
    let mut line = ExecLine::new(program, name("b-to-s1"), Duration::from_secs(20));
    assert_eq!(line.read().await.unwrap().state, LineState::Open);
    let joined = line.join(name("ups-b"), name("s1"), 123_456).await;
    assert_eq!(joined, ActionOutcome::Done(String::new()));
    let reading = line.read().await.unwrap();
    assert_eq!(
        (reading.state, reading.joined[0].milliwatts),
        (LineState::Closed, 123_456)
    );
    let other = line.join(name("ups-a"), name("s1"), 1_000).await;
    assert_eq!(
        other,
        ActionOutcome::Refused("this outlet joins something else".to_owned())
    );
    assert_eq!(
        line.join(name("ups-b"), name("s1"), 0).await,
        ActionOutcome::Done(String::new())
    );
    assert_eq!(line.read().await.unwrap().state, LineState::Open);
    fs::remove_file(folder.path().join("outlet")).unwrap();
    assert_eq!(
        line.read().await.unwrap().state,
        LineState::Fault,
        "unreadable is told as such"
    );
}
