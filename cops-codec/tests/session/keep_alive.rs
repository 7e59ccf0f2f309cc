//! Keep-alives, silence and the other times (RFC 2748 2.2.10, 3.9, 4.6, 4.7), under the virtual clock.

use std::time::Duration;

use cops_codec::Message;
use cops_codec::session::pdp::{Acceptance, PdpCommand, PdpEvent};
use cops_codec::session::pep::{ClientOpening, PepCommand, PepEvent, RequestBody};
use cops_codec::session::{CloseCause, Moment};
use cops_codec::wire::{ClientType, CopsError, ErrorCode, KaTimer, OpCode, Reason, ReasonCode, Role};

use crate::pair::*;

/// Opens a client-type with this KA Timer.
fn open(pair: &mut Pair, client_type: ClientType, seconds: u16) {
    pair.pep_does(PepCommand::Open(ClientOpening::new(client_type)));
    pair.pdp_event();
    pair.pdp_does(PdpCommand::Accept(Acceptance::new(client_type, KaTimer(seconds))));
    pair.pep_event();
}

/// When the PEP sent its keep-alives.
fn sent_by_pep(pair: &Pair) -> Vec<Moment> {
    pair.log
        .iter()
        .filter(|sent| sent.from == Role::Pep && sent.message.op_code() == OpCode::KEEP_ALIVE)
        .map(|sent| sent.at)
        .collect()
}

#[test]
fn c_3_9_02_c_3_9_03_c_3_9_04_c_2_1_09_one_in_one_out_at_random_points() {
    let mut pair = Pair::new();
    open(&mut pair, CT, 40);
    let opened = pair.now;
    pair.log.clear();
    pair.pass(Duration::from_secs(40_000));
    pair.assert_quiet();
    let sent = sent_by_pep(&pair);
    let mut gaps = vec![sent[0].since(opened)];
    gaps.extend(sent.windows(2).map(|pair| pair[1].since(pair[0])));
    assert!(gaps.len() > 1_000);
    let (quarter, three_quarters) = (Duration::from_secs(10), Duration::from_secs(30));
    assert!(gaps.iter().all(|gap| (quarter..=three_quarters).contains(gap)));
    let distinct: std::collections::BTreeSet<_> = gaps.iter().collect();
    assert!(distinct.len() > 500, "{} different gaps", distinct.len());
    // Nothing but keep-alives, each one echoed before the next, all for client-type 0 and not solicited.
    for exchange in pair.log.chunks(2) {
        assert_eq!([exchange[0].from, exchange[1].from], [Role::Pep, Role::Pdp]);
        for sent in exchange {
            assert!(matches!(sent.message, Message::KeepAlive(_)));
            assert_eq!(sent.message.client_type(), ClientType::CONNECTION);
            assert!(!sent.message.solicited());
        }
    }
}

#[test]
fn a_07_keep_alives_go_on_beside_other_traffic() {
    let (mut pair, handle) = Pair::installed();
    pair.log.clear();
    for _ in 0..100 {
        pair.pass(Duration::from_secs(1));
        pair.push(&handle, "plan");
        let report = pair.pep_decision(&handle, false);
        pair.report(&handle, report, cops_codec::session::pep::Outcome::Success);
        pair.pdp_event();
    }
    assert!(sent_by_pep(&pair).len() >= 3);
}

#[test]
fn c_3_9_02_a_07_the_smallest_finite_timer_of_the_open_client_types() {
    let mut pair = Pair::new();
    let seconds = |pair: &Pair| {
        let timers = [pair.pep.keep_alive_timer(), pair.pdp.keep_alive_timer()];
        assert_eq!(timers[0], timers[1]);
        timers[0].map(|timer| timer.as_secs())
    };
    open(&mut pair, CT, 0);
    assert_eq!(seconds(&pair), None);
    open(&mut pair, CT2, 30);
    assert_eq!(seconds(&pair), Some(30));
    open(&mut pair, CT, 10);
    assert_eq!(seconds(&pair), Some(10));
    pair.log.clear();
    let from = pair.now;
    pair.pass(Duration::from_secs(100));
    let sent = sent_by_pep(&pair);
    assert!(sent[0].since(from) <= Duration::from_millis(7_500));
    assert!(
        sent.windows(2)
            .all(|pair| pair[1].since(pair[0]) <= Duration::from_millis(7_500))
    );
    pair.pep_does(PepCommand::Close {
        client_type: CT,
        error: CopsError::new(ErrorCode::UNSPECIFIED),
    });
    assert_eq!(seconds(&pair), Some(30));
}

