use super::*;
use crate::limits::MAX_COMMANDS_REMEMBERED;

fn domain_a() -> Scope {
    Scope::Domains(vec![name("dom-a")])
}

fn done(outcome: &(CommandOutcome, bool)) -> bool {
    matches!(outcome, (CommandOutcome::Done(_), false))
}

fn refused(outcome: (CommandOutcome, bool)) -> String {
    match outcome.0 {
        CommandOutcome::Refused(why) => why,
        CommandOutcome::Done(what) => panic!("done: {what}"),
    }
}

#[test]
fn c7_a_command_interrupts_and_restore_ends_it() {
    let mut w = World::quiet();
    w.pass(1_000_000);
    assert!(done(&w.command("1", Command::Interrupt(domain_a()))));
    assert_eq!(w.machine.phase(), Phase::Debounce);
    assert_eq!(w.server("a1"), Mains::Absent);
    assert_eq!(w.server("both"), Mains::Present);
    assert_eq!(w.domain("dom-a"), Mains::Present, "the mains itself is well");
    w.pass(DEBOUNCE);
    assert!(w.machine.may_shed());
    assert_eq!(w.outage().cause, Cause::Command);
    assert_eq!(w.outage().scope, domain_a());
    assert!(done(&w.command("2", Command::Restore)));
    // Mains was good all along: nothing has to be waited for.
    assert_eq!(w.machine.phase(), Phase::Restoring);
    assert!(w.machine.may_restart() && w.machine.may_move_back());
    w.signal(Signal::Restored);
    assert_eq!(w.machine.phase(), Phase::Normal);
}

#[test]
fn a_command_sent_twice_is_done_once() {
    let mut w = World::quiet();
    let first = w.command("1", Command::Interrupt(domain_a()));
    w.pass(DEBOUNCE);
    w.command("2", Command::Restore);
    w.signal(Signal::Restored);
    let again = w.command("1", Command::Interrupt(domain_a()));
    assert_eq!(again, (first.0, true));
    assert_eq!(w.machine.phase(), Phase::Normal);
}

#[test]
fn a_cancel_within_the_debounce_leaves_no_trace() {
    let mut w = World::quiet();
    w.command("1", Command::Interrupt(Scope::Cluster));
    w.pass(DEBOUNCE - 1);
    assert!(done(&w.command("2", Command::Cancel)));
    assert_eq!(w.phases(), [Phase::Debounce, Phase::Normal]);
}

#[test]
fn a_cancel_after_it_brings_everything_back() {
    let mut w = World::quiet();
    w.pass(GOOD);
    w.command("1", Command::Interrupt(Scope::Cluster));
    w.pass(DEBOUNCE);
    w.command("2", Command::Cancel);
    assert_eq!(w.machine.phase(), Phase::Restoring);
}

#[test]
fn servers_without_any_telemetry_can_be_interrupted_and_restored() {
    let mut w = World::silent();
    w.command("1", Command::Interrupt(Scope::Servers(vec![name("a1")])));
    w.pass(DEBOUNCE);
    assert_eq!(w.server("a1"), Mains::Absent);
    w.command("2", Command::Restore);
    assert_eq!(w.machine.phase(), Phase::Restoring);
}

#[test]
fn a_scope_with_an_unknown_name_is_refused_whole() {
    let mut w = World::quiet();
    let scope = Scope::Servers(vec![name("a1"), name("a9")]);
    assert_eq!(
        refused(w.command("1", Command::Interrupt(scope))),
        "there is no server a9"
    );
    let scope = Scope::Domains(vec![name("dom-x")]);
    assert_eq!(
        refused(w.command("2", Command::Drill(scope))),
        "there is no domain dom-x"
    );
    assert_eq!(
        refused(w.command("3", Command::Interrupt(Scope::Servers(vec![])))),
        "the scope names no server"
    );
    assert_eq!(w.machine.phase(), Phase::Normal);
}

#[test]
fn when_mains_fails_during_a_commanded_interruption_each_ends_by_its_own_way() {
    let mut w = World::quiet();
    w.command("1", Command::Interrupt(domain_a()));
    w.pass(20_000);
    w.see(&["b1", "b2", "b3"], Mains::Absent);
    assert_eq!(w.outage().cause, Cause::Command);
    assert_eq!(w.outage().elapsed_millis, 20_000);
    w.pass(20_000);
    // Mains returns: the commanded part goes on.
    w.see(&["b1", "b2", "b3"], Mains::Present);
    w.pass(GOOD);
    assert_eq!(w.machine.phase(), Phase::Interrupted);
    assert_eq!(w.outage().scope, domain_a());
    // And the other way round.
    w.see(&["b1", "b2", "b3"], Mains::Absent);
    w.pass(20_000);
    let (outcome, _) = w.command("2", Command::Restore);
    assert_eq!(
        outcome.to_string(),
        "done: the commanded interruption ends; mains is absent, so that part goes on"
    );
    assert_eq!(w.machine.phase(), Phase::Interrupted);
    assert_eq!(w.outage().cause, Cause::DomainMains);
    assert_eq!(w.server("a1"), Mains::Present);
    assert_eq!(w.outage().scope, Scope::Domains(vec![name("dom-b")]));
}

