//! Generated messages and octets. A failure prints the case and the seed that makes it again.

use std::net::IpAddr;

use bytes::Bytes;
use cops_codec::{
    Framer, Limits, Message, MessageRef,
    encode::encode_objects,
    message::{
        ClientAccept, ClientClose, ClientOpen, Decision, DecisionBody, DecisionMessage, DeleteRequestState,
        KeepAlive, LpdpDecision, ReportState, Request, SynchronizeStateComplete, SynchronizeStateRequest,
    },
    wire::{
        AccountingTimer, ClientHandle, ClientSi, ClientType, CommandCode, Context, CopsError,
        DecisionFlagBits, DecisionFlags, ErrorCode, Integrity, IntegrityTlsFlags, Interface, KaTimer, KeyId,
        MType, OpCode, PdpAddress, PepId, RType, Reason, ReasonCode, ReportType, Role, SequenceNumber,
    },
};
use proptest::{collection::vec, option, prelude::*, strategy::ValueTree};

use crate::support::{decode, encode};

/// Mostly short, at times long enough for a second object to begin far behind.
fn opaque() -> impl Strategy<Value = Bytes> {
    prop_oneof![9 => vec(any::<u8>(), 0..24), 1 => vec(any::<u8>(), 0..3000)].prop_map(Bytes::from)
}

fn handle() -> impl Strategy<Value = ClientHandle> {
    prop_oneof![9 => vec(any::<u8>(), 0..9), 1 => vec(any::<u8>(), 0..1025)]
        .prop_map(|octets| ClientHandle(octets.into()))
}

fn client_type() -> impl Strategy<Value = ClientType> {
    any::<u16>().prop_map(ClientType)
}

fn context() -> impl Strategy<Value = Context> {
    (1..=u16::MAX, any::<u16>()).prop_map(|(r_type, m_type)| Context {
        r_type: RType(r_type),
        m_type: MType(m_type),
    })
}

fn interface() -> impl Strategy<Value = Interface> {
    (any::<IpAddr>(), any::<u32>()).prop_map(|(address, ifindex)| Interface { address, ifindex })
}

fn pdp_address() -> impl Strategy<Value = PdpAddress> {
    (any::<IpAddr>(), any::<u16>()).prop_map(|(address, port)| PdpAddress { address, port })
}

fn client_si() -> impl Strategy<Value = ClientSi> {
    (any::<bool>(), opaque()).prop_map(|(named, contents)| {
        if named {
            ClientSi::Named(contents)
        } else {
            ClientSi::Signaled(contents)
        }
    })
}

fn integrity() -> impl Strategy<Value = Option<Integrity>> {
    option::of(prop_oneof![
        (any::<u32>(), any::<u32>(), vec(any::<u8>(), 0..=64)).prop_map(
            |(key_id, sequence_number, digest)| {
                Integrity::Hmac {
                    key_id: KeyId(key_id),
                    sequence_number: SequenceNumber(sequence_number),
                    digest: digest.into(),
                }
            }
        ),
        any::<u16>().prop_map(|flags| Integrity::Tls {
            flags: IntegrityTlsFlags(flags)
        }),
    ])
}

fn flags() -> impl Strategy<Value = DecisionFlags> {
    (any::<u16>(), any::<u16>()).prop_map(|(command, flags)| DecisionFlags {
        command: CommandCode(command),
        flags: DecisionFlagBits(flags),
    })
}

/// The four kinds of data of a decision.
fn data() -> impl Strategy<Value = [Option<Bytes>; 4]> {
    [
        option::of(opaque()),
        option::of(opaque()),
        option::of(opaque()),
        option::of(opaque()),
    ]
}

fn decision() -> impl Strategy<Value = Decision> {
    (context(), flags(), data()).prop_map(|(context, flags, [stateless, replacement, client_si, named])| {
        Decision {
            context,
            flags,
            stateless,
            replacement,
            client_si,
            named,
        }
    })
}

fn lpdp_decision() -> impl Strategy<Value = LpdpDecision> {
    (option::of(context()), flags(), data()).prop_map(
        |(context, flags, [stateless, replacement, client_si, named])| LpdpDecision {
            context,
            flags,
            stateless,
            replacement,
            client_si,
            named,
        },
    )
}

