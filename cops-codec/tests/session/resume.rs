//! Connections that are lost and come back: what either end holds, and for whom (RFC 2748 2.5, RFC 3084 7).

use std::time::Duration;

use cops_codec::message::DecisionBody;
use cops_codec::session::pdp::{Acceptance, Done, PdpCommand, PdpEvent, PepRegistry, Synchronize};
use cops_codec::session::pep::{
    ClientEnd, ClientOpening, HeldRequestState, Outcome, PepCommand, PepEvent, RequestBody,
};
use cops_codec::session::{CloseCause, HeldState, Moment};
use cops_codec::wire::{Context, KaTimer, PdpAddress, Reason, ReasonCode};

use crate::pair::*;

/// What is left at both ends after the connection of one installed state was lost.
pub(crate) fn lost(pair: &mut Pair) -> (ClientEnd, HeldState) {
    let now = pair.now;
    pair.pep.handle_disconnect();
    pair.pdp.handle_disconnect(now);
    pair.drain();
    let PepEvent::ClientClosed(end) = pair.pep_event() else {
        panic!()
    };
    assert!(matches!(
        pair.pep_event(),
        PepEvent::Closed {
            cause: CloseCause::Disconnected
        }
    ));
    assert!(matches!(
        pair.pdp_event(),
        PdpEvent::ClientClosed { held: true, .. }
    ));
    assert!(matches!(
        pair.pdp_event(),
        PdpEvent::Closed {
            cause: CloseCause::Disconnected
        }
    ));
    let held = pair.pdp.take_held().pop().unwrap();
    assert_eq!(pair.pdp.take_held(), []);
    (end, held)
}

/// A new connection of the same PEP, its OPN sent and told to the PDP's program.
pub(crate) fn back(end: &ClientEnd, last_pdp_address: Option<PdpAddress>) -> Pair {
    let mut pair = Pair::new();
    let opening = ClientOpening {
        last_pdp_address,
        held: end.states.clone(),
        ..ClientOpening::new(CT)
    };
    pair.pep_does(PepCommand::Open(opening));
    let PdpEvent::OpenRequested {
        last_pdp_address: seen,
        last_pdp_is_this,
        ..
    } = pair.pdp_event()
    else {
        panic!("an OPN")
    };
    assert_eq!(seen, last_pdp_address);
    assert_eq!(last_pdp_is_this, last_pdp_address == Some(address()));
    pair
}

pub(crate) fn accept(pair: &mut Pair, held: Option<HeldState>) -> Done {
    let done = pair.pdp_does(PdpCommand::Accept(Acceptance {
        held,
        ..Acceptance::new(CT, KaTimer(40))
    }));
    assert!(matches!(pair.pep_event(), PepEvent::ClientAccepted { .. }));
    done
}

pub(crate) const RESUMED: Done = Done::Accepted {
    resumed: true,
    synchronizing: false,
};

pub(crate) const SYNCHRONIZING: Done = Done::Accepted {
    resumed: false,
    synchronizing: true,
};

pub(crate) const FRESH: Done = Done::Accepted {
    resumed: false,
    synchronizing: false,
};

/// The PDP still holds everything: no SSQ, the old handles are valid, changes are told.
#[test]
fn e6_a_back_within_the_hold_time_c_2_5_07_c_2_5_08_c_2_5_09_p_7_03_p_7_04_a_10() {
    let (mut pair, kept) = Pair::installed();
    let deleted = pair.install_state();
    let (end, held) = lost(&mut pair);
    assert!(end.in_sync && held.is_complete());
    let mut pair = back(&end, Some(address()));
    assert_eq!(accept(&mut pair, Some(held)), RESUMED);
    pair.exchange();
    // Changed while away, deleted while away, and pushed on an old handle.
    pair.request(Some(&kept), RequestBody::incremental(rows("changed")));
    let PdpEvent::Request {
        request,
        update: true,
        ..
    } = pair.pdp_event()
    else {
        panic!()
    };
    pair.decide(&kept, request, null());
    let report = pair.pep_decision(&kept, true);
    pair.report(&kept, report, Outcome::Success);
    pair.pdp_event();
    pair.pep_does(PepCommand::Delete {
        client_type: CT,
        handle: deleted.clone(),
        reason: Reason::new(ReasonCode::MANAGEMENT),
    });
    assert!(matches!(pair.pdp_event(), PdpEvent::StateDeleted { handle, .. } if handle == deleted));
    pair.push(&kept, "plan");
    pair.pep_decision(&kept, false);
    // A new handle is not one of the old ones.
    let new = pair.request(None, RequestBody::configuration(rows("new")));
    assert!(![&kept, &deleted].contains(&&new));
    assert_eq!(
        pair.exchange(),
        [
            "PEP REQ",
            "PDP DEC S",
            "PEP RPT S",
            "PEP DRQ",
            "PDP DEC",
            "PEP REQ"
        ]
    );
}

