//! The exchanges of the power client-type, message by message: start-up, a fact that changes, an interruption, failures,
//! readings.

use std::time::Duration;

use cops_codec::message::DecisionBody;
use cops_codec::session::pdp::{Acceptance, Done, PdpCommand, PdpEvent};
use cops_codec::session::pep::{
    ClientOpening, Outcome, PepCommand, PepEvent, RequestBody, UnsolicitedReport,
};
use cops_codec::session::{CommandError, Moment};
use cops_codec::wire::{
    AccountingTimer, ClientHandle, CopsError, ErrorCode, KaTimer, Reason, ReasonCode, ReportType,
};

use crate::pair::*;

/// OPN, CAT, REQ with all facts, DEC with the configuration, RPT.
#[test]
fn e1_start_up_c_4_3_01_c_3_2_06_c_3_3_02_c_2_1_14() {
    both_ways(|piece| {
        let mut pair = Pair::new();
        pair.piece = piece;
        pair.open_client(CT);
        let handle = pair.request(None, RequestBody::configuration(rows("facts")));
        let request = pair.pdp_request(&handle);
        let body = DecisionBody::Decisions(install("configuration"));
        let Done::Decided { report: Some(sent) } = pair.decide(&handle, request, body) else {
            panic!("a configuration decision is reported on");
        };
        let report = pair.pep_decision(&handle, true);
        pair.report(&handle, report, Outcome::Success);
        assert_eq!(
            pair.pdp_event(),
            PdpEvent::Report {
                client_type: CT,
                handle,
                decision: Some(sent),
                report_type: ReportType::SUCCESS,
                client_si: Vec::new(),
            }
        );
        pair.assert_quiet();
        assert_eq!(
            pair.exchange(),
            ["PEP OPN", "PDP CAT", "PEP REQ", "PDP DEC S", "PEP RPT S"]
        );
    });
}

/// The same with NULL first and the plan later, unsolicited.
#[test]
fn e1_null_first_then_unsolicited_c_4_5_01_c_3_2_07_p_6_02() {
    let (mut pair, handle) = Pair::installed();
    pair.push(&handle, "configuration");
    let report = pair.pep_decision(&handle, false);
    pair.report(&handle, report, Outcome::Success);
    assert_eq!(
        pair.exchange(),
        [
            "PEP OPN",
            "PDP CAT",
            "PEP REQ",
            "PDP DEC S",
            "PEP RPT S",
            "PDP DEC",
            "PEP RPT S"
        ]
    );
}

/// A REQ with what changed, NULL, RPT; and what changes meanwhile waits for the decision.
#[test]
fn e2_a_fact_changes_and_another_waits_c_3_2_10_c_3_1_03() {
    let (mut pair, handle) = Pair::installed();
    pair.exchange();
    pair.request(Some(&handle), RequestBody::incremental(rows("one")));
    let second = PepCommand::Request {
        client_type: CT,
        handle: Some(handle.clone()),
        request: RequestBody::incremental(rows("two")),
    };
    assert_eq!(
        pair.pep_tries(second.clone()),
        Err(CommandError::RequestOpen(handle.clone()))
    );
    let PdpEvent::Request {
        request,
        update: true,
        ..
    } = pair.pdp_event()
    else {
        panic!("an update of an installed state");
    };
    pair.decide(&handle, request, null());
    let report = pair.pep_decision(&handle, true);
    assert_eq!(
        pair.pep_event(),
        PepEvent::RequestReady {
            client_type: CT,
            handle: handle.clone()
        }
    );
    pair.report(&handle, report, Outcome::Success);
    pair.pdp_event();
    pair.pep_does(second);
    let request = pair.pdp_request(&handle);
    pair.decide(&handle, request, null());
    let report = pair.pep_decision(&handle, true);
    pair.report(&handle, report, Outcome::Success);
    pair.pdp_event();
    // Nothing was refused this time, so nothing is told.
    pair.assert_quiet();
    assert_eq!(
        pair.exchange(),
        [
            "PEP REQ",
            "PDP DEC S",
            "PEP RPT S",
            "PEP REQ",
            "PDP DEC S",
            "PEP RPT S"
        ]
    );
}