fn error() -> impl Strategy<Value = CopsError> {
    (any::<u16>(), any::<u16>()).prop_map(|(code, sub_code)| CopsError {
        code: ErrorCode(code),
        sub_code,
    })
}

fn request() -> impl Strategy<Value = Message> {
    let interfaces = (option::of(interface()), option::of(interface()));
    let lists = (vec(client_si(), 0..5), vec(lpdp_decision(), 0..5));
    (client_type(), handle(), context(), interfaces, lists, integrity()).prop_map(
        |(
            client_type,
            handle,
            context,
            (in_interface, out_interface),
            (client_si, lpdp_decisions),
            integrity,
        )| {
            Request {
                client_type,
                handle,
                context,
                in_interface,
                out_interface,
                client_si,
                lpdp_decisions,
                integrity,
            }
            .into()
        },
    )
}

fn decision_message() -> impl Strategy<Value = Message> {
    let body = prop_oneof![
        3 => vec(decision(), 1..6).prop_map(DecisionBody::Decisions),
        1 => error().prop_map(DecisionBody::Error),
    ];
    (client_type(), any::<bool>(), handle(), body, integrity()).prop_map(
        |(client_type, solicited, handle, body, integrity)| {
            DecisionMessage {
                client_type,
                solicited,
                handle,
                body,
                integrity,
            }
            .into()
        },
    )
}

fn report_state() -> impl Strategy<Value = Message> {
    (
        client_type(),
        any::<bool>(),
        handle(),
        any::<u16>(),
        vec(client_si(), 0..5),
        integrity(),
    )
        .prop_map(
            |(client_type, solicited, handle, report_type, client_si, integrity)| {
                let report_type = ReportType(report_type);
                ReportState {
                    client_type,
                    solicited,
                    handle,
                    report_type,
                    client_si,
                    integrity,
                }
                .into()
            },
        )
}

fn delete_request_state() -> impl Strategy<Value = Message> {
    (client_type(), handle(), any::<u16>(), any::<u16>(), integrity()).prop_map(
        |(client_type, handle, code, sub_code, integrity)| {
            let reason = Reason {
                code: ReasonCode(code),
                sub_code,
            };
            DeleteRequestState {
                client_type,
                handle,
                reason,
                integrity,
            }
            .into()
        },
    )
}

fn client_open() -> impl Strategy<Value = Message> {
    let name = "[ -~]{1,255}".prop_map(|name| PepId::new(name).expect("printable ASCII"));
    (
        client_type(),
        name,
        option::of(client_si()),
        option::of(pdp_address()),
        integrity(),
    )
        .prop_map(|(client_type, pep_id, client_si, last_pdp_address, integrity)| {
            ClientOpen {
                client_type,
                pep_id,
                client_si,
                last_pdp_address,
                integrity,
            }
            .into()
        })
}

fn others() -> impl Strategy<Value = Message> {
    prop_oneof![
        (client_type(), option::of(handle()), integrity()).prop_map(|(client_type, handle, integrity)| {
            SynchronizeStateRequest {
                client_type,
                handle,
                integrity,
            }
            .into()
        }),
        (client_type(), option::of(handle()), integrity()).prop_map(|(client_type, handle, integrity)| {
            SynchronizeStateComplete {
                client_type,
                handle,
                integrity,
            }
            .into()
        }),
        (client_type(), any::<u16>(), option::of(any::<u16>()), integrity()).prop_map(
            |(client_type, ka_timer, accounting_timer, integrity)| {
                let accounting_timer = accounting_timer.map(AccountingTimer);
                ClientAccept {
                    client_type,
                    ka_timer: KaTimer(ka_timer),
                    accounting_timer,
                    integrity,
                }
                .into()
            }
        ),
        (client_type(), error(), option::of(pdp_address()), integrity()).prop_map(
            |(client_type, error, pdp_redirect_address, integrity)| {
                ClientClose {
                    client_type,
                    error,
                    pdp_redirect_address,
                    integrity,
                }
                .into()
            }
        ),
        integrity().prop_map(|integrity| KeepAlive { integrity }.into()),
    ]
}

/// Any message.
fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        3 => request(),
        3 => decision_message(),
        2 => report_state(),
        1 => delete_request_state(),
        2 => client_open(),
        3 => others(),
    ]
}