/// The PDP holds nothing: SSQ, each state once more, SSC after the last decision.
#[test]
fn e6_b_synchronised_c_2_5_10_c_3_5_04_c_3_5_05_c_3_5_06_c_3_10_02_p_7_05() {
    both_ways(|piece| {
        let (mut pair, first) = Pair::installed();
        let second = pair.install_state();
        let (end, _) = lost(&mut pair);
        let mut pair = back(&end, Some(address()));
        pair.piece = piece;
        assert_eq!(accept(&mut pair, None), SYNCHRONIZING);
        assert_eq!(
            pair.pep_event(),
            PepEvent::SynchronizeRequested {
                client_type: CT,
                handle: None,
                states: vec![first.clone(), second.clone()],
            }
        );
        for handle in [&first, &second] {
            pair.request(Some(handle), RequestBody::configuration(rows("all of it")));
            let PdpEvent::Request {
                request,
                update: false,
                ..
            } = pair.pdp_event()
            else {
                panic!()
            };
            pair.decide(handle, request, DecisionBody::Decisions(install("known state")));
            let report = pair.pep_decision(handle, true);
            assert!(pair.pep.is_synchronizing(CT) && pair.pdp.is_synchronizing(CT));
            pair.report(handle, report, Outcome::Success);
            pair.pdp_event();
        }
        let synchronized = |dropped| PdpEvent::Synchronized {
            client_type: CT,
            handle: None,
            dropped,
        };
        assert_eq!(pair.pdp_event(), synchronized(Vec::new()));
        assert!(matches!(
            pair.pep_event(),
            PepEvent::Synchronized { handle: None, .. }
        ));
        pair.assert_quiet();
        let told = ["PEP REQ", "PDP DEC S", "PEP RPT S"];
        assert_eq!(
            pair.exchange(),
            [&["PEP OPN", "PDP CAT", "PDP SSQ"][..], &told, &told, &["PEP SSC"]].concat()
        );
    });
}

/// A PDP that was killed and started again has nothing, whatever its address; one with another address neither.
#[test]
fn e8_e9_restart_and_fail_over_c_2_5_05_c_2_5_06_p_7_06() {
    let (mut pair, handle) = Pair::installed();
    let (end, held) = lost(&mut pair);
    // Another PDP: state that it somehow has is not the one that the PEP means.
    let mut pair = back(&end, Some(other_address()));
    assert_eq!(accept(&mut pair, Some(held)), SYNCHRONIZING);
    assert!(matches!(pair.pep_event(), PepEvent::SynchronizeRequested { .. }));
    // Lost before it was synchronised: the decisions are still those of the other PDP.
    let (end, held) = lost(&mut pair);
    assert!(!end.in_sync, "the next OPN has to name the PDP before this one");
    assert!(!held.is_complete());
    let mut pair = back(&end, Some(other_address()));
    assert_eq!(accept(&mut pair, None), SYNCHRONIZING);
    assert!(matches!(pair.pep_event(), PepEvent::SynchronizeRequested { .. }));
    pair.request(Some(&handle), RequestBody::configuration(rows("all")));
    let request = pair.pdp_request(&handle);
    pair.decide(&handle, request, DecisionBody::Decisions(install("claimed")));
    let report = pair.pep_decision(&handle, true);
    pair.report(&handle, report, Outcome::Success);
    pair.pdp_event();
    assert!(matches!(pair.pdp_event(), PdpEvent::Synchronized { .. }));
    pair.pep_event();
    let (end, held) = lost(&mut pair);
    assert!(end.in_sync && held.is_complete());
}

/// Lost after CAT and before SSQ: what the PEP holds is not this PDP's, though nothing is open.
#[test]
fn c_2_5_06_accepted_is_not_yet_in_sync() {
    let (mut pair, _) = Pair::installed();
    let (end, _) = lost(&mut pair);
    for (last_pdp_address, in_sync) in [(other_address(), false), (address(), true)] {
        let mut pair = back(&end, Some(last_pdp_address));
        pair.pdp_does(PdpCommand::Accept(Acceptance {
            synchronize: Synchronize::Never,
            ..Acceptance::new(CT, KaTimer(40))
        }));
        pair.pep_event();
        let (end, _) = lost(&mut pair);
        assert_eq!(end.in_sync, in_sync, "{last_pdp_address}");
    }
}

