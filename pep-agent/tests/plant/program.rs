//! The program itself: signals, exit status.

use crate::support::*;
use pep_agent::drivers::plant_link::PlantClient;
use rustix::process::{Pid, Signal, kill_process};
use std::path::Path;
use std::process::Stdio;
use tokio::process::{Child, Command};

fn plant(folder: &Path, text: &str) -> Child {
    std::fs::write(folder.join("plant.toml"), text).unwrap();
    Command::new(env!("CARGO_BIN_EXE_pep-agent"))
        .args(["plant", "--clock-scale", "100", "--config"])
        .arg(folder.join("plant.toml"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Connects as soon as the plant listens.
async fn connect(socket: &Path) -> PlantClient {
    until("the plant listens", || {
        std::os::unix::net::UnixStream::connect(socket).is_ok()
    })
    .await;
    PlantClient::connect(socket, "x").await.unwrap()
}

#[tokio::test]
async fn a_signal_ends_the_plant_and_its_agents() {
    for signal in [Signal::TERM, Signal::INT] {
        let folder = tempfile::tempdir().unwrap();
        let agent = r#"agent = ["sh", "-c", "echo $$ > pid; exec sleep 1000"]"#;
        let mut plant = plant(folder.path(), &with_agents(agent, "", ""));
        let pid = || std::fs::read_to_string(folder.path().join("pid")).unwrap_or_default();
        until("the agent runs", || pid().ends_with('\n')).await;
        let client = PlantClient::connect(&folder.path().join("plant.sock"), "x")
            .await
            .unwrap();
        assert_eq!(client.hello("x").await.unwrap().clock_scale, 100);
        let own = i32::try_from(plant.id().unwrap()).unwrap();
        kill_process(Pid::from_raw(own).unwrap(), signal).unwrap();
        assert!(plant.wait().await.unwrap().success());
        assert!(
            !Path::new("/proc").join(pid().trim()).exists(),
            "the agent has ended"
        );
        assert!(!folder.path().join("plant.sock").exists());
        client.closed().await;
    }
}

#[tokio::test]
async fn killing_the_plant_closes_its_links() {
    let folder = tempfile::tempdir().unwrap();
    let mut plant = plant(folder.path(), &plain());
    let socket = folder.path().join("plant.sock");
    let client = connect(&socket).await;
    plant.kill().await.unwrap();
    client.closed().await;
}

#[tokio::test]
async fn a_wrong_file_is_one_line_and_status_2() {
    let folder = tempfile::tempdir().unwrap();
    let text = plain().replace("idle_watts = 100", "idle_watts = 500");
    let output = plant(folder.path(), &text).wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    let file = folder.path().join("plant.toml");
    let place = format!(
        "pep-agent: {}:9:server[0].idle_watts: is 500000 mW",
        file.display()
    );
    assert!(said.starts_with(&place) && said.lines().count() == 1, "{said}");
}
