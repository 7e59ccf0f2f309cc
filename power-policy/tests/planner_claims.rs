//! The claims that a plan carries out, on hand-made clusters. That the electricity obeys is asserted elsewhere, on the
//! plant.

#![allow(clippy::unwrap_used)]

mod common;
use common::*;
use power_policy::model::*;
use power_policy::plan::{HostState, Trigger};
use power_policy::planner::plan;

/// C14 is C1, C12 and C13 in one interruption.
#[test]
fn c14_all_reserves_go_to_the_top_server_whose_lower_sets_end_one_step_at_a_time() {
    let snapshot = four_servers().blackout().build();
    let plan = plan(&snapshot, None, &PowerPolicy::default());

    // C1: at once, a server hosting lower-priority sets gives its reserve to the one with the highest.
    assert!(
        diverts(&plan)
            .iter()
            .any(|(stage, _, reserve, server, w)| *stage == 0
                && reserve == "ups-s2"
                && server == "s1"
                && *w > 0)
    );
    // C12: in the end the reserves of all servers feed s1; its own does so without a line.
    for donor in ["ups-s2", "ups-s3", "ups-s4"] {
        let last = diverts(&plan)
            .into_iter()
            .rfind(|(_, _, r, s, _)| r == donor && s == "s1")
            .unwrap();
        assert!(last.4 > 0, "{donor} is taken off at the end: {last:?}");
    }
    // C13: on s1 bronze ends before silver, silver before gold, each behind a threshold of falling charge.
    let stops: Vec<u32> = ["bronze-1", "silver-1", "gold-db"]
        .iter()
        .map(|a| stop_stage(&plan, a).unwrap())
        .collect();
    assert!(stops.is_sorted_by(|a, b| a < b), "{stops:?}");
    for stage in stops {
        assert!(
            matches!(trigger(&plan, stage), Trigger::ChargeBelow { .. }),
            "stage {stage}"
        );
    }
    // The donors close before silver ends on s1.
    let closed: Vec<u32> = hosts(&plan)
        .iter()
        .filter(|(_, s, state)| s != "s1" && *state == HostState::Off)
        .map(|h| h.0)
        .collect();
    assert_eq!(closed.len(), 3);
    assert!(
        closed
            .iter()
            .all(|stage| *stage < stop_stage(&plan, "silver-1").unwrap())
    );
    assert!(plan.refusals.is_empty(), "{:?}", plan.refusals);
}

/// C12 in `survive`: everything else ends at once.
#[test]
fn c12_survive_stops_lower_classes_right_after_the_debounce() {
    let snapshot = four_servers().blackout().build();
    let survive = PowerPolicy {
        mode: Mode::Survive,
        ..PowerPolicy::default()
    };
    let everything = plan(&snapshot, None, &survive);
    let debounce = survive.debounce_millis;
    for lower in ["bronze-1", "silver-1", "bronze-s2", "silver-s3", "silver-s4"] {
        assert_eq!(
            trigger(&everything, stop_stage(&everything, lower).unwrap()),
            Trigger::Elapsed { millis: debounce }
        );
    }
    // The top class gains by it.
    let default = plan(&snapshot, None, &PowerPolicy::default());
    assert!(ride(&everything, 50) > ride(&default, 50));
}