/// A REQ that cannot be taken is answered with an Error object, and there is no report.
#[test]
fn e2_a_refused_request_c_3_2_14_c_2_2_8_05_a_18_a_19() {
    let (mut pair, handle) = Pair::installed();
    pair.exchange();
    let error = CopsError::new(ErrorCode::UNABLE_TO_PROCESS);
    for (state, installed) in [(Some(&handle), true), (None, false)] {
        let handle = pair.request(state, RequestBody::incremental(rows("bad")));
        let request = pair.pdp_request(&handle);
        let done = pair.decide(&handle, request, DecisionBody::Error(error));
        assert_eq!(done, Done::Decided { report: None });
        assert_eq!(
            pair.pep_event(),
            PepEvent::RequestRefused {
                client_type: CT,
                handle: handle.clone(),
                solicited: true,
                error,
                installed,
            }
        );
        // A new handle is not installed, the former state of a known one stays.
        assert_eq!(pair.pdp.handles(CT).any(|found| *found == handle), installed);
        assert!(!pair.pep.has_open_request(CT, &handle));
    }
    pair.assert_quiet();
    assert_eq!(pair.exchange(), ["PEP REQ", "PDP DEC S", "PEP REQ", "PDP DEC S"]);
    // The PEP may delete the handle that was not installed; the PDP takes it quietly.
    let refused = pair
        .pep
        .handles(CT)
        .find(|found| **found != handle)
        .cloned()
        .unwrap();
    pair.pep_does(PepCommand::Delete {
        client_type: CT,
        handle: refused,
        reason: Reason::new(ReasonCode::UNSPECIFIED),
    });
    pair.assert_quiet();
    assert_eq!(pair.pdp.counters().unknown_handle, 1);
}

/// A report of the outage, the plan unsolicited, results, and the release of a stage.
#[test]
fn e3_interruption_c_4_4_02() {
    both_ways(|piece| {
        let (mut pair, handle) = Pair::installed();
        pair.piece = piece;
        pair.exchange();
        let tell = |pair: &mut Pair, what: &str| {
            pair.request(Some(&handle), RequestBody::incremental(rows(what)));
            let request = pair.pdp_request(&handle);
            pair.decide(&handle, request, null());
            let report = pair.pep_decision(&handle, true);
            pair.report(&handle, report, Outcome::Success);
            pair.pdp_event();
        };
        let push = |pair: &mut Pair, what: &str| {
            pair.push(&handle, what);
            let report = pair.pep_decision(&handle, false);
            pair.report(&handle, report, Outcome::Success);
            pair.pdp_event();
        };
        tell(&mut pair, "mains absent");
        push(&mut pair, "plan");
        tell(&mut pair, "results of stage 0");
        push(&mut pair, "stage 1 released");
        tell(&mut pair, "results of stage 1");
        pair.assert_quiet();
        let told = ["PEP REQ", "PDP DEC S", "PEP RPT S"];
        let pushed = ["PDP DEC", "PEP RPT S"];
        assert_eq!(
            pair.exchange(),
            [&told[..], &pushed, &told, &pushed, &told].concat()
        );
    });
}

/// A row fails at install: Failure. A row fails later: an unsolicited Failure, and nothing else.
#[test]
fn e7_failures_c_3_3_06_p_3_3_03() {
    let (mut pair, handle) = Pair::installed();
    pair.exchange();
    pair.push(&handle, "bad row");
    let report = pair.pep_decision(&handle, false);
    pair.report(&handle, report, Outcome::Failure);
    assert!(matches!(
        pair.pdp_event(),
        PdpEvent::Report {
            decision: Some(_),
            report_type: ReportType::FAILURE,
            ..
        }
    ));
    pair.pep_does(PepCommand::ReportUnsolicited {
        client_type: CT,
        handle: handle.clone(),
        report: UnsolicitedReport::Failure,
        client_si: rows("what failed"),
    });
    assert!(matches!(
        pair.pdp_event(),
        PdpEvent::Report {
            decision: None,
            report_type: ReportType::FAILURE,
            ..
        }
    ));
    assert_eq!(pair.exchange(), ["PDP DEC", "PEP RPT S", "PEP RPT"]);
}

