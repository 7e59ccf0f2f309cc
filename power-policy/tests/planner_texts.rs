//! Plans as texts that people have read. A change of the planner that changes one shows up here as a difference: read
//! it, and only if the new text is right run the test again with `UPDATE_PLANS=1` in the environment.
#![allow(clippy::unwrap_used)]
#![allow(clippy::disallowed_methods, reason = "the reviewed texts are files")]

mod common;

use std::path::Path;

use common::*;
use power_policy::model::*;
use power_policy::plan::Plan;
use power_policy::planner::plan;

fn reviewed(file: &str, plan: &Plan) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/plans")
        .join(file);
    let text = plan.to_string();
    if std::env::var_os("UPDATE_PLANS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let known = std::fs::read_to_string(&path).unwrap();
    assert!(known == text, "{file} differs; the plan is now\n{text}");
}

#[test]
fn blackout_of_four_servers() {
    let snapshot = four_servers().blackout().build();
    reviewed("blackout.txt", &plan(&snapshot, None, &PowerPolicy::default()));
}

#[test]
fn the_same_in_survive_mode() {
    let snapshot = four_servers().blackout().build();
    let survive = PowerPolicy {
        mode: Mode::Survive,
        ..PowerPolicy::default()
    };
    reviewed("survive.txt", &plan(&snapshot, None, &survive));
}

#[test]
fn one_domain_lost_and_work_shifted_to_the_other() {
    let mut c = ClusterSpec::new();
    c.set("gold", 50, Some(3_600), 64)
        .set("silver", 30, Some(600), 8)
        .set("bronze", 10, Some(300), 1);
    for (s, domain) in [("s1", "A"), ("s2", "A"), ("s3", "B"), ("s4", "B")] {
        c.server(s, 100, 400, domain);
        c.reserve(&format!("ups-{s}"), s, 60, 800);
    }
    let all = ["s1", "s2", "s3", "s4"];
    c.line("bus", &["ups-s1", "ups-s2", "ups-s3", "ups-s4"], &all, 2_000);
    c.activity("db", "gold", "s1", 100, &all);
    c.activity("web", "silver", "s1", 100, &all);
    c.activity("batch", "bronze", "s2", 100, &[]);
    c.activity("mail", "silver", "s3", 100, &all);
    c.fail("A");
    c.outage(Phase::Debounce, Cause::DomainMains, 0);
    c.outage.as_mut().unwrap().scope = Scope::Domains(vec![name("A")]);
    reviewed("one-domain.txt", &plan(&c.build(), None, &PowerPolicy::default()));
}

#[test]
fn each_on_its_own_without_lines() {
    let mut c = four_servers();
    c.lines.clear();
    reviewed(
        "no-lines.txt",
        &plan(&c.blackout().build(), None, &PowerPolicy::default()),
    );
}

#[test]
fn a_quiet_day() {
    reviewed(
        "standing.txt",
        &plan(&four_servers().build(), None, &PowerPolicy::default()),
    );
}

#[test]
fn the_way_back() {
    let mut c = four_servers();
    c.servers
        .iter_mut()
        .skip(1)
        .for_each(|s| s.0.powered = Powered::OffCommanded);
    for a in c.activities.iter_mut().filter(|a| a.0.name.as_str() != "gold-db") {
        (a.0.state, a.0.shed) = (ActivityState::Stopped, true);
        a.3 = vec![a.2.clone()];
    }
    c.lines[0].3.push(("ups-s2".to_owned(), "s1".to_owned(), 100 * W));
    c.reserves.iter_mut().for_each(|r| r.0.charge_millijoules /= 4);
    c.outage(Phase::Restoring, Cause::Restoration, 900_000);
    reviewed(
        "restoration.txt",
        &plan(&c.build(), None, &PowerPolicy::default()),
    );
}
