//! The PDP's journal damaged, gone, or on a disk that fills up in the middle of an interruption, with the real programs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use power_policy::model::Phase;
use system_tests::cluster_run::{ClusterOptions, ClusterRun, is_complete, shed};
use system_tests::process::program;

fn pdp_server(arguments: &[&str], file: &Path) -> Output {
    // One that is not refused would run for ever, and then the test shall fail, not hang.
    Command::new("timeout")
        .args(["--kill-after=1", "60"])
        .arg(program("pdp-server").unwrap())
        .args(arguments)
        .arg(file)
        .output()
        .unwrap()
}

fn replay(journal: &Path) -> Output {
    pdp_server(&["replay", "--json"], journal)
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Changes the PDP's file.
fn edit(cluster: &ClusterRun, from: &str, to: &str) {
    let config = cluster.pdp.config();
    let text = std::fs::read_to_string(&config).unwrap();
    assert!(text.contains(from));
    std::fs::write(config, text.replace(from, to)).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_journal_is_refused_then_set_aside_and_the_new_one_climbs_above_what_agents_hold() {
    let mut cluster = ClusterRun::start(&ClusterOptions::default()).await.unwrap();
    let plant = cluster.plant().await.unwrap();
    plant.fail_mains("feed").await.unwrap();
    let before = cluster
        .pdp
        .until("the bronze activities are shed", |status| {
            status.phase == Phase::Interrupted && shed(status) == ["batch", "report"]
        })
        .await
        .unwrap();
    cluster.pdp.terminate().unwrap();
    let journal = cluster.folder().join("journal.sqlite");
    let proven = replay(&journal);
    assert_eq!(proven.status.code(), Some(0), "{}", words(&proven));

    // A figure of a record is another one: SQLite does not notice.
    {
        let other = rusqlite::Connection::open(&journal).unwrap();
        let changed = other
            .execute(
                "UPDATE record SET body = replace(body, '\"generation\":', '\"generation\": 1') \
                 WHERE seq = (SELECT max(seq) FROM record WHERE kind = 'issued')",
                [],
            )
            .unwrap();
        assert_eq!(changed, 1);
    }
    let damaged = std::fs::read(&journal).unwrap();
    let refused = pdp_server(&["run", "--clock-scale", "20", "--config"], &cluster.pdp.config());
    assert_eq!(refused.status.code(), Some(1), "{}", words(&refused));
    assert!(
        words(&refused).contains("the journal is damaged: record"),
        "{}",
        words(&refused)
    );
    assert_eq!(std::fs::read(&journal).unwrap(), damaged, "it is left as it is");
    let unproven = replay(&journal);
    assert_eq!(unproven.status.code(), Some(1), "{}", words(&unproven));
    assert!(words(&unproven).contains("digest"), "{}", words(&unproven));

    // An operator decides to go on without it.
    edit(
        &cluster,
        "path = \"journal.sqlite\"",
        "path = \"journal.sqlite\"\non_unreadable = \"set_aside\"",
    );
    let started = cluster.pdp.start_again().await.unwrap();
    assert!(
        cluster.pdp.log().contains("was set aside as"),
        "{}",
        cluster.pdp.log()
    );
    let aside: Vec<PathBuf> = std::fs::read_dir(cluster.folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path != &journal && std::fs::read(path).is_ok_and(|octets| octets == damaged))
        .collect();
    assert_eq!(aside.len(), 1, "nothing of it is lost");
    assert!(started.term <= before.term, "it knows of nothing");

    // The agents hold plans of terms and generations that it has never heard of; it goes above them, and they obey.
    let after = cluster
        .pdp
        .until("it has gone above what they hold", |status| {
            status.term > before.term
                && status.generation > before.generation
                && status.phase == Phase::Interrupted
                && status
                    .peers
                    .iter()
                    .filter(|p| p.connected)
                    .all(|p| p.acknowledged > before.generation)
                && status.peers.iter().filter(|p| p.connected).count() >= 2
        })
        .await
        .unwrap();
    assert!(after.counts.journal_works);
    plant.restore_mains("feed").await.unwrap();
    cluster
        .pdp
        .until("the interruption is over", |status| status.phase == Phase::Normal)
        .await
        .unwrap();
}

/// A small file system of its own, if this user may have one.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn new(folder: PathBuf, size: &str) -> Option<Self> {
        std::fs::create_dir(&folder).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(&folder)
            .stderr(Stdio::null())
            .status();
        mounted.is_ok_and(|s| s.success()).then(|| Self(folder))
    }

    fn fill(&self) {
        let filled = Command::new("dd")
            .args(["if=/dev/zero", "bs=4k"])
            .arg(format!("of={}", self.filling().display()))
            .stderr(Stdio::null())
            .status();
        assert!(filled.is_ok_and(|s| !s.success()), "it is full in the end");
    }

    fn filling(&self) -> PathBuf {
        self.0.join("filling")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|s| s.success()), "umount");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fills_up_in_an_interruption_is_told_and_the_protection_goes_on() {
    let mut cluster = ClusterRun::start(&ClusterOptions::default()).await.unwrap();
    let Some(disk) = SmallDisk::new(cluster.folder().join("small"), "16m") else {
        eprintln!("no file system of its own for this user; the journal's own tests stand in");
        return;
    };
    cluster.pdp.terminate().unwrap();
    edit(
        &cluster,
        "path = \"journal.sqlite\"",
        "path = \"small/journal.sqlite\"",
    );
    cluster.pdp.start_again().await.unwrap();
    cluster
        .pdp
        .until("the agents are back", is_complete)
        .await
        .unwrap();
    disk.fill();
    let plant = cluster.plant().await.unwrap();
    plant.fail_mains("feed").await.unwrap();
    let status = cluster
        .pdp
        .until(
            "the bronze activities are shed, with a journal that fails",
            |status| shed(status) == ["batch", "report"] && !status.counts.journal_works,
        )
        .await
        .unwrap();
    let alarm = status.alarms.iter().find(|a| a.subject == "journal").unwrap();
    assert!(
        alarm.text.contains("decisions go on without it"),
        "{}",
        alarm.text
    );
    assert!(alarm.text.contains("no space is left"), "{}", alarm.text);
    // There is room again: the journal goes on from all that is known, and a PDP that starts from it knows it.
    std::fs::remove_file(disk.filling()).unwrap();
    let healed = cluster
        .pdp
        .until("the journal works again", |status| status.counts.journal_works)
        .await
        .unwrap();
    assert!(
        healed.alarms.iter().all(|a| a.subject != "journal"),
        "{:?}",
        healed.alarms
    );
    cluster.pdp.kill().unwrap();
    let resumed = cluster.pdp.start_again().await.unwrap();
    assert_eq!(resumed.phase, Phase::Interrupted);
    assert!(resumed.generation >= healed.generation);
    plant.restore_mains("feed").await.unwrap();
    cluster
        .pdp
        .until("everything runs again", |status| {
            status.phase == Phase::Normal && is_complete(status)
        })
        .await
        .unwrap();
    cluster.pdp.terminate().unwrap();
    let proven = replay(&disk.0.join("journal.sqlite"));
    assert_eq!(proven.status.code(), Some(0), "{}", words(&proven));
    let summary: serde_json::Value = serde_json::from_slice(&proven.stdout).unwrap();
    assert!(summary["holes"].as_u64().unwrap() >= 1, "{summary}");
}