/// Periodic accounting reports keep the PDP's pace, each handle on its own.
#[test]
fn e11_accounting_c_3_7_04_p_5_3_2_02_a_43() {
    let mut pair = Pair::new();
    pair.pep_does(PepCommand::Open(ClientOpening::new(CT)));
    pair.pdp_event();
    pair.pdp_does(PdpCommand::Accept(Acceptance {
        accounting_timer: Some(AccountingTimer(10)),
        ..Acceptance::new(CT, KaTimer(40))
    }));
    pair.pep_event();
    let handles = [pair.install_state(), pair.install_state()];
    let account = |handle: &ClientHandle, report| PepCommand::ReportUnsolicited {
        client_type: CT,
        handle: handle.clone(),
        report,
        client_si: rows("reading"),
    };
    for (handle, seconds) in handles.iter().zip([1, 15]) {
        pair.pep_does(PepCommand::SetAccounting {
            client_type: CT,
            handle: handle.clone(),
            interval: Some(Duration::from_secs(seconds)),
        });
    }
    let mut reports: Vec<Vec<Moment>> = vec![Vec::new(), Vec::new()];
    for _ in 0..600 {
        pair.pass(Duration::from_millis(100));
        while let Some(event) = pair.pep_events.pop_front() {
            let PepEvent::AccountingDue { handle, .. } = event else {
                panic!("{event:?}")
            };
            pair.pep_does(account(&handle, UnsolicitedReport::PeriodicAccounting));
            let place = handles.iter().position(|known| *known == handle).unwrap();
            reports[place].push(pair.now);
            // Once more at once is too often.
            assert!(matches!(
                pair.pep_tries(account(&handle, UnsolicitedReport::PeriodicAccounting)),
                Err(CommandError::AccountingTooSoon { until }) if until == pair.now.after(Duration::from_secs(10))
            ));
        }
    }
    for (times, (count, interval)) in reports.iter().zip([(6, 10_000), (4, 15_000)]) {
        assert_eq!(times.len(), count);
        assert!(
            times.windows(2).all(|pair| pair[1].0 - pair[0].0 >= interval),
            "{times:?}"
        );
    }
    // The last figures of a state are not periodic.
    pair.pep_does(account(&handles[0], UnsolicitedReport::FinalAccounting));
    pair.pep_does(PepCommand::SetAccounting {
        client_type: CT,
        handle: handles[0].clone(),
        interval: None,
    });
    pair.pep_does(PepCommand::Delete {
        client_type: CT,
        handle: handles[1].clone(),
        reason: Reason::new(ReasonCode::MANAGEMENT),
    });
    pair.pass(Duration::from_secs(60));
    pair.assert_no_pep_event();
}

/// Accounting Timer 0: no periodic report at all.
#[test]
fn c_2_2_15_03_accounting_timer_zero() {
    let mut pair = Pair::new();
    pair.pep_does(PepCommand::Open(ClientOpening::new(CT)));
    pair.pdp_event();
    pair.pdp_does(PdpCommand::Accept(Acceptance {
        accounting_timer: Some(AccountingTimer::NEVER),
        ..Acceptance::new(CT, KaTimer(40))
    }));
    pair.pep_event();
    let handle = pair.install_state();
    pair.pep_does(PepCommand::SetAccounting {
        client_type: CT,
        handle: handle.clone(),
        interval: Some(Duration::from_secs(1)),
    });
    pair.pass(Duration::from_secs(100));
    pair.assert_no_pep_event();
    assert_eq!(
        pair.pep_tries(PepCommand::ReportUnsolicited {
            client_type: CT,
            handle,
            report: UnsolicitedReport::PeriodicAccounting,
            client_si: Vec::new(),
        }),
        Err(CommandError::AccountingOff)
    );
}