#[test]
fn c_2_2_10_02_c_3_7_03_timer_zero_no_keep_alive_and_no_failure() {
    let mut pair = Pair::new();
    open(&mut pair, CT, 0);
    pair.log.clear();
    assert_eq!((pair.pep.poll_timeout(), pair.pdp.poll_timeout()), (None, None));
    pair.black_hole = true;
    pair.pass(Duration::from_secs(1_000_000));
    assert!(pair.log.is_empty());
    pair.assert_quiet();
    assert!(!pair.pep.is_closed() && !pair.pdp.is_closed());
}

#[test]
fn c_2_3_09_c_4_7_02_c_2_2_8_10_silence_closes_each_client_type_with_error_9() {
    let mut pair = Pair::new();
    open(&mut pair, CT, 40);
    open(&mut pair, CT2, 60);
    let heard = pair.now;
    pair.black_hole = true;
    pair.log.clear();
    pair.pass(Duration::from_millis(40_000));
    assert!(
        !pair.pep.is_closed() && !pair.pdp.is_closed(),
        "reached, not exceeded"
    );
    pair.pass(Duration::from_millis(1));
    assert!(pair.pep.is_closed() && pair.pdp.is_closed());
    let closed: Vec<_> = pair
        .log
        .iter()
        .filter_map(|sent| match &sent.message {
            Message::ClientClose(message) => {
                Some((sent.from, sent.at, message.client_type, message.error.code))
            }
            _ => None,
        })
        .collect();
    let at = Moment(heard.0 + 40_001);
    let failure = ErrorCode::COMMUNICATION_FAILURE;
    // The PDP says nothing: its CC would undo what it holds for the PEP.
    assert_eq!(
        closed,
        [(Role::Pep, at, CT2, failure), (Role::Pep, at, CT, failure)]
    );
    for _ in 0..2 {
        assert!(matches!(
            pair.pep_event(),
            PepEvent::ClientClosed(end) if matches!(end.cause, CloseCause::Silence { .. })
        ));
        assert!(matches!(
            pair.pdp_event(),
            PdpEvent::ClientClosed {
                cause: CloseCause::Silence { .. },
                held: true,
                ..
            }
        ));
    }
    assert_eq!(pair.pdp.take_held().len(), 2);
}

#[test]
fn c_3_9_05_c_4_6_02_any_message_counts_as_a_sign_of_life() {
    let (mut pair, handle) = Pair::installed();
    // What the PEP sends is lost, its keep-alives too; what the PDP pushes arrives.
    for _ in 0..10 {
        pair.pass_one_way(Duration::from_secs(30));
        let push = PdpCommand::Push {
            client_type: CT,
            handle: handle.clone(),
            decisions: install("plan"),
        };
        pair.pdp
            .handle_command(pair.now, push)
            .unwrap_or_else(|error| panic!("{error}"));
        pair.hand_to_pep();
        assert!(!pair.pep.is_closed());
        pair.feed_pdp_report(&handle);
        assert!(!pair.pdp.is_closed());
    }
}

#[test]
fn a_pdp_that_does_not_answer_the_opening_is_given_up() {
    let mut pair = Pair::new();
    pair.pep_does(PepCommand::Open(ClientOpening::new(CT)));
    pair.pdp_event();
    pair.pass(Duration::from_millis(29_999));
    pair.assert_quiet();
    pair.pass(Duration::from_millis(1));
    assert!(matches!(
        pair.pep_event(),
        PepEvent::ClientClosed(end) if matches!(end.cause, CloseCause::OpenTimeout { .. }) && !end.accepted
    ));
    assert!(matches!(
        pair.pep_event(),
        PepEvent::Closed {
            cause: CloseCause::OpenTimeout { .. }
        }
    ));
}

#[test]
fn a_connection_without_opening_is_ended_by_the_pdp() {
    let mut pair = Pair::new();
    pair.pass(Duration::from_millis(9_999));
    assert!(!pair.pdp.is_closed());
    pair.pass(Duration::from_millis(1));
    assert!(matches!(
        pair.pdp_event(),
        PdpEvent::Closed {
            cause: CloseCause::OpenTimeout { .. }
        }
    ));
}

#[test]
fn a_41_the_pdp_ends_a_connection_without_client_type_after_a_grace_period() {
    let mut pair = Pair::open();
    pair.black_hole = true;
    pair.pdp_does(PdpCommand::Close {
        client_type: CT,
        error: CopsError::new(ErrorCode::UNSPECIFIED),
        redirect: None,
    });
    pair.pdp_event();
    pair.pass(Duration::from_millis(4_999));
    assert!(!pair.pdp.is_closed());
    pair.pass(Duration::from_millis(1));
    assert!(matches!(
        pair.pdp_event(),
        PdpEvent::Closed {
            cause: CloseCause::NoClientOpen
        }
    ));
}

