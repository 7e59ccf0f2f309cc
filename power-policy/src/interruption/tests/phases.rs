use super::*;

const RACK_A: [&str; 3] = ["a1", "a2", "a3"];
const RACK_B: [&str; 3] = ["b1", "b2", "b3"];

#[test]
fn c6_a_mains_failure_goes_the_whole_way_and_back() {
    let mut w = World::quiet();
    w.see(&RACK_A, Mains::Absent);
    assert_eq!(w.machine.phase(), Phase::Debounce);
    assert_eq!(w.machine.next_deadline(), Some(DEBOUNCE));
    assert!(!w.machine.may_shed());
    w.pass(DEBOUNCE - 1);
    assert_eq!(w.machine.phase(), Phase::Debounce);
    w.pass(1);
    assert_eq!(w.machine.phase(), Phase::Interrupted);
    assert!(w.machine.may_shed());
    w.pass(600_000);
    assert_eq!(w.outage().elapsed_millis, 600_000 + DEBOUNCE);

    w.see(&RACK_A, Mains::Present);
    assert_eq!(w.machine.phase(), Phase::MainsGood);
    assert!(!w.machine.may_shed() && !w.machine.may_restart());
    assert_eq!(w.server("a1"), Mains::Unstable);
    w.pass(GOOD - 1);
    assert_eq!(w.machine.phase(), Phase::MainsGood);
    w.pass(1);
    assert_eq!(w.machine.phase(), Phase::Restoring);
    assert_eq!(w.server("a1"), Mains::Present);
    assert!(w.machine.may_restart() && !w.machine.may_move_back());
    w.signal(Signal::Restored);
    assert_eq!(w.machine.phase(), Phase::Normal);
    assert_eq!(w.machine.outage(w.now), None);
    assert!(!w.machine.may_move_back());
    w.pass(900_000 - GOOD);
    assert!(w.machine.may_move_back());
    assert_eq!(w.log.last(), Some(&Event::MoveBackAllowed));
    assert_eq!(
        w.phases(),
        [
            Phase::Debounce,
            Phase::Interrupted,
            Phase::MainsGood,
            Phase::Restoring,
            Phase::Normal
        ]
    );
}

#[test]
fn the_age_of_a_report_counts_into_the_debounce_and_the_clock() {
    let mut w = World::quiet();
    w.pass(10_000);
    let signals = RACK_A.map(|pep| Signal::MainsReport {
        pep: name(pep),
        domain: name("dom-a"),
        witness: Witness::Inlet,
        mains: Mains::Absent,
        age_millis: 1_200,
    });
    w.machine.handle(w.now, signals);
    assert_eq!(w.outage().elapsed_millis, 1_200);
    assert_eq!(w.machine.next_deadline(), Some(10_000 + DEBOUNCE - 1_200));
}

#[test]
fn a_dip_shorter_than_the_debounce_leads_to_nothing_irreversible() {
    let mut w = World::quiet();
    w.see(&RACK_A, Mains::Absent);
    w.pass(DEBOUNCE - 1);
    w.see(&RACK_A, Mains::Present);
    w.pass(DEBOUNCE - 1);
    assert_eq!(w.machine.phase(), Phase::Debounce, "it may come again at once");
    w.pass(1);
    assert_eq!(w.phases(), [Phase::Debounce, Phase::Normal]);
}

#[test]
fn ragged_absences_add_up() {
    let mut w = World::quiet();
    for _ in 0..3 {
        w.see(&RACK_A, Mains::Absent);
        w.pass(1_000);
        w.see(&RACK_A, Mains::Present);
        w.pass(500);
    }
    assert_eq!(w.entered(Phase::Interrupted), 1);
    assert_eq!(w.entered(Phase::Debounce), 1);
}

/// Six dips in 82 seconds happened (NERC, July 2024).
fn six_dips(dip_millis: u64) -> World {
    let mut w = World::quiet();
    let gap = (82_000 - 6 * dip_millis) / 5;
    for dip in 0..6 {
        w.see(&RACK_A, Mains::Absent);
        w.pass(dip_millis);
        w.see(&RACK_A, Mains::Present);
        if dip < 5 {
            w.pass(gap);
        }
    }
    assert!(w.now <= 82_000);
    w
}

#[test]
fn six_short_dips_do_not_thrash() {
    let mut w = six_dips(2_000);
    w.pass(3_600_000);
    assert_eq!(w.entered(Phase::Interrupted), 0);
    assert_eq!(w.entered(Phase::Restoring), 0);
    assert_eq!(w.entered(Phase::Debounce), 6);
    assert_eq!(w.machine.phase(), Phase::Normal);
}

#[test]
fn six_long_dips_shed_once_and_restart_once() {
    let mut w = six_dips(5_000);
    assert_eq!(w.entered(Phase::Debounce), 1, "later dips find the lines joined");
    assert_eq!(w.entered(Phase::Restoring), 0, "60 s were never good");
    assert_eq!(
        w.machine.mains_good_millis(),
        900_000,
        "60 s doubled five times, up to the bound"
    );
    w.pass(900_000 - 1);
    assert_eq!(w.machine.phase(), Phase::MainsGood);
    w.pass(1);
    assert_eq!(w.machine.phase(), Phase::Restoring);
    w.signal(Signal::Restored);
    w.pass(3_600_000);
    assert_eq!(w.entered(Phase::Restoring), 1);
    assert_eq!(w.machine.phase(), Phase::Normal);
    // The dips are forgotten after an hour.
    w.see(&RACK_A, Mains::Absent);
    assert_eq!(w.machine.mains_good_millis(), GOOD);
}

