//! One list of octets and messages, which drives both directions, every truncation and the framing.
//!
//! The octets are frozen: they are what other implementations read. Change one only where the RFC shows it to be wrong.

use std::net::{Ipv4Addr, Ipv6Addr};

use bytes::Bytes;
use cops_codec::{
    Message,
    message::{
        ClientAccept, ClientClose, ClientOpen, Decision, DecisionBody, DecisionMessage, DeleteRequestState,
        KeepAlive, LpdpDecision, ReportState, Request, SynchronizeStateComplete, SynchronizeStateRequest,
    },
    wire::{
        AccountingTimer, ClientHandle, ClientSi, ClientType, CommandCode, Context, CopsError,
        DecisionFlagBits, DecisionFlags, ErrorCode, Integrity, IntegrityTlsFlags, Interface, KaTimer, KeyId,
        MType, PdpAddress, PepId, RType, Reason, ReasonCode, ReportType, SequenceNumber,
    },
};

use crate::support::hex;

/// Octets and the message that they are.
pub(crate) struct Pair {
    pub(crate) name: &'static str,
    pub(crate) octets: Bytes,
    pub(crate) message: Message,
}

fn pair(name: &'static str, octets: &str, message: impl Into<Message>) -> Pair {
    Pair {
        name,
        octets: hex(octets),
        message: message.into(),
    }
}

const PRIVATE: ClientType = ClientType(0x4001);
/// The client-type of the exchanges of the power client.
const POWER: ClientType = ClientType(0x5057);
const DOCUMENTATION: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

fn handle(octets: &'static [u8]) -> ClientHandle {
    ClientHandle(Bytes::from_static(octets))
}

/// The handle of the vectors, five octets, so that it is padded.
fn five() -> ClientHandle {
    handle(&[0, 0, 0, 0, 0x2a])
}

fn hmac(sequence_number: u32, digest: &str) -> Option<Integrity> {
    Some(Integrity::Hmac {
        key_id: KeyId(1),
        sequence_number: SequenceNumber(sequence_number),
        digest: hex(digest),
    })
}

/// A digest of the right length for messages whose digest nobody checks.
const ANY_DIGEST: &str = "a0a1a2a3 a4a5a6a7 a8a9aaab";

fn pep_id(name: &str) -> PepId {
    PepId::new(name).expect("a PEPID")
}

