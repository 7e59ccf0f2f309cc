//! Single rules of the sessions: order, flags, contexts, and client-types that do not touch each other.

use std::time::Duration;

use cops_codec::message::{Decision, DecisionBody};
use cops_codec::session::pdp::{Acceptance, Done, PdpCommand, PdpEvent, PdpSession};
use cops_codec::session::pep::{ClientOpening, Outcome, PepCommand, PepEvent, RequestBody};
use cops_codec::session::{CloseCause, CommandError, Moment};
use cops_codec::wire::{
    ClientHandle, Context, CopsError, ErrorCode, KaTimer, ObjectRef, OpCode, RType, Reason, ReasonCode,
};

use crate::frames::{decision, loose, refused};
use crate::pair::*;

/// An unsolicited decision does not complete a request that is under way, in whatever order they cross.
#[test]
fn c_3_2_11_an_unsolicited_decision_leaves_the_request_open() {
    let (mut pair, handle) = Pair::installed();
    // The PDP pushes before it has seen the REQ: both are on the wire.
    let push = PdpCommand::Push {
        client_type: CT,
        handle: handle.clone(),
        decisions: install("plan"),
    };
    pair.pdp.handle_command(pair.now, push).unwrap();
    pair.request(Some(&handle), RequestBody::incremental(rows("fact")));
    let pushed = pair.pep_decision(&handle, false);
    assert!(pair.pep.has_open_request(CT, &handle));
    pair.report(&handle, pushed, Outcome::Success);
    let request = pair.pdp_request(&handle);
    assert!(matches!(
        pair.pdp_event(),
        PdpEvent::Report {
            decision: Some(_),
            ..
        }
    ));
    pair.decide(&handle, request, null());
    let answered = pair.pep_decision(&handle, true);
    assert!(!pair.pep.has_open_request(CT, &handle));
    pair.report(&handle, answered, Outcome::Success);
}

/// Two events wait for their answers, and these come in the other order: each one's stateless data comes with the handle
/// of its own request.
#[test]
fn c_2_2_6_07_stateless_data_comes_with_the_event_that_asked() {
    let mut pair = Pair::open();
    let allocation = Context {
        r_type: RType(0x02),
        ..Context::CONFIGURATION
    };
    let mut ask = |flow: &str| {
        let handle = pair.request(
            None,
            RequestBody {
                context: allocation,
                ..RequestBody::configuration(rows(flow))
            },
        );
        let request = pair.pdp_request(&handle);
        (handle, request, format!("police {flow}"))
    };
    let waiting = [ask("first flow"), ask("second flow")];
    assert_ne!(waiting[0].0, waiting[1].0);
    for (handle, request, data) in waiting.into_iter().rev() {
        let decision = Decision {
            stateless: Some(data.clone().into()),
            ..Decision::null(allocation)
        };
        pair.decide(&handle, request, DecisionBody::Decisions(vec![decision]));
        match pair.pep_event() {
            PepEvent::Decision {
                handle: of,
                solicited,
                decisions,
                ..
            } => {
                assert_eq!((&of, solicited), (&handle, true));
                assert_eq!(decisions[0].stateless.as_deref(), Some(data.as_bytes()));
            }
            other => panic!("expected a decision for {handle}, found {other:?}"),
        }
        assert!(!pair.pep.has_open_request(CT, &handle));
    }
}

/// A decision of several groups, some not for configuration, and one that only answers an outsourcing request.
#[test]
fn c_3_3_03_c_3_3_05_a_37_one_report_a_decision_and_by_rule() {
    let mut pair = Pair::open();
    let context = |bits: u16| Context {
        r_type: cops_codec::wire::RType(bits),
        ..Context::CONFIGURATION
    };
    let handle = pair.request(
        None,
        RequestBody {
            context: context(0x0b),
            ..RequestBody::configuration(rows("both"))
        },
    );
    let request = pair.pdp_request(&handle);
    let groups = [0x01, 0x02, 0x08]
        .map(|bits| Decision::null(context(bits)))
        .to_vec();
    pair.decide(&handle, request, DecisionBody::Decisions(groups));
    let report = pair.pep_decision(&handle, true);
    pair.report(&handle, report, Outcome::Success);
    assert!(matches!(
        pair.pdp_event(),
        PdpEvent::Report {
            decision: Some(_),
            ..
        }
    ));
    let again = PepCommand::Report {
        client_type: CT,
        handle: handle.clone(),
        decision: report,
        outcome: Outcome::Success,
        client_si: Vec::new(),
    };
    assert_eq!(
        pair.pep_tries(again),
        Err(CommandError::NotAwaited(handle.clone()))
    );
    // Without a configuration context none is due, under the default rule.
    let done = pair.pdp_does(PdpCommand::Push {
        client_type: CT,
        handle: handle.clone(),
        decisions: vec![Decision::null(context(0x01))],
    });
    assert_eq!(done, Done::Decided { report: None });
    assert!(matches!(
        pair.pep_event(),
        PepEvent::Decision { report: None, .. }
    ));
    // A bit that was not asked for.
    assert!(matches!(
        pair.pdp_tries(PdpCommand::Push {
            client_type: CT,
            handle,
            decisions: vec![Decision::null(context(0x04))],
        }),
        Err(CommandError::ContextNotRequested { .. })
    ));
}