#[test]
fn short_dips_while_mains_proves_itself_only_start_the_wait_again() {
    let mut w = World::quiet();
    w.see(&RACK_A, Mains::Absent);
    w.pass(10_000);
    w.see(&RACK_A, Mains::Present);
    w.pass(50_000);
    let before = w.phases();
    w.see(&RACK_A, Mains::Absent);
    w.pass(DEBOUNCE - 1);
    assert!(!w.machine.may_shed());
    w.see(&RACK_A, Mains::Present);
    assert_eq!(w.machine.mains_good_millis(), 2 * GOOD);
    w.pass(2 * GOOD - 1);
    assert_eq!(w.phases(), before);
    w.pass(1);
    assert_eq!(w.machine.phase(), Phase::Restoring);
}

#[test]
fn a_long_dip_while_mains_proves_itself_is_the_same_interruption() {
    let mut w = World::quiet();
    w.see(&RACK_A, Mains::Absent);
    w.pass(10_000);
    w.see(&RACK_A, Mains::Present);
    w.pass(20_000);
    w.see(&RACK_A, Mains::Absent);
    w.pass(DEBOUNCE);
    assert_eq!(w.machine.phase(), Phase::Interrupted);
    assert_eq!(w.outage().elapsed_millis, 30_000 + DEBOUNCE);
}

#[test]
fn a_dip_during_restoration_stops_it_at_once_and_is_debounced() {
    let mut w = World::quiet();
    w.see(&RACK_A, Mains::Absent);
    w.pass(10_000);
    w.see(&RACK_A, Mains::Present);
    w.pass(GOOD);
    assert!(w.machine.may_restart());
    w.see(&RACK_A, Mains::Absent);
    assert_eq!(w.machine.phase(), Phase::Debounce);
    assert!(!w.machine.may_restart() && !w.machine.may_shed());
    assert_eq!(w.outage().elapsed_millis, 10_000 + GOOD, "the same clock");
    w.pass(1_000);
    w.see(&RACK_A, Mains::Present);
    w.pass(DEBOUNCE);
    // Something is still shed, so there is no way straight back to normal.
    assert_eq!(w.machine.phase(), Phase::MainsGood);
    w.pass(2 * GOOD);
    assert_eq!(w.machine.phase(), Phase::Restoring);
}

#[test]
fn the_clock_restarts_once_the_reserves_have_recovered() {
    let mut w = World::quiet();
    w.see(&RACK_A, Mains::Absent);
    w.pass(10_000);
    w.see(&RACK_A, Mains::Present);
    w.pass(GOOD);
    w.signal(Signal::ReservesRecovered);
    w.pass(5_000);
    // What is being brought back is still told by the time since it was lost.
    assert_eq!(w.outage().elapsed_millis, 10_000 + GOOD + 5_000);
    w.see(&RACK_A, Mains::Absent);
    w.pass(1_000);
    assert_eq!(w.outage().elapsed_millis, 1_000);
}

#[test]
fn a_second_domain_joins_without_resetting_the_clock() {
    let mut w = World::quiet();
    w.see(&RACK_A, Mains::Absent);
    w.pass(60_000);
    assert!(w.machine.may_shed());
    w.log.clear();
    w.see(&RACK_B, Mains::Absent);
    assert!(
        w.log
            .iter()
            .any(|e| matches!(e, Event::ScopeGrew { servers } if servers.len() == 3))
    );
    assert_eq!(w.machine.phase(), Phase::Interrupted);
    assert_eq!(w.outage().elapsed_millis, 60_000);
    assert_eq!(
        w.outage().scope,
        Scope::Domains(vec![name("dom-a"), name("dom-b")])
    );
    // What has just come in is debounced like the first.
    assert!(!w.machine.may_shed());
    w.pass(DEBOUNCE - 1);
    assert!(!w.machine.may_shed());
    w.pass(1);
    assert!(w.machine.may_shed());
}

#[test]
fn servers_lost_one_by_one_cannot_keep_the_others_from_shedding() {
    let mut machine = Interruption::new(config());
    let many: Vec<Name> = (0..40).map(|i| name(&format!("s{i:02}"))).collect();
    let sites = many
        .iter()
        .map(|n| {
            let site = Site {
                pep: Some(n.clone()),
                domains: vec![name("dom-a")],
            };
            (n.clone(), site)
        })
        .collect();
    machine.set_sites(0, sites);
    for pep in &many {
        machine.handle(0, [report(pep, &name("dom-a"), Witness::Inlet, Mains::Present)]);
    }
    let (mut open, mut now) = (0, 0);
    for pep in many.iter().take(20) {
        machine.handle(now, [report(pep, &name("dom-a"), Witness::Inlet, Mains::Absent)]);
        for _ in 0..20 {
            now += 100;
            machine.handle_timeout(now);
            open += u64::from(machine.may_shed()) * 100;
        }
    }
    assert_eq!(machine.phase(), Phase::Interrupted);
    assert!(open >= now / 5, "{open} ms of {now} ms");
}

#[test]
fn a_domain_that_has_proven_itself_leaves_while_the_other_stays() {
    let mut w = World::quiet();
    w.see(&RACK_A, Mains::Absent);
    w.see(&RACK_B, Mains::Absent);
    w.pass(30_000);
    w.see(&RACK_A, Mains::Present);
    assert_eq!(w.server("a1"), Mains::Unstable);
    w.pass(GOOD - 1);
    assert_eq!(w.server("a1"), Mains::Unstable);
    w.log.clear();
    w.pass(1);
    assert_eq!(w.server("a1"), Mains::Present);
    let left = w
        .log
        .iter()
        .any(|e| matches!(e, Event::ScopeShrank { servers } if servers.contains(&name("a2"))));
    assert!(left);
    assert_eq!(w.machine.phase(), Phase::Interrupted);
    assert_eq!(w.outage().scope, Scope::Domains(vec![name("dom-b")]));
}