#[test]
fn a_scope_grows_by_a_second_command() {
    let mut w = World::quiet();
    w.command("1", Command::Interrupt(domain_a()));
    w.pass(20_000);
    w.command("2", Command::Interrupt(Scope::Cluster));
    assert_eq!(w.server("lone"), Mains::Absent);
    assert_eq!(w.outage().elapsed_millis, 20_000);
    assert_eq!(w.outage().scope, Scope::Cluster);
}

#[test]
fn restore_does_not_override_what_is_reported() {
    let mut w = World::quiet();
    w.see(&["a1", "a2", "a3"], Mains::Absent);
    w.pass(10_000);
    assert_eq!(
        refused(w.command("1", Command::Restore)),
        "mains is reported absent for 3 servers (a1 is one)"
    );
    w.see(&["a1", "a2", "a3"], Mains::Present);
    assert_eq!(
        refused(w.command("2", Command::Restore)),
        "mains is back and has to prove itself first"
    );
}

#[test]
fn restore_takes_mains_that_nobody_reports_for_good() {
    let mut w = World::quiet();
    w.see(&["a1", "a2", "a3", "lone"], Mains::Absent);
    w.pass(10_000);
    for pep in ["a1", "a2", "a3", "lone", "both"] {
        w.signal(Signal::Forget { pep: name(pep) });
    }
    w.pass(600_000);
    assert_eq!(w.machine.phase(), Phase::Interrupted);
    assert!(done(&w.command("1", Command::Restore)));
    assert_eq!(w.machine.phase(), Phase::MainsGood, "it still has to last");
    w.pass(GOOD);
    assert_eq!(w.machine.phase(), Phase::Restoring);
}

#[test]
fn cancel_needs_something_to_cancel() {
    let mut w = World::quiet();
    w.see(&["lone"], Mains::Absent);
    w.pass(10_000);
    assert_eq!(
        refused(w.command("1", Command::Cancel)),
        "no commanded interruption or drill is in force"
    );
}

#[test]
fn a_drill_goes_the_way_of_an_interruption_with_every_actuator_held() {
    let mut w = World::quiet();
    assert!(done(&w.command("1", Command::Drill(Scope::Cluster))));
    w.pass(60_000);
    assert_eq!(w.machine.phase(), Phase::Interrupted);
    assert_eq!(w.outage().cause, Cause::Drill);
    assert_eq!(w.server("a1"), Mains::Absent, "the planner plans as if");
    assert!(!w.machine.may_shed());
    w.command("2", Command::Cancel);
    assert_eq!(w.phases(), [Phase::Debounce, Phase::Interrupted, Phase::Normal]);
}

#[test]
fn something_real_ends_a_drill_at_once() {
    let mut w = World::quiet();
    w.command("1", Command::Drill(Scope::Cluster));
    w.pass(60_000);
    w.see(&["a1", "a2", "a3"], Mains::Absent);
    assert_eq!(w.machine.phase(), Phase::Debounce);
    assert_eq!(w.outage().cause, Cause::DomainMains);
    assert_eq!(w.outage().scope, domain_a());
    assert_eq!(w.outage().elapsed_millis, 0);
    assert_eq!(w.server("b1"), Mains::Present);
    w.pass(DEBOUNCE);
    assert!(w.machine.may_shed());

    let mut w = World::quiet();
    w.command("1", Command::Drill(Scope::Cluster));
    w.pass(60_000);
    w.command("2", Command::Interrupt(domain_a()));
    w.pass(DEBOUNCE);
    assert_eq!(w.outage().cause, Cause::Command);
    assert_eq!(w.server("b1"), Mains::Present);
    assert!(w.machine.may_shed());
    assert_eq!(
        refused(w.command("3", Command::Drill(domain_a()))),
        "there is an interruption already; a drill wants a quiet cluster"
    );
}

#[test]
fn command_ids_are_bounded() {
    let mut w = World::quiet();
    assert!(refused(w.command(&"x".repeat(129), Command::Cancel)).contains("1 to 128 octets"));
    for i in 0..3_000 {
        w.command(&i.to_string(), Command::Cancel);
    }
    assert_eq!(w.machine.answered.len(), MAX_COMMANDS_REMEMBERED);
}