/// Several decisions, carried out in another order than they came: the reports keep the order.
#[test]
fn c_3_3_04_c_3_2_08_reports_and_decisions_keep_the_order() {
    let (mut pair, handle) = Pair::installed();
    let sent: Vec<Done> = ["a", "b", "c"].map(|text| pair.push(&handle, text)).to_vec();
    let reports: Vec<_> = (0..3).map(|_| pair.pep_decision(&handle, false)).collect();
    for place in [2, 1, 0] {
        assert_eq!(pair.pdp_events, [], "nothing goes before the first");
        pair.report(&handle, reports[place], Outcome::Success);
    }
    let told: Vec<Done> = (0..3)
        .map(|_| match pair.pdp_event() {
            PdpEvent::Report { decision, .. } => Done::Decided { report: decision },
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(told, sent);
}

/// Handles of two client-types on one connection are apart, and so are their ends.
#[test]
fn c_2_3_05_c_2_4_01_c_3_4_04_c_4_7_01_client_types_are_independent() {
    let (mut pair, handle) = Pair::installed();
    pair.open_client(CT2);
    pair.pdp_does(PdpCommand::Close {
        client_type: CT,
        error: CopsError::new(ErrorCode::REDIRECT),
        redirect: Some(other_address()),
    });
    let PepEvent::ClientClosed(end) = pair.pep_event() else {
        panic!()
    };
    assert_eq!(
        end.cause,
        CloseCause::Peer {
            error: CopsError::new(ErrorCode::REDIRECT),
            redirect: Some(other_address()),
        }
    );
    assert_eq!(end.states[0].handle, handle);
    assert!(pair.pep.is_open(CT2) && pair.pdp.is_open(CT2) && !pair.pdp.is_open(CT));
    assert!(!pair.pep.is_closed());
    assert!(matches!(
        pair.pdp_event(),
        PdpEvent::ClientClosed {
            client_type: CT,
            held: false,
            ..
        }
    ));
    assert_eq!(pair.pdp.take_held(), [], "CC undoes OPN, and the state with it");
}

/// A PDP that goes down says so for each client-type.
#[test]
fn c_4_7_03_c_2_2_8_12_shutdown() {
    let (mut pair, _) = Pair::installed();
    pair.open_client(CT2);
    pair.exchange();
    pair.pdp_does(PdpCommand::Shutdown {
        redirect: Some(other_address()),
    });
    assert_eq!(pair.exchange(), ["PDP CC", "PDP CC"]);
    for _ in 0..2 {
        let PepEvent::ClientClosed(end) = pair.pep_event() else {
            panic!()
        };
        let error = CopsError::new(ErrorCode::SHUTTING_DOWN);
        assert_eq!(
            end.cause,
            CloseCause::Peer {
                error,
                redirect: Some(other_address())
            }
        );
    }
    assert!(matches!(
        pair.pep_event(),
        PepEvent::Closed {
            cause: CloseCause::NoClientOpen
        }
    ));
    assert!(pair.pdp.is_closed());
}

/// OPN again for an open client-type: CAT again, new timers, and the states stay.
#[test]
fn c_3_6_02_a_39_opened_again() {
    let (mut pair, handle) = Pair::installed();
    pair.pep_does(PepCommand::Open(ClientOpening::new(CT)));
    assert!(matches!(
        pair.pdp_event(),
        PdpEvent::OpenRequested { again: true, .. }
    ));
    pair.pdp_does(PdpCommand::Accept(Acceptance::new(CT, KaTimer(12))));
    assert!(matches!(
        pair.pep_event(),
        PepEvent::ClientAccepted {
            again: true,
            ka_timer: KaTimer(12),
            ..
        }
    ));
    let timer = Some(Duration::from_secs(12));
    assert_eq!(
        (pair.pep.keep_alive_timer(), pair.pdp.keep_alive_timer()),
        (timer, timer)
    );
    for handles in [
        pair.pep.handles(CT).collect::<Vec<_>>(),
        pair.pdp.handles(CT).collect(),
    ] {
        assert_eq!(handles, [&handle]);
    }
}

/// The PDP session never makes a handle, and its DEC repeats the REQ's octet by octet.
#[test]
fn c_3_2_05_c_2_2_1_05_the_handle_is_opaque_to_the_pdp() {
    let mut pdp = PdpSession::new(pdp_config(), Moment(0));
    let limits = cops_codec::Limits::default();
    let open = cops_codec::message::ClientOpen {
        client_type: CT,
        pep_id: pep_id(),
        client_si: None,
        last_pdp_address: None,
        integrity: None,
    };
    let frame = cops_codec::Message::from(open).encode(&limits).unwrap();
    pdp.handle_frame(Moment(0), Ok(frame)).unwrap();
    pdp.poll_event().unwrap();
    pdp.handle_command(Moment(0), PdpCommand::Accept(Acceptance::new(CT, KaTimer(0))))
        .unwrap();
    pdp.poll_transmit().unwrap();
    for octets in [&[0][..], &[0, 0], b"a long name for a state", &[7; 1_024]] {
        let request = cops_codec::message::Request {
            client_type: CT,
            handle: ClientHandle::from(octets),
            context: Context::CONFIGURATION,
            in_interface: None,
            out_interface: None,
            client_si: Vec::new(),
            lpdp_decisions: Vec::new(),
            integrity: None,
        };
        let frame = cops_codec::Message::from(request).encode(&limits).unwrap();
        pdp.handle_frame(Moment(0), Ok(frame)).unwrap();
        let Some(PdpEvent::Request {
            request,
            update: false,
            message,
        }) = pdp.poll_event()
        else {
            panic!("a new state")
        };
        let decide = PdpCommand::Decide {
            client_type: CT,
            handle: message.handle,
            request,
            body: null(),
        };
        pdp.handle_command(Moment(0), decide).unwrap();
        let decision = cops_codec::Message::decode(&pdp.poll_transmit().unwrap(), &limits).unwrap();
        assert_eq!(decision.handle().map(ClientHandle::as_bytes), Some(octets));
    }
    assert_eq!(pdp.handles(CT).count(), 4);
}

/// The reason that the program gives is the reason in DRQ.
#[test]
fn c_2_2_5_04_every_reason_reaches_the_pdp_c_3_4_02_p_6_05() {
    let mut pair = Pair::open();
    for code in ReasonCode::KNOWN {
        let handle = pair.install_state();
        pair.log.clear();
        let reason = Reason::new(*code);
        pair.pep_does(PepCommand::Delete {
            client_type: CT,
            handle: handle.clone(),
            reason,
        });
        assert_eq!(
            pair.pdp_event(),
            PdpEvent::StateDeleted {
                client_type: CT,
                handle,
                reason
            }
        );
        assert_eq!(pair.exchange(), ["PEP DRQ"], "once, and nothing is answered");
        assert_eq!(pair.pep.handles(CT).count() + pair.pdp.handles(CT).count(), 0);
    }
}

/// The same data under Remove and under Install are two different decisions, of which the PEP is told in their order.
#[test]
fn c_2_2_6_09_decisions_keep_their_commands_and_order() {
    let (mut pair, handle) = Pair::installed();
    let rows = bytes::Bytes::from_static(b"rows");
    let sent = vec![
        Decision::remove(Context::CONFIGURATION, rows.clone()),
        Decision::install(Context::CONFIGURATION, rows),
    ];
    pair.pdp_does(PdpCommand::Push {
        client_type: CT,
        handle,
        decisions: sent.clone(),
    });
    assert!(matches!(pair.pep_event(), PepEvent::Decision { decisions, .. } if decisions == sent));
}

/// Data that replaces what was signaled is told as such, apart from the other kinds, and octet by octet.
#[test]
fn c_2_2_6_08_replacement_data_reaches_the_program_as_such() {
    let (mut pair, handle) = Pair::installed();
    let [stateless, replacement, client_si] =
        [&b"stateless"[..], b"replacement", b"specific"].map(bytes::Bytes::from_static);
    let sent = vec![Decision {
        stateless: Some(stateless),
        replacement: Some(replacement.clone()),
        client_si: Some(client_si),
        ..Decision::install(Context::CONFIGURATION, bytes::Bytes::new())
    }];
    pair.pdp_does(PdpCommand::Push {
        client_type: CT,
        handle,
        decisions: sent.clone(),
    });
    let PepEvent::Decision { decisions, .. } = pair.pep_event() else {
        panic!("expected a decision")
    };
    assert_eq!(decisions, sent);
    assert_eq!(decisions[0].replacement, Some(replacement));
}

/// After the DRQ that a malformed decision led to, the state can be asked for anew.
#[test]
fn c_3_4_05_c_3_4_06_c_3_4_08_asked_for_again_after_a_malformed_decision() {
    let (mut pair, handle) = Pair::installed();
    pair.log.clear();
    let malformed = loose(OpCode::DECISION, CT, &[ObjectRef::Handle(handle.as_bytes())]);
    pair.pep.handle_frame(pair.now, malformed).unwrap();
    pair.drain();
    assert!(matches!(
        pair.pep_event(),
        PepEvent::StateDeleted { reason, .. } if reason == Reason::new(ReasonCode::MALFORMED_DECISION)
    ));
    assert!(matches!(pair.pdp_event(), PdpEvent::StateDeleted { .. }));
    let again = pair.install_state();
    assert_ne!(again, handle);
    // DRQ and no RPT, then all as at the start.
    assert_eq!(pair.exchange(), ["PEP DRQ", "PEP REQ", "PDP DEC S", "PEP RPT S"]);
}

/// Without message security no message of either end has an Integrity object, whatever happens.
#[test]
fn c_4_1_02_no_integrity_in_a_plain_session() {
    let (mut pair, handle) = Pair::installed();
    pair.pdp_does(PdpCommand::Synchronize {
        client_type: CT,
        handle: None,
    });
    pair.request(Some(&handle), RequestBody::configuration(rows("all")));
    pair.pass(Duration::from_secs(100));
    pair.pdp_does(PdpCommand::Shutdown { redirect: None });
    assert!(pair.log.len() > 10);
    assert!(pair.log.iter().all(|sent| sent.message.integrity().is_none()));
}

/// What stands in OPN beside the name reaches the program; COPS-PR sends none of it.
#[test]
fn c_3_6_03_p_6_01_client_si_in_opn() {
    for client_si in [None, rows("global information").pop()] {
        let mut pair = Pair::new();
        let opening = ClientOpening {
            client_si: client_si.clone(),
            ..ClientOpening::new(CT)
        };
        pair.pep_does(PepCommand::Open(opening));
        assert!(matches!(
            pair.pdp_event(),
            PdpEvent::OpenRequested { client_si: found, .. } if found == client_si
        ));
    }
    assert_eq!(ClientOpening::new(CT).client_si, None);
}

/// The context of a state is that of the last REQ that was decided: not of one that was refused, nor of one still open.
#[test]
fn a_37_an_update_changes_the_context_when_it_is_decided() {
    let context = |bits: u16| Context {
        r_type: RType(bits),
        ..Context::CONFIGURATION
    };
    let mut pair = Pair::open();
    let ask = |pair: &mut Pair, handle: Option<&ClientHandle>, bits| {
        let request = RequestBody {
            context: context(bits),
            ..RequestBody::configuration(rows("x"))
        };
        let handle = pair.request(handle, request);
        let request = pair.pdp_request(&handle);
        (handle, request)
    };
    let null = |bits| DecisionBody::Decisions(vec![Decision::null(context(bits))]);
    let push = |pair: &mut Pair, handle: &ClientHandle, bits| {
        let result = pair.pdp_tries(PdpCommand::Push {
            client_type: CT,
            handle: handle.clone(),
            decisions: vec![Decision::null(context(bits))],
        });
        if result.is_ok() {
            assert!(matches!(
                pair.pep_event(),
                PepEvent::Decision { solicited: false, .. }
            ));
        }
        result.is_ok()
    };
    let (handle, request) = ask(&mut pair, None, 0x01);
    pair.decide(&handle, request, null(0x01));
    pair.pep_event();
    assert!(push(&mut pair, &handle, 0x01) && !push(&mut pair, &handle, 0x08));

    let (_, request) = ask(&mut pair, Some(&handle), 0x08);
    pair.decide(
        &handle,
        request,
        DecisionBody::Error(CopsError::new(ErrorCode::UNABLE_TO_PROCESS)),
    );
    pair.pep_event();
    assert!(push(&mut pair, &handle, 0x01) && !push(&mut pair, &handle, 0x08));

    let (_, request) = ask(&mut pair, Some(&handle), 0x08);
    pair.decide(&handle, request, null(0x08));
    pair.pep_event();
    assert!(!push(&mut pair, &handle, 0x01) && push(&mut pair, &handle, 0x08));
    pair.assert_quiet();
}

/// A PDP that pushes before it has decided on a new state has not installed it by that.
#[test]
fn a_18_only_the_solicited_decision_installs() {
    let mut pair = Pair::open();
    let handle = pair.request(None, RequestBody::configuration(rows("new")));
    for (solicited, body) in [(false, null()), (true, refused())] {
        pair.pep
            .handle_frame(pair.now, decision(handle.clone(), solicited, body))
            .unwrap();
    }
    pair.drain();
    assert!(matches!(
        pair.pep_event(),
        PepEvent::Decision { solicited: false, .. }
    ));
    assert!(matches!(
        pair.pep_event(),
        PepEvent::RequestRefused {
            solicited: true,
            installed: false,
            ..
        }
    ));
}
