//! Each bound of a session, reached and passed.

use cops_codec::Limits;
use cops_codec::Message;
use cops_codec::message::DecisionBody;
use cops_codec::session::pdp::{Acceptance, Done, PdpCommand, PdpEvent, PdpSession};
use cops_codec::session::pep::{ClientOpening, Outcome, PepCommand, PepEvent, PepSession, RequestBody};
use cops_codec::session::{CloseCause, CommandError, Moment, PeerFault, RequestId, SessionLimits, Undrained};
use cops_codec::wire::{ClientHandle, ClientType, KaTimer, ObjectRef, OpCode};

use crate::frames::*;
use crate::pair::*;

const LIMITS: SessionLimits = SessionLimits {
    max_client_types: 2,
    max_handles: 2,
    max_open_requests: 2,
    max_unreported_decisions: 2,
    max_pending_opens: 2,
    max_transmit_octets: 4_096,
    max_events: 8,
};

fn limited() -> Pair {
    let (mut pep, mut pdp) = (pep_config(), pdp_config());
    (pep.limits, pdp.limits) = (LIMITS, LIMITS);
    pdp.client_types.clear();
    Pair::with(pep, pdp, Moment(0))
}

/// A PDP's session in which [`CT`] is open; the test plays the PEP.
fn open_pdp(limits: SessionLimits) -> PdpSession {
    let mut config = pdp_config();
    config.limits = limits;
    config.client_types.clear();
    let mut pdp = PdpSession::new(config, Moment(0));
    give(&mut pdp, open(CT, None));
    pdp.poll_event().unwrap();
    pdp.handle_command(Moment(0), PdpCommand::Accept(Acceptance::new(CT, KaTimer(0))))
        .unwrap();
    assert_eq!(sent(&mut pdp), ["CAT"]);
    pdp
}

fn give(pdp: &mut PdpSession, frame: Received) {
    pdp.handle_frame(Moment(0), frame).unwrap();
}

fn sent(pdp: &mut PdpSession) -> Vec<String> {
    core::iter::from_fn(|| pdp.poll_transmit())
        .map(|frame| short(&Message::decode(&frame, &Limits::default()).unwrap()))
        .collect()
}

fn asked(pdp: &mut PdpSession, handle: ClientHandle) -> RequestId {
    give(pdp, request(handle));
    match pdp.poll_event() {
        Some(PdpEvent::Request { request, .. }) => request,
        other => panic!("{other:?}"),
    }
}

fn decide(pdp: &mut PdpSession, handle: ClientHandle, request: RequestId) -> Result<Done, CommandError> {
    let body = null();
    pdp.handle_command(
        Moment(0),
        PdpCommand::Decide {
            client_type: CT,
            handle,
            request,
            body,
        },
    )
}

/// A PEP's session in which [`CT`] is open; the test plays the PDP.
fn open_pep(limits: SessionLimits) -> PepSession {
    let mut config = pep_config();
    config.limits = limits;
    let mut pep = PepSession::new(config, Moment(0), 1);
    pep.handle_command(Moment(0), PepCommand::Open(ClientOpening::new(CT)))
        .unwrap();
    pep.handle_frame(Moment(0), accept(CT)).unwrap();
    while pep.poll_transmit().is_some() || pep.poll_event().is_some() {}
    pep
}

fn ask(pep: &mut PepSession, handle: Option<ClientHandle>) -> Result<Option<ClientHandle>, CommandError> {
    let request = RequestBody::configuration(rows("x"));
    pep.handle_command(
        Moment(0),
        PepCommand::Request {
            client_type: CT,
            handle,
            request,
        },
    )
}

#[test]
fn client_types() {
    let mut pair = limited();
    pair.open_client(CT);
    pair.open_client(CT2);
    let third = PepCommand::Open(ClientOpening::new(ClientType(0x4002)));
    let refusal = CommandError::OverLimit {
        what: "client-types",
        limit: 2,
    };
    assert_eq!(pair.pep_tries(third), Err(refusal));
    let zero = PepCommand::Open(ClientOpening::new(ClientType::CONNECTION));
    assert_eq!(pair.pep_tries(zero), Err(CommandError::ReservedClientType));
    // The PDP against a PEP that has no such bound.
    let mut pdp = open_pdp(LIMITS);
    give(&mut pdp, open(CT2, None));
    pdp.poll_event();
    give(&mut pdp, open(ClientType(0x4002), None));
    assert_eq!(sent(&mut pdp), ["CC(16386) error 6"]);
    assert!(matches!(
        pdp.poll_event(),
        Some(PdpEvent::ClientClosed {
            cause: CloseCause::Fault(PeerFault::OverLimit { .. }),
            ..
        })
    ));
    assert!(pdp.is_open(CT));
}

