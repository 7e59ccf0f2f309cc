//! The plant's file, and what a wrong one gets.

use crate::support::*;
use pep_agent::io::plant::config::PlantFile;
use pep_agent::io::plant::{PlantArgs, PlantRunError};
use power_policy::plant::{Chemistry, LineMode};
use std::path::Path;

fn fault(text: &str) -> String {
    PlantFile::from_text(Path::new("dir/plant.toml"), text)
        .unwrap_err()
        .to_string()
}

#[test]
fn the_example_is_a_plant() {
    let file = PlantFile::read(Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/examples/plant.toml"
    )))
    .unwrap();
    let (plant, agents) = (&file.plant, &file.agents);
    assert_eq!(
        (
            plant.servers.len(),
            plant.reserves.len(),
            plant.lines.len(),
            agents.len()
        ),
        (2, 2, 1, 3)
    );
    assert_eq!(plant.servers[0].idle_milliwatts, 90_000);
    assert_eq!(plant.servers[0].boot_millis, 90_000);
    assert_eq!(plant.servers[1].inlets[1].max_milliwatts, 320_000);
    let reserve = &plant.reserves[0];
    assert_eq!(
        (reserve.capacity_millijoules, reserve.charge_millijoules),
        (1_468_800_000, 1_260_000_000)
    );
    assert_eq!(
        (reserve.reference_milliwatts, reserve.chemistry),
        (20_400, Chemistry::LeadAcid)
    );
    assert_eq!(plant.reserves[1].charge_millijoules, 1_800_000_000);
    assert_eq!(
        (plant.lines[0].switch_millis, plant.lines[0].mode),
        (4, LineMode::Shared)
    );
    assert_eq!(
        (agents[0].server.as_deref(), agents[2].server.as_deref()),
        (Some("s1"), None)
    );
    assert!(file.socket.ends_with("examples/run/plant.sock"));
}

#[test]
fn a_wrong_file_names_file_line_key_and_what_was_expected() {
    let twice = "[[agent]]\nname = \"s1\"\ncommand = [\"true\"]";
    let cases = [
        (
            plain().replace("socket = \"plant.sock\"", ""),
            "dir/plant.toml:1: missing field `socket`",
        ),
        (
            plain().replace("idle_watts = 100", "idle_watts = -1"),
            "dir/plant.toml:9:server[0].idle_watts: invalid value: floating point `-1.0`, \
             expected a number of watts, 0 or more",
        ),
        (
            plain().replace("capacity_wh = 10\n", "capacity_wh = \"ten\"\n"),
            "dir/plant.toml:29:reserve[0].capacity_wh: invalid type: string \"ten\", \
             expected a number of watt-hours, 0 or more",
        ),
        (
            plain().replace("idle_watts = 100", "idle_watts = 500"),
            "dir/plant.toml:9:server[0].idle_watts: is 500000 mW, expected at most the peak of 400000 mW",
        ),
        (
            plain().replace("supplies = [\"u2\"]", "supplies = [\"u9\"]"),
            "dir/plant.toml:24:server[1].supplies: names \"u9\", but there is no reserve of that name",
        ),
        (
            plain().replace("recharge_domain = \"a\"", "recharge_domain = \"b\""),
            "dir/plant.toml:32:reserve[0].recharge_domain: names \"b\", but there is no domain of that name",
        ),
        (
            with_agents("agent = []", "", ""),
            "dir/plant.toml:16:server[0].agent: is empty, expected a program and its arguments",
        ),
        (
            with_agents("agent = [\"true\"]", "", twice),
            "dir/plant.toml:45:agent[0].name: is \"s1\", which another agent has already",
        ),
        (
            with_agents("", "", "[[agent]]\nname = \"../x\"\ncommand = [\"true\"]"),
            "dir/plant.toml:45:agent[0].name: is \"../x\", expected a name that its log file can have",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(fault(&text), expected);
    }
    let unknown = fault(&plain().replace("switch_milliseconds", "switch_seconds"));
    let expected =
        "dir/plant.toml:43:line[0].switch_seconds: unknown field `switch_seconds`, expected one of ";
    assert!(unknown.starts_with(expected), "{unknown}");
    let mode = fault(&plain().replace("switch_milliseconds = 4", "mode = \"half\""));
    assert!(
        mode.starts_with("dir/plant.toml:43:line[0].mode: unknown variant `half`, expected"),
        "{mode}"
    );
}

#[tokio::test]
async fn a_wrong_file_ends_with_status_2_and_a_socket_in_use_with_1() {
    let running = Running::start(&plain(), 1).await;
    let config = running.folder.path().join("plant.toml");
    std::fs::write(&config, "socket = 1").unwrap();
    let error = pep_agent::io::plant::run(&PlantArgs {
        config: config.clone(),
        clock_scale: 1,
    })
    .await
    .unwrap_err();
    assert_eq!(error.exit_status(), 2, "{error}");
    std::fs::write(&config, plain()).unwrap();
    let error = pep_agent::io::plant::run(&PlantArgs {
        config,
        clock_scale: 1,
    })
    .await
    .unwrap_err();
    assert!(matches!(error, PlantRunError::Listen { .. }), "{error}");
    assert_eq!(error.exit_status(), 1);
    assert!(
        error
            .to_string()
            .ends_with("plant.sock: a plant listens there already"),
        "{error}"
    );
    running.end().await;
}

#[tokio::test]
async fn a_socket_that_a_killed_plant_left_behind_is_replaced_and_goes_with_the_plant() {
    let folder = Running::start(&plain(), 1).await.end().await;
    let socket = folder.path().join("plant.sock");
    assert!(!socket.exists());
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    assert!(socket.exists());
    let file = PlantFile::from_text(&folder.path().join("plant.toml"), &plain()).unwrap();
    pep_agent::io::plant::serve(&file, 1, std::future::ready(()))
        .await
        .unwrap();
    assert!(!socket.exists());
    // Something else that stands there is not ours to remove.
    std::fs::write(&socket, "mine").unwrap();
    assert!(
        pep_agent::io::plant::serve(&file, 1, std::future::ready(()))
            .await
            .is_err()
    );
    assert_eq!(std::fs::read_to_string(&socket).unwrap(), "mine");
}
