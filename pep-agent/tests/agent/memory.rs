//! An agent whose disk does not take what it has to remember goes on, says so, and keeps it as soon as it can.

use cops_codec::client_type::power::{ActionResult, ActivityState, Outcome, Verb};

use crate::pdp::TestPdp;
use crate::plans::TestPlan;
use crate::program::Agent;
use crate::simulated::{node, state};

#[tokio::test]
async fn a_disk_that_takes_nothing_does_not_end_the_agent() {
    let mut pdp = TestPdp::start().await;
    let mut agent = Agent::new(&node(&pdp));
    agent.start(&["--clock-scale", "50"]);
    pdp.until("s1", "what it reports", |peer| {
        state(peer, "render") == Some(ActivityState::Running)
    })
    .await;
    // A folder in the place of the file that is written: refused to root too.
    let folder = agent.path().join("state-s1");
    let in_the_way = folder.join("state.json.new");
    std::fs::create_dir(&in_the_way).unwrap();

    let plan = TestPlan::default().activity("render", "s1", Verb::Stop);
    pdp.push("s1", plan.decisions(1, 1));
    pdp.until("s1", "the stop and its result", |peer| {
        let done = peer.table().all::<ActionResult>().map(|row| row.outcome);
        state(peer, "render") == Some(ActivityState::Stopped) && done.eq([Outcome::Done])
    })
    .await;
    let status = agent.until("the alarm", |status| status.not_kept.is_some()).await;
    assert!(status.not_kept.unwrap().contains("state.json.new"));
    assert!(agent.log().contains("NOT KEPT"), "{}", agent.log());
    let words = String::from_utf8(agent.run(&["status"]).await.stdout).unwrap();
    assert!(words.contains("NOT KEPT"), "{words}");
    // Hands off is obeyed at once, hands on only when it will be remembered.
    let refused = agent.run(&["disarm"]).await;
    assert!(!refused.status.success() && !agent.status().await.armed);
    let refused = agent.run(&["arm"]).await;
    assert!(!refused.status.success() && !agent.status().await.armed);

    std::fs::remove_dir(&in_the_way).unwrap();
    agent
        .until("that it is kept", |status| status.not_kept.is_none())
        .await;
    agent.kill();
    let kept = std::fs::read_to_string(folder.join("state.json")).unwrap();
    assert!(kept.contains("\"armed\":false"), "{kept}");
    agent.start(&["--clock-scale", "50"]);
    let status = agent
        .until("the plan it held", |status| status.plan.is_some())
        .await;
    assert!(!status.armed);
}