#[test]
fn handles() {
    let mut pep = open_pep(LIMITS);
    ask(&mut pep, None).unwrap();
    ask(&mut pep, None).unwrap();
    let refusal = CommandError::OverLimit {
        what: "handles",
        limit: 2,
    };
    assert_eq!(ask(&mut pep, None), Err(refusal));
    let mut pdp = open_pdp(LIMITS);
    asked(&mut pdp, h());
    asked(&mut pdp, x());
    give(&mut pdp, request(ClientHandle::from(3)));
    assert_eq!(sent(&mut pdp), ["DEC S 00000003 error 4"]);
    assert!(matches!(pdp.poll_event(), Some(PdpEvent::RequestRefused { .. })));
    assert_eq!(pdp.handles(CT).count(), 2, "not installed");
}

#[test]
fn open_requests_of_a_handle() {
    let mut pdp = open_pdp(LIMITS);
    asked(&mut pdp, h());
    asked(&mut pdp, h());
    give(&mut pdp, request(h()));
    // Its error could not be told before the decisions on the two others.
    assert_eq!(sent(&mut pdp), ["CC error 10"]);
    assert!(!pdp.is_open(CT) && !pdp.is_closed());
}

#[test]
fn a_refused_request_waits_for_its_turn_c_3_2_08() {
    let mut pdp = open_pdp(LIMITS);
    let request = asked(&mut pdp, h());
    give(
        &mut pdp,
        loose(OpCode::REQUEST, CT, &[ObjectRef::Handle(h().as_bytes())]),
    );
    assert!(matches!(pdp.poll_event(), Some(PdpEvent::RequestRefused { .. })));
    assert_eq!(sent(&mut pdp), [""; 0]);
    decide(&mut pdp, h(), request).unwrap();
    assert_eq!(sent(&mut pdp), ["DEC S h", "DEC S h error 7"]);
}

#[test]
fn unreported_decisions() {
    // The PDP: no more pushes, and REQs get an error, which needs no report.
    let mut pdp = open_pdp(LIMITS);
    for _ in 0..2 {
        let request = asked(&mut pdp, h());
        decide(&mut pdp, h(), request).unwrap();
    }
    sent(&mut pdp);
    let push = PdpCommand::Push {
        client_type: CT,
        handle: h(),
        decisions: install("plan"),
    };
    let refusal = CommandError::OverLimit {
        what: "decisions without a report",
        limit: 2,
    };
    assert_eq!(pdp.handle_command(Moment(0), push.clone()), Err(refusal));
    give(&mut pdp, request(h()));
    assert_eq!(sent(&mut pdp), ["DEC S h error 4"]);
    pdp.poll_event();
    give(&mut pdp, report(h(), true));
    pdp.handle_command(Moment(0), push).unwrap();
    assert_eq!(sent(&mut pdp), ["DEC h"]);
    // The PEP: a state that gets decisions faster than they are carried out is given up, reason 7.
    let mut pep = open_pep(LIMITS);
    ask(&mut pep, None).unwrap();
    while pep.poll_transmit().is_some() {}
    for solicited in [true, false, false] {
        pep.handle_frame(Moment(0), decision(h(), solicited, null()))
            .unwrap();
    }
    let drq = Message::decode(&pep.poll_transmit().unwrap(), &Limits::default()).unwrap();
    assert_eq!(short(&drq), "DRQ h reason 7");
    assert_eq!(pep.handles(CT).count(), 0);
}

#[test]
fn pending_openings() {
    let mut pdp = open_pdp(LIMITS);
    for _ in 0..2 {
        give(&mut pdp, open(CT, None));
    }
    give(&mut pdp, open(CT, None));
    assert_eq!(sent(&mut pdp), ["CC error 10"]);
    let mut pep = open_pep(LIMITS);
    let again = PepCommand::Open(ClientOpening::new(CT));
    for _ in 0..2 {
        pep.handle_command(Moment(0), again.clone()).unwrap();
    }
    let refusal = CommandError::OverLimit {
        what: "pending OPNs",
        limit: 2,
    };
    assert_eq!(pep.handle_command(Moment(0), again), Err(refusal));
}

#[test]
fn a_peer_that_does_not_read() {
    // Commands are refused first.
    let mut pdp = open_pdp(LIMITS);
    let first = asked(&mut pdp, h());
    let big = DecisionBody::Decisions(install(&"x".repeat(3_000)));
    let command = |request, body| PdpCommand::Decide {
        client_type: CT,
        handle: h(),
        request,
        body,
    };
    pdp.handle_command(Moment(0), command(first, big.clone()))
        .unwrap();
    let second = asked(&mut pdp, h());
    let refusal = CommandError::TransmitFull { limit: 4_096 };
    assert_eq!(
        pdp.handle_command(Moment(0), command(second, big.clone())),
        Err(refusal)
    );
    // Nothing changed: it goes when there is room.
    assert_eq!(sent(&mut pdp), ["DEC S h"]);
    pdp.handle_command(Moment(0), command(second, big)).unwrap();
    // Answers that are obligatory go on, up to twice the bound.
    let mut echoes = 0;
    while !pdp.is_closed() {
        give(&mut pdp, keep_alive());
        echoes += 1;
        assert!(pdp.transmit_octets() <= 2 * 4_096);
    }
    assert!(echoes > 500, "{echoes}");
    let events: Vec<PdpEvent> = core::iter::from_fn(|| pdp.poll_event()).collect();
    assert!(matches!(
        events[..],
        [
            PdpEvent::ClientClosed {
                cause: CloseCause::TransmitFull { .. },
                held: true,
                ..
            },
            PdpEvent::Closed {
                cause: CloseCause::TransmitFull { .. }
            },
        ]
    ));
}