/// A PEP that lost what it held says so by naming no PDP, and its REQ comes by itself.
#[test]
fn c_2_5_11_c_4_3_03_p_7_02_a_pep_without_cache_is_not_synchronised() {
    let (mut pair, _) = Pair::installed();
    let (mut end, held) = lost(&mut pair);
    end.states.clear();
    let mut pair = back(&end, None);
    assert_eq!(accept(&mut pair, Some(held)), FRESH);
    assert_eq!(pair.pdp.handles(CT).count(), 0, "what was held for it is dropped");
    assert_eq!(pair.exchange(), ["PEP OPN", "PDP CAT"]);
}

/// A decision whose report was lost may not have arrived: neither end takes the state for complete.
#[test]
fn e6_an_unreported_decision_makes_the_held_state_incomplete() {
    let (mut pair, handle) = Pair::installed();
    pair.push(&handle, "plan");
    pair.pep_decision(&handle, false);
    let (end, held) = lost(&mut pair);
    assert!(!end.in_sync && !held.is_complete());
    let mut pair = back(&end, Some(address()));
    assert_eq!(accept(&mut pair, Some(held)), SYNCHRONIZING);

    // The same for a REQ without its decision.
    let (mut pair, handle) = Pair::installed();
    pair.request(Some(&handle), RequestBody::incremental(rows("fact")));
    pair.pdp_request(&handle);
    let (end, held) = lost(&mut pair);
    assert!(!end.in_sync && !held.is_complete());
    assert_eq!(
        end.states,
        [HeldRequestState {
            handle,
            context: Context::CONFIGURATION,
            confirmed: false
        }]
    );
}

/// Two connections of one PEP: the newer wins once it is accepted, and takes the state along.
#[test]
fn a_second_connection_of_the_same_pep_takes_over() {
    let mut registry: PepRegistry<u32> = PepRegistry::new(Duration::from_secs(60), 100);
    let (mut old, handle) = Pair::installed();
    assert_eq!(registry.accepted(pep_id(), CT, 1), None);
    // The PEP has noticed that the connection is dead, the PDP has not.
    old.pep.handle_disconnect();
    old.drain();
    let PepEvent::ClientClosed(end) = old.pep_event() else {
        panic!()
    };
    let mut new = back(&end, Some(address()));
    // Not accepted yet: the old one still serves.
    assert_eq!(registry.connection(&pep_id(), CT), Some(&1));
    assert!(old.pdp.is_open(CT));
    let older = registry.accepted(pep_id(), CT, 2);
    assert_eq!(older, Some(1));
    old.pdp_does(PdpCommand::Supersede { client_type: CT });
    assert!(matches!(
        old.pdp_event(),
        PdpEvent::ClientClosed {
            cause: CloseCause::Superseded,
            held: true,
            ..
        }
    ));
    let held = old.pdp.take_held().pop().unwrap();
    assert_eq!(accept(&mut new, Some(held.clone())), RESUMED);
    new.push(&handle, "plan");
    new.pep_decision(&handle, false);
    // What the old one leaves later is not kept, and does not end the newer one.
    registry.closed(&pep_id(), CT, &1);
    assert_eq!(registry.connection(&pep_id(), CT), Some(&2));
    assert!(registry.hold(held).is_some());
}

/// Held state is taken over within its time, and dropped after it.
#[test]
fn p_7_08_c_2_3_08_held_state_expires() {
    let mut registry: PepRegistry<u32> = PepRegistry::new(Duration::from_secs(60), 1);
    let (mut pair, _) = Pair::installed();
    let (_, held) = lost(&mut pair);
    let lost_at = held.lost_at();
    let end = lost_at.after(Duration::from_secs(60));
    assert_eq!(registry.hold(held.clone()), None);
    assert_eq!(registry.poll_timeout(), Some(end));
    assert_eq!(registry.expire(Moment(end.0 - 1)), []);
    assert_eq!(
        registry.take_held(&pep_id(), CT, Moment(end.0 - 1)),
        Some(held.clone())
    );
    assert_eq!(registry.take_held(&pep_id(), CT, lost_at), None, "once");
    registry.hold(held.clone());
    assert_eq!(registry.take_held(&pep_id(), CT, end), None, "too late");
    registry.hold(held.clone());
    assert_eq!(registry.expire(end), [held]);
    assert_eq!(registry.poll_timeout(), None);
}