/// The vectors V-1 to V-5: a bare KA, a secured opening, a request-state from REQ to DRQ, a redirect, and COPS-PR data.
pub(crate) fn vectors() -> Vec<Pair> {
    let any = ClientType::CONNECTION;
    vec![
        pair("V-1 KA", "10 09 00 00 00 00 00 08", KeepAlive { integrity: None }),
        pair(
            "V-2 OPN with Integrity",
            "10 06 00 00 00 00 00 2c 00 0c 0b 01 70 65 70 31 00 00 00 00 00 18 10 01 00 00 00 01 00 00 00 64
             d4 c1 77 97 c9 e5 68 3e 94 c9 34 b1",
            ClientOpen {
                client_type: any,
                pep_id: pep_id("pep1"),
                client_si: None,
                last_pdp_address: None,
                integrity: hmac(100, "d4c17797 c9e5683e 94c934b1"),
            },
        ),
        pair(
            "V-2b CAT with Integrity",
            "10 07 00 00 00 00 00 28 00 08 0a 01 00 00 00 1e 00 18 10 01 00 00 00 01 00 00 00 0a
             0f 09 c1 05 f2 a3 4a 0e 28 81 95 b3",
            ClientAccept {
                client_type: any,
                ka_timer: KaTimer(30),
                accounting_timer: None,
                integrity: hmac(10, "0f09c105 f2a34a0e 288195b3"),
            },
        ),
        pair(
            "V-2c KA with Integrity",
            "10 09 00 00 00 00 00 20 00 18 10 01 00 00 00 01 00 00 00 0b 54 57 43 69 a1 36 ae 13 bd 6b e7 a3",
            KeepAlive { integrity: hmac(11, "54574369 a136ae13 bd6be7a3") },
        ),
        pair(
            "V-3 REQ",
            "10 01 40 01 00 00 00 24 00 09 01 01 00 00 00 00 2a 00 00 00 00 08 02 01 00 08 00 00
             00 07 09 02 61 62 63 00",
            Request {
                client_si: vec![ClientSi::Named(Bytes::from_static(b"abc"))],
                ..request(PRIVATE, five(), Context::CONFIGURATION)
            },
        ),
        pair(
            "V-3b DEC",
            "11 02 40 01 00 00 00 2c 00 09 01 01 00 00 00 00 2a 00 00 00 00 08 02 01 00 08 00 00
             00 08 06 01 00 01 00 00 00 07 06 05 78 79 7a 00",
            decision(PRIVATE, true, five(), vec![Decision::install(Context::CONFIGURATION, Bytes::from_static(b"xyz"))]),
        ),
        pair(
            "V-3c RPT",
            "11 03 40 01 00 00 00 1c 00 09 01 01 00 00 00 00 2a 00 00 00 00 08 0c 01 00 01 00 00",
            ReportState {
                client_type: PRIVATE,
                solicited: true,
                handle: five(),
                report_type: ReportType::SUCCESS,
                client_si: vec![],
                integrity: None,
            },
        ),
        pair(
            "V-3d DRQ",
            "10 04 40 01 00 00 00 1c 00 09 01 01 00 00 00 00 2a 00 00 00 00 08 05 01 00 0d 11 01",
            DeleteRequestState {
                client_type: PRIVATE,
                handle: five(),
                reason: Reason { code: ReasonCode::UNKNOWN_OBJECT, sub_code: 0x1101 },
                integrity: None,
            },
        ),
        pair(
            "V-4 CC",
            "10 08 40 01 00 00 00 1c 00 08 08 01 00 0c 00 00 00 0c 0d 01 c0 00 02 01 00 00 0c d8",
            ClientClose {
                client_type: PRIVATE,
                error: CopsError::new(ErrorCode::REDIRECT),
                pdp_redirect_address: Some(PdpAddress { address: Ipv4Addr::new(192, 0, 2, 1).into(), port: 3288 }),
                integrity: None,
            },
        ),
        pair(
            "V-5 DEC of COPS-PR",
            "11 02 00 02 00 00 00 68 00 09 01 01 00 00 00 00 2a 00 00 00 00 08 02 01 00 08 00 00 00 08 06 01 00 01 00 00
             00 44 06 05 00 0d 01 01 06 07 2b 06 01 02 02 08 01 00 00 00 00 30 03 01 02 01 08 40 04 c0 39 01 05
             40 04 ff ff ff ff 40 04 00 00 00 00 40 04 00 00 00 00 02 01 ff 02 01 06 05 00 05 00 05 00 05 00 02 01 01",
            decision(
                ClientType::DIFFSERV_QOS,
                true,
                five(),
                vec![Decision::install(
                    Context::CONFIGURATION,
                    hex("00 0d 01 01 06 07 2b 06 01 02 02 08 01 00 00 00 00 30 03 01 02 01 08 40 04 c0 39 01 05
                         40 04 ff ff ff ff 40 04 00 00 00 00 40 04 00 00 00 00 02 01 ff 02 01 06 05 00 05 00 05 00
                         05 00 02 01 01"),
                )],
            ),
        ),
    ]
}

/// What the power client sends: a REQ with changed facts, the release of a stage, and the activation of a context.
pub(crate) fn exchanges() -> Vec<Pair> {
    const PLAN: &str = "00 13 01 01 06 0d 2b 06 01 04 01 81 fd 59 01 04 01 01 01 00 00 38 03 01 42 01 01";
    const DIGEST: &str =
        "04 20 00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10 11 12 13 14 15 16 17 18 19 1a 1b 1c
                          1d 1e 1f";
    let released = format!("{PLAN} 4b 01 07 4b 01 01 02 01 03 02 01 01 42 01 01 {DIGEST}");
    let incarnation = |generation: u8, active: &str| {
        format!(
            "00 10 01 01 06 0a 2b 06 01 02 02 02 01 02 01 01 00 30 03 01 42 01 01 04 04 70 64 70 31
             04 10 00 00 00 00 00 00 00 07 00 00 00 00 00 00 00 {generation:02x} 02 01 03 42 03 01 51 80 02 01 01
             02 01 {active} 02 01 02"
        )
    };
    let facts = format!(
        "{} 00 13 01 01 06 0d 2b 06 01 04 01 81 fd 59 01 01 03 01 01 00
         00 17 03 01 42 01 01 04 05 66 65 65 64 41 02 01 02 02 01 01 42 01 14 00",
        incarnation(1, "01"),
    );
    let activation = format!(
        "{} {PLAN} 4b 01 07 4b 01 02 02 01 03 02 01 02 42 01 00 {DIGEST}",
        incarnation(2, "01")
    );
    vec![
        pair(
            "power REQ, mains absent",
            "10 01 50 57 00 00 00 88 00 08 01 01 00 00 00 01 00 08 02 01 00 08 00 00 00 70 09 02
             00 10 01 01 06 0a 2b 06 01 02 02 02 01 02 01 01 00 30 03 01 42 01 01 04 04 70 64 70
             31 04 10 00 00 00 00 00 00 00 07 00 00 00 00 00 00 00 01 02 01 03 42 03 01 51 80 02
             01 01 02 01 01 02 01 02 00 13 01 01 06 0d 2b 06 01 04 01 81 fd 59 01 01 03 01 01 00
             00 17 03 01 42 01 01 04 05 66 65 65 64 41 02 01 02 02 01 01 42 01 14 00",
            Request {
                client_si: vec![ClientSi::Named(hex(&facts))],
                ..request(POWER, ClientHandle::from(1), Context::CONFIGURATION)
            },
        ),
        pair(
            "power DEC, stage 1 released",
            "10 02 50 57 00 00 00 70 00 08 01 01 00 00 00 01 00 08 02 01 00 08 00 00
             00 08 06 01 00 01 00 00 00 50 06 05
             00 13 01 01 06 0d 2b 06 01 04 01 81 fd 59 01 04 01 01 01 00
             00 38 03 01 42 01 01 4b 01 07 4b 01 01 02 01 03 02 01 01 42 01 01 04 20 00 01 02 03
             04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10 11 12 13 14 15 16 17 18 19 1a 1b 1c 1d 1e 1f",
            decision(
                POWER,
                false,
                ClientHandle::from(1),
                vec![Decision::install(Context::CONFIGURATION, hex(&released))],
            ),
        ),
        pair(
            "power DEC, contingency activated",
            "10 02 50 57 00 00 00 b0 00 08 01 01 00 00 00 02 00 08 02 01 00 08 00 00 00 08 06 01
             00 01 00 00 00 90 06 05 00 10 01 01 06 0a 2b 06 01 02 02 02 01 02 01 01 00 30 03 01
             42 01 01 04 04 70 64 70 31 04 10 00 00 00 00 00 00 00 07 00 00 00 00 00 00 00 02 02
             01 03 42 03 01 51 80 02 01 01 02 01 01 02 01 02 00 13 01 01 06 0d 2b 06 01 04 01 81
             fd 59 01 04 01 01 01 00 00 38 03 01 42 01 01 4b 01 07 4b 01 02 02 01 03 02 01 02 42
             01 00 04 20 00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10 11 12 13 14 15 16 17
             18 19 1a 1b 1c 1d 1e 1f",
            decision(
                POWER,
                false,
                ClientHandle::from(2),
                vec![Decision::install(Context::CONFIGURATION, hex(&activation))],
            ),
        ),
    ]
}

/// Each message with the least that it may hold, and with all that it may hold.
///
/// Named data begin like an inner object of RFC 3084, because Wireshark looks for one whatever the client-type.
pub(crate) fn least_and_most() -> Vec<Pair> {
    let data = Bytes::from_static;
    let integrity = || hmac(7, ANY_DIGEST);
    let outsourcing = Context {
        r_type: RType::INCOMING_MESSAGE | RType::RESOURCE_ALLOCATION,
        m_type: MType(2),
    };
    vec![
        pair(
            "least REQ",
            "10 01 40 01 00 00 00 18  00 08 01 01 00 00 00 01  00 08 02 01 00 08 00 00",
            request(PRIVATE, ClientHandle::from(1), Context::CONFIGURATION),
        ),
        pair(
            "most REQ",
            "10 01 40 01 00 00 00 98
             00 05 01 01 2a 00 00 00                          ; Handle
             00 08 02 01 00 03 00 02                          ; Context
             00 0c 03 01 c0 00 02 07 00 00 00 03              ; In-Interface, IPv4
             00 18 04 02 20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 01 00 00 00 04 ; Out-Interface, IPv6
             00 06 09 01 01 02 00 00                          ; Signaled ClientSI
             00 04 09 02                                      ; Named ClientSI, empty
             00 08 07 01 00 01 00 00                          ; LPDP Flags, Install
             00 05 07 02 aa 00 00 00                          ; LPDP Stateless Data
             00 06 07 03 bb bb 00 00                          ; LPDP Replacement Data
             00 07 07 04 cc cc cc 00                          ; LPDP Client Specific Data
             00 08 07 05 00 04 dd dd                          ; LPDP Named Data
             00 08 02 01 00 04 00 01                          ; Context of the second LPDP decision
             00 08 07 01 00 02 00 01                          ; LPDP Flags, Remove, Trigger Error
             00 18 10 01 00 00 00 01 00 00 00 07 a0 a1 a2 a3 a4 a5 a6 a7 a8 a9 aa ab
             ",
            Request {
                client_type: PRIVATE,
                handle: handle(&[0x2a]),
                context: outsourcing,
                in_interface: Some(Interface { address: Ipv4Addr::new(192, 0, 2, 7).into(), ifindex: 3 }),
                out_interface: Some(Interface { address: DOCUMENTATION.into(), ifindex: 4 }),
                client_si: vec![ClientSi::Signaled(data(&[1, 2])), ClientSi::Named(Bytes::new())],
                lpdp_decisions: vec![
                    LpdpDecision {
                        context: None,
                        flags: DecisionFlags::new(CommandCode::INSTALL),
                        stateless: Some(data(&[0xaa])),
                        replacement: Some(data(&[0xbb; 2])),
                        client_si: Some(data(&[0xcc; 3])),
                        named: Some(data(&[0, 4, 0xdd, 0xdd])),
                    },
                    LpdpDecision {
                        context: Some(Context { r_type: RType::OUTGOING_MESSAGE, m_type: MType(1) }),
                        ..LpdpDecision::new(DecisionFlags {
                            command: CommandCode::REMOVE,
                            flags: DecisionFlagBits::TRIGGER_ERROR,
                        })
                    },
                ],
                integrity: integrity(),
            },
        ),
        pair(
            "REQ with the interfaces' other C-Types",
            "10 01 40 01 00 00 00 3c  00 08 01 01 00 00 00 01  00 08 02 01 00 08 00 00
             00 18 03 02 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 01 00 00 00 01
             00 0c 04 01 7f 00 00 01 00 00 00 01",
            Request {
                in_interface: Some(Interface::loopback_ipv6(1)),
                out_interface: Some(Interface::loopback_ipv4(1)),
                ..request(PRIVATE, ClientHandle::from(1), Context::CONFIGURATION)
            },
        ),
        pair(
            "least DEC",
            "11 02 40 01 00 00 00 20  00 08 01 01 00 00 00 01  00 08 02 01 00 08 00 00  00 08 06 01 00 00 00 00",
            decision(PRIVATE, true, ClientHandle::from(1), vec![Decision::null(Context::CONFIGURATION)]),
        ),
        pair(
            "DEC with an error",
            "11 02 40 01 00 00 00 18  00 08 01 01 00 00 00 01  00 08 08 01 00 0d 11 01",
            DecisionMessage {
                client_type: PRIVATE,
                solicited: true,
                handle: ClientHandle::from(1),
                body: DecisionBody::Error(CopsError { code: ErrorCode::UNKNOWN_OBJECT, sub_code: 0x1101 }),
                integrity: None,
            },
        ),
        pair(
            "most DEC",
            "10 02 40 01 00 00 00 7c
             00 08 01 01 00 00 00 01
             00 08 02 01 00 03 00 02  00 08 06 01 00 01 00 01 ; first decision: Install, Trigger Error
             00 05 06 02 aa 00 00 00
             00 06 06 03 bb bb 00 00
             00 07 06 04 cc cc cc 00
             00 08 06 05 00 04 dd dd
             00 08 02 01 00 08 00 00  00 08 06 01 00 02 00 00 ; second: Remove
             00 04 06 05
             00 08 02 01 00 08 00 00  00 08 06 01 00 01 00 02 ; third: Install, Request-State
             00 18 10 01 00 00 00 01 00 00 00 07 a0 a1 a2 a3 a4 a5 a6 a7 a8 a9 aa ab
             ",
            DecisionMessage {
                client_type: PRIVATE,
                solicited: false,
                handle: ClientHandle::from(1),
                body: DecisionBody::Decisions(vec![
                    Decision {
                        context: outsourcing,
                        flags: DecisionFlags { command: CommandCode::INSTALL, flags: DecisionFlagBits::TRIGGER_ERROR },
                        stateless: Some(data(&[0xaa])),
                        replacement: Some(data(&[0xbb; 2])),
                        client_si: Some(data(&[0xcc; 3])),
                        named: Some(data(&[0, 4, 0xdd, 0xdd])),
                    },
                    Decision::remove(Context::CONFIGURATION, Bytes::new()),
                    Decision::new(
                        Context::CONFIGURATION,
                        DecisionFlags { command: CommandCode::INSTALL, flags: DecisionFlagBits::REQUEST_STATE },
                    ),
                ]),
                integrity: integrity(),
            },
        ),
        pair(
            "most RPT",
            "10 03 40 01 00 00 00 48  00 08 01 01 00 00 00 01  00 08 0c 01 00 03 00 00
             00 05 09 02 01 00 00 00  00 05 09 02 02 00 00 00  00 05 09 01 03 00 00 00
             00 18 10 01 00 00 00 01 00 00 00 07 a0 a1 a2 a3 a4 a5 a6 a7 a8 a9 aa ab",
            ReportState {
                client_type: PRIVATE,
                solicited: false,
                handle: ClientHandle::from(1),
                report_type: ReportType::ACCOUNTING,
                client_si: vec![
                    ClientSi::Named(data(&[1])),
                    ClientSi::Named(data(&[2])),
                    ClientSi::Signaled(data(&[3])),
                ],
                integrity: integrity(),
            },
        ),
        pair(
            "most DRQ",
            "10 04 40 01 00 00 00 30  00 08 01 01 00 00 00 01  00 08 05 01 00 08 00 05
             00 18 10 01 00 00 00 01 00 00 00 07 a0 a1 a2 a3 a4 a5 a6 a7 a8 a9 aa ab",
            DeleteRequestState {
                client_type: PRIVATE,
                handle: ClientHandle::from(1),
                reason: Reason { code: ReasonCode::PDP_DIRECTIVE, sub_code: 5 },
                integrity: integrity(),
            },
        ),
        pair(
            "least SSQ",
            "10 05 40 01 00 00 00 08",
            SynchronizeStateRequest { client_type: PRIVATE, handle: None, integrity: None },
        ),
        pair(
            "most SSQ",
            "10 05 40 01 00 00 00 28  00 08 01 01 00 00 00 01
             00 18 10 01 00 00 00 01 00 00 00 07 a0 a1 a2 a3 a4 a5 a6 a7 a8 a9 aa ab",
            SynchronizeStateRequest {
                client_type: PRIVATE,
                handle: Some(ClientHandle::from(1)),
                integrity: integrity(),
            },
        ),
        pair(
            "least OPN",
            "10 06 40 01 00 00 00 14  00 0c 0b 01 70 65 70 31 00 00 00 00",
            ClientOpen {
                client_type: PRIVATE,
                pep_id: pep_id("pep1"),
                client_si: None,
                last_pdp_address: None,
                integrity: None,
            },
        ),
        pair(
            "most OPN",
            "10 06 40 01 00 00 00 48  00 08 0b 01 70 65 70 00  00 08 09 02 01 02 03 04
             00 18 0e 02 20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 01 00 00 0c d8
             00 18 10 01 00 00 00 01 00 00 00 07 a0 a1 a2 a3 a4 a5 a6 a7 a8 a9 aa ab",
            ClientOpen {
                client_type: PRIVATE,
                pep_id: pep_id("pep"),
                client_si: Some(ClientSi::Named(data(&[1, 2, 3, 4]))),
                last_pdp_address: Some(PdpAddress { address: DOCUMENTATION.into(), port: 3288 }),
                integrity: integrity(),
            },
        ),
        pair(
            "OPN that asks for TLS",
            "10 06 00 00 00 00 00 28  00 0c 0b 01 70 65 70 31 00 00 00 00  00 0c 0e 01 c0 00 02 01 00 00 0c d8
             00 08 10 02 00 00 00 01",
            ClientOpen {
                client_type: ClientType::CONNECTION,
                pep_id: pep_id("pep1"),
                client_si: None,
                last_pdp_address: Some(PdpAddress { address: Ipv4Addr::new(192, 0, 2, 1).into(), port: 3288 }),
                integrity: Some(Integrity::Tls { flags: IntegrityTlsFlags::START_TLS }),
            },
        ),
        pair(
            "least CAT",
            "10 07 40 01 00 00 00 10  00 08 0a 01 00 00 00 00",
            ClientAccept {
                client_type: PRIVATE,
                ka_timer: KaTimer::INFINITE,
                accounting_timer: None,
                integrity: None,
            },
        ),
        pair(
            "most CAT",
            "10 07 40 01 00 00 00 30  00 08 0a 01 00 00 ff ff  00 08 0f 01 00 00 00 3c
             00 18 10 01 00 00 00 01 00 00 00 07 a0 a1 a2 a3 a4 a5 a6 a7 a8 a9 aa ab",
            ClientAccept {
                client_type: PRIVATE,
                ka_timer: KaTimer(65_535),
                accounting_timer: Some(AccountingTimer(60)),
                integrity: integrity(),
            },
        ),
        pair(
            "least CC",
            "10 08 40 01 00 00 00 10  00 08 08 01 00 0b 00 00",
            ClientClose {
                client_type: PRIVATE,
                error: CopsError::new(ErrorCode::SHUTTING_DOWN),
                pdp_redirect_address: None,
                integrity: None,
            },
        ),
        pair(
            "most CC",
            "10 08 40 01 00 00 00 40  00 08 08 01 00 0c 00 00
             00 18 0d 02 20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 01 00 00 0c d8
             00 18 10 01 00 00 00 01 00 00 00 07 a0 a1 a2 a3 a4 a5 a6 a7 a8 a9 aa ab",
            ClientClose {
                client_type: PRIVATE,
                error: CopsError::new(ErrorCode::REDIRECT),
                pdp_redirect_address: Some(PdpAddress { address: DOCUMENTATION.into(), port: 3288 }),
                integrity: integrity(),
            },
        ),
        pair(
            "least SSC",
            "10 0a 40 01 00 00 00 08",
            SynchronizeStateComplete { client_type: PRIVATE, handle: None, integrity: None },
        ),
        pair(
            "most SSC",
            "10 0a 40 01 00 00 00 28  00 08 01 01 00 00 00 01
             00 18 10 01 00 00 00 01 00 00 00 07 a0 a1 a2 a3 a4 a5 a6 a7 a8 a9 aa ab",
            SynchronizeStateComplete {
                client_type: PRIVATE,
                handle: Some(ClientHandle::from(1)),
                integrity: integrity(),
            },
        ),
    ]
}

/// All of them.
pub(crate) fn all() -> Vec<Pair> {
    vectors()
        .into_iter()
        .chain(exchanges())
        .chain(least_and_most())
        .collect()
}

/// A REQ with nothing that may be absent.
pub(crate) fn request(client_type: ClientType, handle: ClientHandle, context: Context) -> Request {
    Request {
        client_type,
        handle,
        context,
        in_interface: None,
        out_interface: None,
        client_si: vec![],
        lpdp_decisions: vec![],
        integrity: None,
    }
}

/// A DEC with these decisions.
pub(crate) fn decision(
    client_type: ClientType,
    solicited: bool,
    handle: ClientHandle,
    decisions: Vec<Decision>,
) -> DecisionMessage {
    DecisionMessage {
        client_type,
        solicited,
        handle,
        body: DecisionBody::Decisions(decisions),
        integrity: None,
    }
}