#[test]
fn a_pdp_that_does_not_read_is_told_so_by_the_pep() {
    let mut pep = open_pep(LIMITS);
    while !pep.is_closed() {
        pep.handle_frame(Moment(0), synchronize(Some(x()))).unwrap();
        assert!(pep.transmit_octets() <= 2 * 4_096 + 16);
    }
    let last = core::iter::from_fn(|| pep.poll_transmit()).last().unwrap();
    assert_eq!(
        short(&Message::decode(&last, &Limits::default()).unwrap()),
        "CC error 9"
    );
}

/// Each of these is answered with a CC for a client-type that is not there, so nothing else would end it.
#[test]
fn a_stranger_that_does_not_read_closes_of_client_types_is_given_up() {
    let other = ClientType(0x4321);
    let mut pdp = open_pdp(LIMITS);
    while !pdp.is_closed() {
        give(&mut pdp, loose(OpCode::SYNCHRONIZE_STATE_COMPLETE, other, &[]));
        assert!(pdp.transmit_octets() <= 2 * 4_096);
    }
    let mut config = pdp_config();
    config.limits = LIMITS;
    let mut pdp = PdpSession::new(config, Moment(0));
    while !pdp.is_closed() {
        // It is not served: CC, and an event that is taken.
        give(&mut pdp, open(other, None));
        assert!(pdp.transmit_octets() <= 2 * 4_096);
        while pdp.poll_event().is_some() {}
    }
    assert_eq!(pdp.poll_timeout(), None);
    let mut pep = open_pep(LIMITS);
    while !pep.is_closed() {
        pep.handle_frame(Moment(0), loose(OpCode::SYNCHRONIZE_STATE_REQUEST, other, &[]))
            .unwrap();
        assert!(pep.transmit_octets() <= 2 * 4_096 + 32);
    }
}

#[test]
fn events_that_are_not_drained() {
    let mut pdp = open_pdp(SessionLimits {
        max_handles: 100,
        max_open_requests: 100,
        ..LIMITS
    });
    for number in 0..8 {
        give(&mut pdp, request(ClientHandle::from(number)));
    }
    let undrained = Undrained { waiting: 8 };
    assert_eq!(pdp.handle_frame(Moment(0), request(h())), Err(undrained));
    assert_eq!(
        pdp.handle_command(Moment(0), PdpCommand::Shutdown { redirect: None }),
        Err(CommandError::Undrained(undrained))
    );
    pdp.poll_event().unwrap();
    give(&mut pdp, request(ClientHandle::from(8)));
    // Time-outs wait too, and stay due.
    let mut pep = open_pep(SessionLimits {
        max_events: 2,
        max_handles: 8,
        ..LIMITS
    });
    for _ in 0..8 {
        ask(&mut pep, None).unwrap();
    }
    let due = Moment(30_000);
    for _ in 0..4 {
        assert!(pep.poll_timeout().unwrap() <= due);
        pep.handle_timeout(due);
        let timed_out: Vec<PepEvent> = core::iter::from_fn(|| pep.poll_event()).collect();
        assert_eq!(timed_out.len(), 2);
    }
    assert_eq!(pep.handles(CT).count(), 0);
}

#[test]
fn a_message_that_is_too_long_is_refused_and_changes_nothing() {
    let mut config = pep_config();
    config.wire_limits.max_message_octets = 1_024;
    let mut pair = Pair::with(config, pdp_config(), Moment(0));
    pair.open_client(CT);
    let request = RequestBody::configuration(rows(&"x".repeat(2_000)));
    let long = PepCommand::Request {
        client_type: CT,
        handle: None,
        request,
    };
    assert!(matches!(pair.pep_tries(long), Err(CommandError::Encode(_))));
    assert_eq!(pair.pep.handles(CT).count(), 0);
    // The next one works.
    let handle = pair.install_state();
    pair.push(&handle, "plan");
    let report = pair.pep_decision(&handle, false);
    let report_of = |client_si| PepCommand::Report {
        client_type: CT,
        handle: handle.clone(),
        decision: report,
        outcome: Outcome::Success,
        client_si,
    };
    assert!(matches!(
        pair.pep_tries(report_of(rows(&"x".repeat(2_000)))),
        Err(CommandError::Encode(_))
    ));
    pair.pep_does(report_of(Vec::new()));
    assert!(matches!(
        pair.pdp_event(),
        PdpEvent::Report {
            decision: Some(_),
            ..
        }
    ));
}
