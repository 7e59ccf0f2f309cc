//! A PDP that names another one: what a PEP keeps, and what it says to the other (RFC 2748 2.2.13, 2.3, 2.5, 3.8). Where two
//! PDPs take part, the one at the other end is that of `address`, and the former one that of `other_address`.

use std::net::SocketAddr;
use std::num::NonZeroUsize;

use cops_codec::message::DecisionBody;
use cops_codec::session::CloseCause;
use cops_codec::session::pdp::{PdpCommand, PdpEvent};
use cops_codec::session::pep::reconnect::{Attempt, Reconnect, ReconnectConfig, Target};
use cops_codec::session::pep::{ClientEnd, ClientOpening, Outcome, PepCommand, PepEvent, RequestBody};
use cops_codec::wire::{ClientHandle, CopsError, ErrorCode, PdpAddress};

use crate::pair::*;
use crate::resume::{SYNCHRONIZING, accept, back};

fn families() -> [PdpAddress; 2] {
    let six: SocketAddr = "[2001:db8::7]:4000".parse().unwrap();
    [other_address(), six.into()]
}

/// The PDP closes the client-type and names another: what the PEP has then, and where it is to go.
fn sent_away(pair: &mut Pair, to: PdpAddress) -> ClientEnd {
    pair.pdp_does(PdpCommand::Close {
        client_type: CT,
        error: CopsError::new(ErrorCode::REDIRECT),
        redirect: Some(to),
    });
    ended(pair, to)
}

fn ended(pair: &mut Pair, to: PdpAddress) -> ClientEnd {
    let PepEvent::ClientClosed(end) = pair.pep_event() else {
        panic!("the client-type's end")
    };
    let error = CopsError::new(ErrorCode::REDIRECT);
    let redirect = Some(to);
    assert_eq!(end.cause, CloseCause::Peer { error, redirect });
    // The last client-type: the PEP ends the connection.
    let cause = CloseCause::NoClientOpen;
    assert_eq!(pair.pep_event(), PepEvent::Closed { cause });
    assert!(pair.pep.is_closed());
    end
}

/// Full state under the old handle, decided and reported on; SSC.
fn synchronize(pair: &mut Pair, handle: &ClientHandle) {
    assert!(matches!(
        pair.pep_event(),
        PepEvent::SynchronizeRequested { handle: None, .. }
    ));
    pair.request(Some(handle), RequestBody::configuration(rows("all")));
    let request = pair.pdp_request(handle);
    pair.decide(handle, request, DecisionBody::Decisions(install("plan")));
    let report = pair.pep_decision(handle, true);
    pair.report(handle, report, Outcome::Success);
    assert!(matches!(pair.pdp_event(), PdpEvent::Report { .. }));
    assert!(matches!(
        pair.pdp_event(),
        PdpEvent::Synchronized { handle: None, .. }
    ));
    assert!(matches!(
        pair.pep_event(),
        PepEvent::Synchronized { handle: None, .. }
    ));
}

#[test]
fn e9_a_pep_in_sync_is_sent_to_another_pdp_and_back_c_2_2_13_02_c_2_3_11_c_2_5_05_c_3_8_04() {
    for to in families() {
        both_ways(|piece| {
            let (mut pair, handle) = Pair::installed();
            pair.piece = piece;
            pair.exchange();
            // There, and back: each synchronises, for the state went with the CC at the one before (RFC 2748 4.7).
            for _ in 0..2 {
                let end = sent_away(&mut pair, to);
                assert!(end.accepted && end.in_sync);
                assert_eq!(pair.exchange(), ["PDP CC"], "CC has no answer");
                assert!(matches!(
                    pair.pdp_event(),
                    PdpEvent::ClientClosed { held: false, .. }
                ));
                pair = back(&end, Some(other_address()));
                pair.piece = piece;
                assert_eq!(accept(&mut pair, None), SYNCHRONIZING);
                synchronize(&mut pair, &handle);
                let told = [
                    "PEP OPN",
                    "PDP CAT",
                    "PDP SSQ",
                    "PEP REQ",
                    "PDP DEC S",
                    "PEP RPT S",
                    "PEP SSC",
                ];
                assert_eq!(pair.exchange(), told);
            }
        });
    }
}

