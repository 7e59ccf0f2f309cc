//! The agents' processes, with shells in their place.

use crate::support::*;
use power_policy::plant::PlantEventKind;

/// An agent that notes its process and arguments in a file of its name, and then waits for its end.
fn fake(name: &str, before: &str) -> String {
    format!(
        "[\"sh\", \"-c\", \"{before} echo $$ $* >> {name}.runs; echo it runs; exec sleep 1000\", \"{name}\"]"
    )
}

/// The processes that an agent had so far.
fn runs(running: &Running, name: &str) -> Vec<i32> {
    let text = running.read(&format!("{name}.runs"));
    text.lines()
        .map(|line| line.split(' ').next().unwrap().parse().unwrap())
        .collect()
}

fn lives(pid: i32) -> bool {
    std::path::Path::new(&format!("/proc/{pid}")).exists()
}

#[tokio::test]
async fn an_agent_dies_with_its_servers_power_and_comes_back_with_a_start() {
    let infrastructure = format!("[[agent]]\nname = \"rack\"\ncommand = {}", fake("rack", ""));
    let agent = format!("agent = {}", fake("s1", ""));
    let running = Running::start(&with_agents(&agent, "", &infrastructure), 1_000).await;
    until("both agents run", || {
        runs(&running, "s1").len() == 1 && runs(&running, "rack").len() == 1
    })
    .await;
    let (first, rack) = (runs(&running, "s1")[0], runs(&running, "rack")[0]);
    assert!(
        running.read("s1.runs").ends_with(" --clock-scale 1000\n"),
        "{}",
        running.read("s1.runs")
    );
    assert_eq!(running.read("logs/s1.log"), "it runs\n");

    let mut watch = running.watch(0).await;
    let client = running.client("rack").await;
    client.declare_activity("s1", "web", 100_000, true).await.unwrap();
    client.fail_mains("a").await.unwrap();
    event(&mut watch, |kind| {
        matches!(kind, PlantEventKind::ServerLostPower { .. })
    })
    .await;
    until("the agent is killed", || !lives(first)).await;
    assert!(lives(rack), "infrastructure has power");

    client.restore_mains("a").await.unwrap();
    client.start_server("s1").await.unwrap();
    until("it is started again", || runs(&running, "s1").len() == 2).await;
    let reading = client.read_server("s1").await.unwrap();
    // A new agent finds its activities as the loss of power left them, whatever it declares.
    client.declare_activity("s1", "web", 100_000, true).await.unwrap();
    assert!(!reading.activities[0].running);
    assert!(!client.read_server("s1").await.unwrap().activities[0].running);
    let second = runs(&running, "s1")[1];
    running.end().await;
    assert!(!lives(second) && !lives(rack), "nothing is left");
}

#[tokio::test]
async fn an_agent_lives_to_the_end_of_its_servers_halt() {
    let running = Running::start(&with_agents(&format!("agent = {}", fake("s1", "")), "", ""), 100).await;
    until("the agent runs", || runs(&running, "s1").len() == 1).await;
    let pid = runs(&running, "s1")[0];
    let mut watch = running.watch(0).await;
    let client = running.client("s1").await;
    client.halt_server("s1").await.unwrap();
    let begun = event(&mut watch, |kind| {
        matches!(kind, PlantEventKind::ServerHalting { .. })
    })
    .await;
    assert!(lives(pid));
    let off = event(&mut watch, |kind| {
        matches!(kind, PlantEventKind::ServerOff { clean: true, .. })
    })
    .await;
    assert_eq!(off - begun, 20_000);
    until("the agent is ended", || !lives(pid)).await;
    running.end().await;
}

#[tokio::test]
async fn an_agent_that_ends_by_itself_stays_away_until_its_server_comes_back() {
    let agent = r#"agent = ["sh", "-c", "echo $$ >> s1.runs"]"#;
    let running = Running::start(&with_agents(agent, "", ""), 1_000).await;
    until("it has run", || runs(&running, "s1").len() == 1).await;
    until("it has ended", || !lives(runs(&running, "s1")[0])).await;
    let client = running.client("rack").await;
    client.power_off("s1").await.unwrap();
    assert_eq!(runs(&running, "s1").len(), 1);
    client.start_server("s1").await.unwrap();
    until("it runs again", || runs(&running, "s1").len() == 2).await;
    running.end().await;
}

#[tokio::test]
async fn an_agent_that_will_not_end_is_killed_with_the_plant() {
    let stubborn = format!("agent = {}", fake("s1", "trap '' TERM;"));
    let running = Running::start(
        &with_agents(&stubborn, &format!("agent = {}", fake("s2", "")), ""),
        1,
    )
    .await;
    until("both run", || {
        runs(&running, "s1").len() == 1 && runs(&running, "s2").len() == 1
    })
    .await;
    let pids = [runs(&running, "s1")[0], runs(&running, "s2")[0]];
    running.end().await;
    assert_eq!(pids.map(lives), [false, false]);
}

#[tokio::test]
async fn an_agent_that_cannot_be_started_disturbs_nobody() {
    let missing = r#"agent = ["/no/such/program"]"#;
    let running = Running::start(
        &with_agents(missing, &format!("agent = {}", fake("s2", "")), ""),
        1,
    )
    .await;
    until("the other runs", || runs(&running, "s2").len() == 1).await;
    assert!(running.client("x").await.read_server("s1").await.unwrap().mains);
    running.end().await;
}
