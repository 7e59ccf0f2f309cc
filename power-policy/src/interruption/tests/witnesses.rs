use super::*;

#[test]
fn a_majority_of_its_peps_makes_a_domain() {
    let mut w = World::quiet();
    w.see(&["a1"], Mains::Absent);
    // One of four voices (the dual-corded server has one too): that server alone.
    assert_eq!(w.domain("dom-a"), Mains::Present);
    assert_eq!(w.server("a1"), Mains::Absent);
    assert_eq!(w.outage().scope, Scope::Servers(vec![name("a1")]));
    assert_eq!(w.outage().cause, Cause::ServerMains);
    w.see(&["a2"], Mains::Absent);
    assert_eq!(w.domain("dom-a"), Mains::Present);
    w.see(&["a3"], Mains::Absent);
    assert_eq!(w.domain("dom-a"), Mains::Absent);
    assert_eq!(
        w.machine.explain_domain(&name("dom-a")),
        Some("3 of 4 reporting PEPs say absent")
    );
    assert_eq!(w.outage().scope, Scope::Domains(vec![name("dom-a")]));
    assert_eq!(w.outage().cause, Cause::DomainMains);
    assert_eq!(w.server("both"), Mains::Present, "its other cord is alive");
    assert_eq!(w.server("b1"), Mains::Present);
}

#[test]
fn one_voice_of_two_is_that_server_alone_even_if_the_other_is_silent() {
    let mut w = World::silent();
    w.see(&["a1"], Mains::Absent);
    assert_eq!(w.domain("dom-a"), Mains::Unknown);
    assert_eq!(w.server("a1"), Mains::Absent);
    assert_eq!(w.server("a2"), Mains::Unknown);
    assert_eq!(w.outage().scope, Scope::Servers(vec![name("a1")]));
}

#[test]
fn the_only_pep_of_a_domain_speaks_for_it() {
    let mut w = World::quiet();
    w.see(&["lone"], Mains::Absent);
    assert_eq!(w.domain("dom-c"), Mains::Absent);
    assert_eq!(w.outage().scope, Scope::Domains(vec![name("dom-c")]));
}

#[test]
fn cords_pulled_far_apart_make_no_domain() {
    let mut w = World::quiet();
    for server in ["a1", "a2", "a3"] {
        w.see(&[server], Mains::Absent);
        w.pass(DEBOUNCE + 1);
    }
    assert_eq!(w.domain("dom-a"), Mains::Present, "'both' still says present");
    assert_eq!(
        w.outage().scope,
        Scope::Servers(vec![name("a1"), name("a2"), name("a3")])
    );
    // With the last voice it is all of them, whenever they began.
    w.see(&["both"], Mains::Absent);
    assert_eq!(w.domain("dom-a"), Mains::Absent);
}

#[test]
fn an_inlet_of_a_pep_without_a_server_in_the_domain_has_no_voice() {
    let mut w = World::quiet();
    for pep in ["b1", "b2", "b3", "lone", "stranger"] {
        w.signal(report(&name(pep), &name("dom-a"), Witness::Inlet, Mains::Absent));
    }
    assert_eq!(w.domain("dom-a"), Mains::Present);
    assert_eq!(w.machine.phase(), Phase::Normal);
}

#[test]
fn a_facility_witness_counts_only_where_the_site_names_it() {
    let mut w = World::quiet();
    w.signal(facility("rack-b", "dom-a", Mains::Absent));
    assert_eq!(w.domain("dom-a"), Mains::Present);
    assert!(matches!(&w.log[..], [Event::ReportIgnored { pep, .. }] if pep.as_str() == "rack-b"));
    w.signal(facility("rack-b", "dom-b", Mains::Absent));
    assert_eq!(w.domain("dom-b"), Mains::Absent);
    // A facility UPS keeps the inlets alive; they have no say in it, then or later.
    w.pass(10 * DEBOUNCE);
    assert_eq!(w.server("b1"), Mains::Absent);
    assert_eq!(w.machine.phase(), Phase::Interrupted);
}

#[test]
fn what_does_not_count_or_is_not_said_any_more_takes_no_place() {
    let mut w = World::quiet();
    let kept = |w: &World| w.machine.report_count;
    let before = kept(&w);
    for n in 0..100 {
        let domain = format!("other-{n}");
        w.signal(facility("rack-b", &domain, Mains::Absent));
        w.signal(report(
            &name("rack-b"),
            &name(&domain),
            Witness::Inlet,
            Mains::Absent,
        ));
        assert_eq!(kept(&w), before + 1);
        w.signal(Signal::Silent {
            pep: name("rack-b"),
            domain: name(&domain),
        });
        assert_eq!(kept(&w), before);
    }
    // What was said as an inlet does not stand when it is said as what does not count.
    w.signal(facility("a1", "dom-a", Mains::Absent));
    assert_eq!(kept(&w), before - 1);
}