#[test]
fn refused_openings_do_not_keep_a_connection_alive() {
    let mut pair = Pair::new();
    let mut openings = 0;
    while !pair.pdp.is_closed() {
        pair.pdp
            .handle_frame(pair.now, crate::frames::open(ClientType(9), None))
            .unwrap();
        pair.pass_one_way(Duration::from_secs(1));
        openings += 1;
        assert!(openings <= 5, "the grace period is 5 s");
    }
}

#[test]
fn c_3_2_12_c_3_2_13_c_2_2_5_08_a_request_without_decision_costs_its_handle() {
    let (mut pair, handle) = Pair::installed();
    pair.request(Some(&handle), RequestBody::incremental(rows("fact")));
    pair.pdp_event();
    pair.log.clear();
    pair.pass(Duration::from_millis(29_999));
    assert!(pair.pep.has_open_request(CT, &handle));
    pair.pass(Duration::from_millis(1));
    assert_eq!(
        pair.pep_event(),
        PepEvent::RequestTimedOut {
            client_type: CT,
            handle: handle.clone()
        }
    );
    assert_eq!(
        pair.pdp_event(),
        PdpEvent::StateDeleted {
            client_type: CT,
            handle: handle.clone(),
            reason: Reason::new(ReasonCode::TIMEOUT),
        }
    );
    let again = pair.request(None, RequestBody::configuration(rows("all")));
    assert_ne!(again, handle);
    assert_eq!(pair.exchange(), ["PEP DRQ", "PEP REQ"]);
}

#[test]
fn a_synchronisation_that_does_not_end_is_told() {
    let (mut pair, handle) = Pair::installed();
    pair.pdp_does(PdpCommand::Synchronize {
        client_type: CT,
        handle: None,
    });
    pair.pep_event();
    pair.pass(Duration::from_secs(60));
    assert_eq!(
        pair.pdp_event(),
        PdpEvent::SynchronizationOverdue {
            client_type: CT,
            handle: None
        }
    );
    // It goes on.
    pair.request(Some(&handle), RequestBody::configuration(rows("all")));
    let request = pair.pdp_request(&handle);
    pair.decide(&handle, request, null());
    let report = pair.pep_decision(&handle, true);
    pair.report(&handle, report, cops_codec::session::pep::Outcome::Success);
    pair.pdp_event();
    assert!(matches!(pair.pdp_event(), PdpEvent::Synchronized { .. }));
}

/// RFC 2748 names no time for a report. Reports are matched to decisions by their order, so that a missing one makes all
/// later ones ambiguous: the client-type begins anew.
#[test]
fn c_3_3_02_a_decision_that_is_not_reported_on_in_time_ends_the_client_type() {
    let (mut pair, handle) = Pair::installed();
    pair.push(&handle, "first");
    pair.push(&handle, "second");
    let first = pair.pep_decision(&handle, false);
    pair.pep_decision(&handle, false);
    pair.pass(Duration::from_secs(59));
    // Each report gives the next one its time.
    pair.report(&handle, first, cops_codec::session::pep::Outcome::Success);
    assert!(matches!(pair.pdp_event(), PdpEvent::Report { .. }));
    pair.pass(Duration::from_secs(59));
    pair.assert_quiet();
    pair.pass(Duration::from_secs(1));
    let waited = Duration::from_secs(60);
    assert_eq!(
        pair.pdp_event(),
        PdpEvent::ClientClosed {
            client_type: CT,
            cause: CloseCause::ReportTimeout { waited },
            accepted: true,
            held: false
        }
    );
    let PepEvent::ClientClosed(end) = pair.pep_event() else {
        panic!()
    };
    let error = CopsError::new(ErrorCode::COMMUNICATION_FAILURE);
    assert_eq!(
        end.cause,
        CloseCause::Peer {
            error,
            redirect: None
        }
    );
}

#[test]
fn a_state_that_is_deleted_owes_no_report() {
    let (mut pair, handle) = Pair::installed();
    pair.push(&handle, "first");
    pair.pep_decision(&handle, false);
    pair.pep_does(PepCommand::Delete {
        client_type: CT,
        handle,
        reason: Reason::new(ReasonCode::TEAR),
    });
    assert!(matches!(pair.pdp_event(), PdpEvent::StateDeleted { .. }));
    pair.pass(Duration::from_secs(600));
    pair.assert_quiet();
}
