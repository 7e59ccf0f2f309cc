//! SSQ and SSC: what is sent again, what is counted as sent, and what is dropped (RFC 2748 3.5, 3.10).

use cops_codec::session::pdp::{Acceptance, Done, PdpCommand, PdpEvent};
use cops_codec::session::pep::{Outcome, PepEvent, RequestBody};
use cops_codec::wire::{ClientHandle, KaTimer, Reason, ReasonCode};

use crate::pair::*;
use crate::resume::{back, lost};

/// SSC waits for the decision on a REQ that was open when SSQ came, and does not have it sent again.
#[test]
fn a_25_an_open_request_counts_as_synchronised() {
    let (mut pair, handle) = Pair::installed();
    pair.request(Some(&handle), RequestBody::configuration(rows("everything")));
    let request = pair.pdp_request(&handle);
    pair.pdp_does(PdpCommand::Synchronize {
        client_type: CT,
        handle: None,
    });
    assert_eq!(
        pair.pep_event(),
        PepEvent::SynchronizeRequested {
            client_type: CT,
            handle: None,
            states: Vec::new()
        }
    );
    assert!(pair.pep.is_synchronizing(CT));
    pair.decide(&handle, request, null());
    let report = pair.pep_decision(&handle, true);
    pair.report(&handle, report, Outcome::Success);
    assert!(!pair.pep.is_synchronizing(CT));
    pair.pdp_event();
    assert!(matches!(pair.pdp_event(), PdpEvent::Synchronized { dropped, .. } if dropped.is_empty()));
}

/// An open REQ that tells only a change cannot stand for the whole state; one that goes on is done with the last part.
#[test]
fn p_3318_2_3_1_02_a_change_does_not_synchronise_and_a_long_state_may_come_in_parts() {
    let (mut pair, handle) = Pair::installed();
    pair.request(Some(&handle), RequestBody::incremental(rows("a change")));
    let request = pair.pdp_request(&handle);
    pair.pdp_does(PdpCommand::Synchronize {
        client_type: CT,
        handle: Some(handle.clone()),
    });
    assert_eq!(
        pair.pep_event(),
        PepEvent::SynchronizeRequested {
            client_type: CT,
            handle: Some(handle.clone()),
            states: vec![handle.clone()],
        }
    );
    let answer = |pair: &mut Pair, request| {
        pair.decide(&handle, request, null());
        let report = pair.pep_decision(&handle, true);
        pair.report(&handle, report, Outcome::Success);
        assert!(matches!(pair.pdp_event(), PdpEvent::Report { .. }));
    };
    answer(&mut pair, request);
    let first = RequestBody {
        more_follows: true,
        ..RequestBody::configuration(rows("first part"))
    };
    let second = RequestBody {
        more_follows: true,
        ..RequestBody::incremental(rows("second part"))
    };
    let third = RequestBody::incremental(rows("last part"));
    for part in [first, second, third] {
        assert!(pair.pep.is_synchronizing(CT));
        pair.request(Some(&handle), part);
        let request = pair.pdp_request(&handle);
        answer(&mut pair, request);
    }
    assert!(!pair.pep.is_synchronizing(CT));
    assert!(matches!(
        pair.pdp_event(),
        PdpEvent::Synchronized { handle: Some(_), .. }
    ));
}

/// Mark and sweep: what the PEP does not have any more is dropped at SSC.
#[test]
fn a_24_states_that_are_not_sent_again_are_dropped() {
    let (mut pair, kept) = Pair::installed();
    let forgotten = pair.install_state();
    let (mut end, held) = lost(&mut pair);
    // The PEP claims to be in sync, and one of its states is gone without a DRQ.
    end.states.retain(|state| state.handle == kept);
    let mut pair = back(&end, Some(address()));
    let done = pair.pdp_does(PdpCommand::Accept(Acceptance {
        held: Some(held),
        synchronize: cops_codec::session::pdp::Synchronize::Always,
        ..Acceptance::new(CT, KaTimer(40))
    }));
    assert_eq!(
        done,
        Done::Accepted {
            resumed: true,
            synchronizing: true
        }
    );
    pair.pep_event();
    assert!(matches!(pair.pep_event(), PepEvent::SynchronizeRequested { .. }));
    pair.request(Some(&kept), RequestBody::configuration(rows("all")));
    let request = pair.pdp_request(&kept);
    pair.decide(&kept, request, null());
    let report = pair.pep_decision(&kept, true);
    pair.report(&kept, report, Outcome::Success);
    pair.pdp_event();
    assert_eq!(
        pair.pdp_event(),
        PdpEvent::Synchronized {
            client_type: CT,
            handle: None,
            dropped: vec![forgotten]
        }
    );
    assert_eq!(pair.pdp.handles(CT).collect::<Vec<_>>(), [&kept]);
}

/// SSQ that names an unknown handle: DRQ at once, reason 10, and SSC with the handle.
#[test]
fn c_3_5_03_c_2_2_5_13_a_23_synchronize_handle_unknown() {
    let (mut pair, _) = Pair::installed();
    pair.exchange();
    let unknown = ClientHandle::from(99);
    pair.pdp_does(PdpCommand::Synchronize {
        client_type: CT,
        handle: Some(unknown.clone()),
    });
    assert_eq!(
        pair.pdp_event(),
        PdpEvent::Synchronized {
            client_type: CT,
            handle: Some(unknown.clone()),
            dropped: Vec::new()
        }
    );
    pair.assert_quiet();
    assert_eq!(pair.log[1].message.handle(), Some(&unknown));
    let cops_codec::Message::DeleteRequestState(deleted) = &pair.log[1].message else {
        panic!()
    };
    assert_eq!(
        deleted.reason,
        Reason::new(ReasonCode::SYNCHRONIZE_HANDLE_UNKNOWN)
    );
    assert_eq!(pair.log[2].message.handle(), Some(&unknown));
    assert_eq!(pair.exchange(), ["PDP SSQ", "PEP DRQ", "PEP SSC"]);
}

/// Nothing to synchronise: SSC at once.
#[test]
fn c_3_5_06_no_state_at_all() {
    let mut pair = Pair::open();
    pair.exchange();
    pair.pdp_does(PdpCommand::Synchronize {
        client_type: CT,
        handle: None,
    });
    assert_eq!(pair.exchange(), ["PDP SSQ", "PEP SSC"]);
    assert!(matches!(pair.pdp_event(), PdpEvent::Synchronized { .. }));
}