#[test]
fn silence_of_the_facility_witness_does_not_end_what_it_began() {
    let mut w = World::quiet();
    w.signal(facility("rack-b", "dom-b", Mains::Absent));
    w.pass(120_000);
    assert_eq!(w.domain("dom-b"), Mains::Absent);
    assert_eq!(
        w.machine.explain_domain(&name("dom-b")),
        Some("stays absent: the facility witness that said absent is silent")
    );
    w.signal(facility("rack-b", "dom-b", Mains::Present));
    assert_eq!(w.domain("dom-b"), Mains::Unstable, "it has yet to prove itself");
}

#[test]
fn a_dual_corded_server_is_lost_with_its_last_cord() {
    let mut w = World::quiet();
    w.see(&["a1", "a2", "a3"], Mains::Absent);
    assert_eq!(w.server("both"), Mains::Present);
    w.pass(20_000);
    w.see(&["b1", "b2", "b3"], Mains::Absent);
    w.signal(report(
        &name("both"),
        &name("dom-a"),
        Witness::Inlet,
        Mains::Absent,
    ));
    assert_eq!(
        w.server("both"),
        Mains::Absent,
        "its view of dom-b is older than the loss"
    );
    assert_eq!(
        w.outage().scope,
        Scope::Domains(vec![name("dom-a"), name("dom-b")])
    );
}

#[test]
fn a_server_that_says_otherwise_for_long_enough_is_believed() {
    let mut w = World::quiet();
    w.see(&["a1", "a2", "a3"], Mains::Absent);
    w.see(&["b1", "b2"], Mains::Absent);
    // b3 and both say present: no majority of four in dom-b.
    assert_eq!(w.domain("dom-b"), Mains::Present);
    w.see(&["b3"], Mains::Absent);
    assert_eq!(w.domain("dom-b"), Mains::Absent);
    assert_eq!(w.server("both"), Mains::Absent, "it may not have noticed yet");
    w.pass(DEBOUNCE);
    w.signal(report(
        &name("both"),
        &name("dom-b"),
        Witness::Inlet,
        Mains::Present,
    ));
    assert_ne!(w.server("both"), Mains::Absent);
}

#[test]
fn silence_begins_no_interruption() {
    let mut w = World::quiet();
    w.pass_with(600_000, false);
    assert_eq!(w.machine.phase(), Phase::Normal);
    for domain in ["dom-a", "dom-b", "dom-c"] {
        assert_eq!(w.domain(domain), Mains::Unknown, "nor is all well");
    }
    assert_eq!(w.server("a1"), Mains::Unknown);
}

#[test]
fn silence_ends_no_interruption() {
    let mut w = World::quiet();
    w.see(&["a1", "a2", "a3"], Mains::Absent);
    w.see(&["lone"], Mains::Absent);
    w.pass_with(3_600_000, false);
    assert_eq!(w.machine.phase(), Phase::Interrupted);
    assert_eq!(w.server("a1"), Mains::Absent);
    assert_eq!(w.server("lone"), Mains::Absent);
    // Of a server alone too: that the others are well says nothing about its own cord.
    let mut w = World::quiet();
    w.see(&["a1"], Mains::Absent);
    w.signal(Signal::Forget { pep: name("a1") });
    w.pass(120_000);
    assert_eq!(w.domain("dom-a"), Mains::Present);
    assert_eq!(w.server("a1"), Mains::Absent);
    // One voice is enough to end it.
    w.see(&["a1"], Mains::Present);
    assert_eq!(w.machine.phase(), Phase::MainsGood);
}

/// Everybody but these is heard from every second.
fn pass_without(w: &mut World, silent: &[&str], millis: u64) {
    let until = w.now + millis;
    while w.now < until {
        w.pass_with(1_000, false);
        for pep in sites().into_keys().filter(|pep| !silent.contains(&pep.as_str())) {
            w.signal(Signal::Heard { pep });
        }
    }
}