/// Octets that look like a message: good framing, objects of likely numbers and wrong as well as right lengths.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let object = (
        0u8..18,
        0u8..7,
        vec(any::<u8>(), 0..28),
        prop_oneof![8 => Just(0i32), 1 => -8..8i32],
    )
        .prop_map(|(c_num, c_type, contents, error)| {
            let stated = i32::try_from(contents.len() + 4).expect("short") + error;
            let mut octets = u16::try_from(stated.max(0))
                .expect("short")
                .to_be_bytes()
                .to_vec();
            octets.extend([c_num, c_type]);
            octets.extend(contents);
            octets.resize(octets.len().next_multiple_of(4), 0);
            octets
        });
    (0u8..12, any::<u16>(), vec(object, 0..8)).prop_map(|(op_code, client_type, objects)| {
        let objects = objects.concat();
        let mut octets = vec![0x11, op_code];
        octets.extend(client_type.to_be_bytes());
        octets.extend(u32::try_from(8 + objects.len()).expect("short").to_be_bytes());
        octets.extend(objects);
        octets
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_encoded_decodes_to_the_same(message in message()) {
        let octets = encode(&message);
        prop_assert_eq!(octets.len() % 4, 0);
        prop_assert_eq!(decode(octets), Ok(message));
    }

    /// The borrowed view sees the same objects: written again one by one they are the same octets.
    #[test]
    fn the_borrowed_view_holds_all_of_a_message(message in message()) {
        let limits = Limits::default();
        let octets = encode(&message);
        let view = MessageRef::new(&octets, &limits).expect("a message");
        let objects: Vec<_> = view.objects().map(|object| object.expect("a good object").1).collect();
        let header = view.header();
        let again = encode_objects(header.op_code, header.client_type, header.solicited, &objects, &limits);
        prop_assert_eq!(again.expect("it was encoded before").into_octets(), octets.clone());
        prop_assert_eq!(view.handle(), message.handle().map(ClientHandle::as_bytes));
    }

    #[test]
    fn pieces_do_not_matter(
        messages in vec(message(), 1..6),
        cuts in vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let octets = messages.iter().map(|message| encode(message)).collect::<Vec<_>>().concat();
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(octets.len())).collect();
        cuts.extend([0, octets.len()]);
        cuts.sort_unstable();
        let limits = Limits::default();
        let mut framer = Framer::new(limits);
        let mut received = Vec::new();
        for pair in cuts.windows(2) {
            framer.push(&octets[pair[0]..pair[1]]);
            while let Some(frame) = framer.next_frame().expect("a good stream") {
                received.push(Message::decode(&frame, &limits).expect("a good message"));
            }
        }
        prop_assert_eq!(received, messages);
    }

    /// Whatever comes: an answer that can be sent, or a message that is the same when sent on.
    #[test]
    fn hostile_octets_get_an_answer_or_a_meaning(octets in hostile()) {
        let length = octets.len();
        match decode(octets) {
            Ok(message) => prop_assert_eq!(decode(encode(&message)), Ok(message)),
            Err(error) => {
                prop_assert!(error.fault.offset <= length);
                for receiver in [Role::Pdp, Role::Pep] {
                    let answer = Message::from(error.answer(receiver));
                    prop_assert_eq!(decode(encode(&answer)), Ok(answer));
                }
            }
        }
    }

    /// The same for octets without any form.
    #[test]
    fn noise_is_refused_without_harm(octets in vec(any::<u8>(), 0..200)) {
        let limits = Limits::default();
        let mut framer = Framer::new(limits);
        framer.push(&octets);
        while let Ok(Some(frame)) = framer.next_frame() {
            let _ = Message::decode(&frame, &limits);
        }
        let _ = decode(octets);
    }
}

/// The generators make all messages and all kinds of object, or the properties above would show less than they say.
#[test]
fn generated_messages_cover_all_messages_and_objects() {
    use std::collections::BTreeSet;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut op_codes, mut objects) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..400 {
        let message = message().new_tree(&mut runner).expect("a message").current();
        op_codes.insert(message.op_code());
        let octets = encode(&message);
        let view = MessageRef::new(&octets, &Limits::default()).expect("a message");
        objects.extend(view.objects().map(|object| object.expect("a good object").1.id()));
    }
    assert!(op_codes.iter().eq(OpCode::KNOWN), "{op_codes:?}");
    assert_eq!(objects.len(), 30, "{objects:?}");
}