/// An OPN that is turned away leaves what is held as it was: the next OPN names the same last PDP.
#[test]
fn c_2_3_06_c_2_5_06_turned_away_at_the_opening_nothing_changes() {
    for to in families() {
        let (mut pair, handle) = Pair::installed();
        let mut end = sent_away(&mut pair, to);
        for _ in 0..3 {
            let states = end.states.clone();
            let mut pair = back(&end, Some(other_address()));
            pair.pdp_does(PdpCommand::Reject {
                client_type: CT,
                error: CopsError::new(ErrorCode::REDIRECT),
                redirect: Some(to),
            });
            end = ended(&mut pair, to);
            assert_eq!(pair.exchange(), ["PEP OPN", "PDP CC"]);
            assert!(!end.accepted && !end.in_sync, "it is not this PDP's");
            assert_eq!(end.states, states);
        }
        let mut pair = back(&end, Some(other_address()));
        assert_eq!(accept(&mut pair, None), SYNCHRONIZING);
        synchronize(&mut pair, &handle);
    }
}

/// A decision that was taken and not reported on, or a REQ that waits: the PDP that sends the PEP away is not its last one.
#[test]
fn c_2_5_06_sent_away_in_the_middle_of_something_is_not_in_sync() {
    let (mut pair, handle) = Pair::installed();
    pair.push(&handle, "plan");
    pair.pep_decision(&handle, false);
    assert!(!sent_away(&mut pair, other_address()).in_sync);

    let (mut pair, handle) = Pair::installed();
    pair.request(Some(&handle), RequestBody::incremental(rows("fact")));
    pair.pdp_request(&handle);
    let end = sent_away(&mut pair, other_address());
    assert!(!end.in_sync && !end.states[0].confirmed);
}

/// Another client-type of the connection goes on, and the PEP may have one connection for each (RFC 2748 2.3).
#[test]
fn c_2_3_07_one_client_type_goes_and_the_other_stays() {
    let (mut pair, _) = Pair::installed();
    pair.open_client(CT2);
    pair.pdp_does(PdpCommand::Close {
        client_type: CT,
        error: CopsError::new(ErrorCode::REDIRECT),
        redirect: Some(other_address()),
    });
    assert!(matches!(pair.pep_event(), PepEvent::ClientClosed(end) if end.client_type == CT));
    assert!(pair.pep.is_open(CT2));
    // The other PDP, on a connection of its own: the first one's client-type is not touched by it.
    let mut elsewhere = Pair::new();
    elsewhere.pep_does(PepCommand::Open(ClientOpening::new(CT)));
    assert!(matches!(elsewhere.pdp_event(), PdpEvent::OpenRequested { .. }));
    accept(&mut elsewhere, None);
    assert!(elsewhere.pep.is_open(CT) && pair.pep.is_open(CT2));
}

/// Sessions and the choice of PDP together: two PDPs that send a PEP to each other, over octets.
#[test]
fn a_circle_of_redirects_ends_in_waiting() {
    let count = NonZeroUsize::new(2).unwrap();
    let (mut pair, _) = Pair::installed();
    let mut reconnect = Reconnect::new(ReconnectConfig::DEFAULT, count, pair.now, 7);
    assert!(matches!(reconnect.poll(pair.now), Attempt::Connect { .. }));
    reconnect.handle_connected(pair.now);
    let mut end = sent_away(&mut pair, other_address());
    let mut now = pair.now;
    let mut opened = 0;
    loop {
        let CloseCause::Peer {
            redirect: Some(to), ..
        } = end.cause
        else {
            panic!("{}", end.cause)
        };
        if !reconnect.handle_redirected(now, to, None) {
            break;
        }
        now = reconnect.poll_timeout().unwrap();
        let pdp = Target::Named(to);
        assert_eq!(reconnect.poll(now), Attempt::Connect { pdp });
        let mut pair = back(&end, Some(other_address()));
        opened += 1;
        pair.pdp_does(PdpCommand::Reject {
            client_type: CT,
            error: CopsError::new(ErrorCode::REDIRECT),
            redirect: Some(other_address()),
        });
        end = ended(&mut pair, other_address());
    }
    assert_eq!(opened, ReconnectConfig::DEFAULT.max_redirects);
    let waited = reconnect.poll_timeout().unwrap().0 - now.0;
    assert!((500..=1_000).contains(&waited), "{waited} ms");
}