#[test]
fn those_who_are_back_do_not_wait_for_the_silent() {
    // One that lost its own cord, and one that is alone in its domain.
    for silent in ["a1", "lone"] {
        let mut w = World::quiet();
        w.see(&[silent, "b1", "b2"], Mains::Absent);
        w.see(&["b3", "both"], Mains::Absent);
        pass_without(&mut w, &[], 20_000);
        assert_eq!(w.machine.phase(), Phase::Interrupted);
        w.see(&["b1", "b2", "b3", "both"], Mains::Present);
        // While it is heard it is waited for, however long: that is no silence.
        pass_without(&mut w, &[], 3 * GOOD);
        assert_eq!(w.machine.phase(), Phase::Interrupted, "{silent}");
        let stale = config().stale_millis;
        pass_without(&mut w, &[silent], stale);
        assert_eq!(
            w.machine.phase(),
            Phase::Interrupted,
            "{silent}: its word still counts"
        );
        pass_without(&mut w, &[silent], 2_000);
        assert_eq!(
            w.machine.phase(),
            Phase::Restoring,
            "{silent}: the others are long back"
        );
        assert_eq!(w.server(silent), Mains::Absent, "nothing relies on it");
        w.signal(Signal::Restored);
        pass_without(&mut w, &[silent], 10 * GOOD);
        assert_eq!(
            w.machine.phase(),
            Phase::Normal,
            "{silent}: silence begins nothing"
        );
        assert_eq!(w.entered(Phase::Debounce), 1);
        // It speaks again: that counts.
        w.see(&[silent], Mains::Absent);
        assert_eq!(w.machine.phase(), Phase::Debounce, "{silent}");
    }
}

#[test]
fn a_silent_server_that_comes_back_in_a_restoration_begins_an_interruption_only_without_mains() {
    let mut w = World::quiet();
    w.see(&["a1", "lone"], Mains::Absent);
    pass_without(&mut w, &[], 20_000);
    w.see(&["a1"], Mains::Present);
    pass_without(&mut w, &["lone"], config().stale_millis + GOOD + 2_000);
    assert_eq!(w.machine.phase(), Phase::Restoring);
    w.see(&["lone"], Mains::Present);
    pass_without(&mut w, &[], 2 * GOOD);
    assert_eq!(w.machine.phase(), Phase::Restoring);
    w.see(&["lone"], Mains::Absent);
    assert_eq!(w.machine.phase(), Phase::Debounce);
}

#[test]
fn a_server_that_is_not_named_any_more_stays_interrupted() {
    let mut w = World::quiet();
    w.see(&["a1", "a2", "a3"], Mains::Absent);
    w.pass(10_000);
    let mut fewer = sites();
    fewer.remove(&name("a2"));
    w.machine.set_sites(w.now, fewer);
    assert_eq!(w.server("a2"), Mains::Absent);
    assert_eq!(w.machine.phase(), Phase::Interrupted);
}

#[test]
fn unknown_is_no_vote() {
    let mut w = World::quiet();
    w.see(&["a1", "a2"], Mains::Unknown);
    w.see(&["a3", "both"], Mains::Absent);
    assert_eq!(w.domain("dom-a"), Mains::Absent, "two of two that say anything");
}

/// A server that a plan switched off takes its PEP with it, which said "absent" last.
#[test]
fn the_last_word_of_a_pep_that_is_gone_does_not_outlive_the_return_of_its_domain() {
    let mut w = World::quiet();
    w.signal(facility("rack-b", "dom-b", Mains::Absent));
    w.see(&["b1", "b2", "b3"], Mains::Absent);
    w.pass(DEBOUNCE);
    // b1 is switched off. The others live on, and are heard from.
    w.pass_with(5_000, false);
    w.see(&["b3"], Mains::Present);
    assert_eq!(w.server("b1"), Mains::Absent);
    w.signal(facility("rack-b", "dom-b", Mains::Present));
    assert_eq!(w.server("b1"), Mains::Unstable, "back, and not yet proven");
    // One that is still there and sees no mains at its own inlet is believed as soon as it is heard.
    assert_eq!(w.server("b2"), Mains::Unstable);
    w.pass_with(1_000, false);
    w.signal(Signal::Heard { pep: name("b2") });
    assert_eq!(w.server("b2"), Mains::Absent);
    w.see(&["b2"], Mains::Present);
    for _ in 0..3 * GOOD / 5_000 {
        w.pass_with(5_000, false);
        for pep in ["b2", "b3", "rack-b"] {
            w.signal(Signal::Heard { pep: name(pep) });
        }
    }
    assert_eq!(w.server("b1"), Mains::Present, "its silence makes nothing absent");
    assert!(w.phases().contains(&Phase::Restoring), "{:?}", w.phases());
}
