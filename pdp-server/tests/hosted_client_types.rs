//! A PDP that serves power and RSVP admission over TCP, with a small router at the other end: outsourced requests,
//! decisions of the router's LPDP, decisions taken back, and states that outlive a connection.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_types,
    clippy::disallowed_methods
)]

#[path = "../examples/rsvp_admission/admission.rs"]
mod admission;
#[path = "../examples/rsvp_admission/flowspec.rs"]
mod flowspec;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use admission::{Order, PATH, RESV, RSVP, RsvpAdmission};
use bytes::Bytes;
use cops_codec::client_type::Row;
use cops_codec::client_type::framework::{Longevity, PibIncarnation, PrcSupport};
use cops_codec::client_type::numbers::POWER_CLIENT_TYPE;
use cops_codec::client_type::store::build;
use cops_codec::limits::Limits;
use cops_codec::message::{Decision, LpdpDecision};
use cops_codec::session::pep::{
    ClientOpening, HeldRequestState, Outcome, PepCommand, PepConfig, PepEvent, PepSession, RequestBody,
    UnsolicitedReport,
};
use cops_codec::session::{CloseCause, Moment};
use cops_codec::tokio_codec::CopsCodec;
use cops_codec::wire::{
    ClientHandle, ClientSi, CommandCode, Context, CopsError, DecisionFlagBits, DecisionFlags, ErrorCode,
    Interface, MType, PdpAddress, PepId, RType, Reason, ReasonCode,
};
use futures::{SinkExt, StreamExt};
use pdp_server::api::Status;
use pdp_server::config::Config;
use pdp_server::io::admin::AdminClient;
use pdp_server::io::{Options, serve};
use tokio::net::TcpStream;
use tokio_util::codec::Framed;

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(60);
/// The interface that flows are reserved on, of 1,000,000 octets a second.
const IFINDEX: u32 = 7;
const ALL: RType = RType(0x07);

/// A router: a PEP with a session on a socket.
struct Router {
    framed: Framed<TcpStream, CopsCodec>,
    session: PepSession,
    events: VecDeque<PepEvent>,
    begun: Instant,
}

impl Router {
    async fn connect(pdp: SocketAddr) -> Self {
        let stream = TcpStream::connect(pdp).await.unwrap();
        let mut config = PepConfig::new(PepId::new("router-1").unwrap());
        config.pdp_address = Some(PdpAddress::from(pdp));
        Self {
            framed: CopsCodec::connection(stream, Limits::DEFAULT),
            session: PepSession::new(config, Moment(0), 1),
            events: VecDeque::new(),
            begun: Instant::now(),
        }
    }

    fn now(&self) -> Moment {
        Moment(u64::try_from(self.begun.elapsed().as_millis()).unwrap())
    }

    fn command(&mut self, command: PepCommand) -> Option<ClientHandle> {
        self.session.handle_command(self.now(), command).unwrap()
    }

    /// The next event that `wanted` takes; reports on every configuration decision before it.
    async fn until<T>(&mut self, what: &str, mut wanted: impl FnMut(&PepEvent) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.events
                .extend(std::iter::from_fn(|| self.session.poll_event()));
            while let Some(event) = self.events.pop_front() {
                if let PepEvent::Decision {
                    client_type,
                    handle,
                    report: Some(decision),
                    ..
                } = &event
                {
                    let report = PepCommand::Report {
                        client_type: *client_type,
                        handle: handle.clone(),
                        decision: *decision,
                        outcome: Outcome::Success,
                        client_si: Vec::new(),
                    };
                    self.command(report);
                }
                if let Some(found) = wanted(&event) {
                    return found;
                }
            }
            while let Some(frame) = self.session.poll_transmit() {
                self.framed.send(frame).await.unwrap();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match tokio::time::timeout(left, self.framed.next()).await {
                Ok(Some(Ok(frame))) => self.session.handle_frame(self.now(), Ok(frame)).unwrap(),
                other => panic!("{what}: {other:?}"),
            }
        }
    }

    async fn open(&mut self, opening: ClientOpening) {
        let opened = opening.client_type;
        self.command(PepCommand::Open(opening));
        self.until("CAT", |event| match event {
            PepEvent::ClientAccepted { client_type, .. } if *client_type == opened => Some(()),
            PepEvent::ClientClosed(end) => panic!("{end:?}"),
            _ => None,
        })
        .await;
    }

    /// Asks, and gives the handle and what was decided.
    async fn ask(
        &mut self,
        handle: Option<ClientHandle>,
        request: RequestBody,
    ) -> (ClientHandle, Result<Vec<Decision>, ErrorCode>) {
        let client_type = RSVP;
        let asked = self
            .command(PepCommand::Request {
                client_type,
                handle,
                request,
            })
            .unwrap();
        let answer = self
            .until("a decision", |event| match event {
                PepEvent::Decision {
                    client_type: RSVP,
                    handle,
                    solicited: true,
                    decisions,
                    report,
                } if *handle == asked => {
                    assert_eq!(*report, None, "outsourcing decisions have no report of their own");
                    Some(Ok(decisions.clone()))
                }
                PepEvent::RequestRefused { handle, error, .. } if *handle == asked => Some(Err(error.code)),
                _ => None,
            })
            .await;
        (asked, answer)
    }

    /// Asks for a flow of so many octets a second: its handle, if it was admitted.
    async fn reserve(&mut self, rate: u32, lpdp: Option<CommandCode>) -> Option<ClientHandle> {
        let (handle, answer) = self.ask(None, resv(rate, lpdp)).await;
        match judged(&answer.unwrap()) {
            CommandCode::INSTALL => {
                self.command(PepCommand::ReportUnsolicited {
                    client_type: RSVP,
                    handle: handle.clone(),
                    report: UnsolicitedReport::Success,
                    client_si: Vec::new(),
                });
                Some(handle)
            }
            CommandCode::REMOVE => {
                self.give_up(&handle);
                None
            }
            other => panic!("{other}"),
        }
    }

    fn give_up(&mut self, handle: &ClientHandle) {
        self.command(PepCommand::Delete {
            client_type: RSVP,
            handle: handle.clone(),
            reason: Reason::new(ReasonCode::TEAR),
        });
    }

    /// The handle of the next flow that is taken back.
    async fn taken_back(&mut self) -> ClientHandle {
        let handle = self
            .until("a decision that was not asked for", |event| match event {
                PepEvent::Decision {
                    client_type: RSVP,
                    handle,
                    solicited: false,
                    decisions,
                    ..
                } => {
                    assert_eq!(judged(decisions), CommandCode::REMOVE);
                    Some(handle.clone())
                }
                _ => None,
            })
            .await;
        self.give_up(&handle);
        handle
    }
}

/// The one command of a decision over the whole context; a refusal has an error for the message's sender.
fn judged(decisions: &[Decision]) -> CommandCode {
    let [decision] = decisions else {
        panic!("{decisions:?}")
    };
    let is_error = decision.flags.flags == DecisionFlagBits::TRIGGER_ERROR;
    assert_eq!(
        is_error,
        decision.flags.command == CommandCode::REMOVE,
        "{decision:?}"
    );
    decision.flags.command
}

fn message(r_type: RType, m_type: MType, objects: Vec<u8>) -> RequestBody {
    let interface = |ifindex| Interface {
        address: [10, 0, 0, 1].into(),
        ifindex,
    };
    RequestBody {
        context: Context { r_type, m_type },
        in_interface: Some(interface(IFINDEX)),
        out_interface: Some(interface(2)),
        client_si: vec![ClientSi::Signaled(Bytes::from(objects))],
        lpdp_decisions: Vec::new(),
        full_state: true,
        more_follows: false,
    }
}

/// A Resv message: SESSION, STYLE, and a FLOWSPEC for the controlled-load service (RFC 2205 A, RFC 2210 3.2).
fn resv(octets_a_second: u32, lpdp: Option<CommandCode>) -> RequestBody {
    let mut objects = vec![
        0, 12, 1, 1, 192, 0, 2, 1, 17, 0, 0x13, 0x88, 0, 8, 8, 1, 0, 0, 0, 10, 0, 36, 9, 2,
    ];
    objects.extend([0, 0, 0, 7, 5, 0, 0, 6, 127, 0, 0, 5]);
    objects.extend((octets_a_second as f32).to_be_bytes());
    objects.extend([0; 16]);
    let mut request = message(ALL, RESV, objects);
    request.lpdp_decisions = lpdp
        .map(|command| LpdpDecision::new(DecisionFlags::new(command)))
        .into_iter()
        .collect();
    request
}

async fn status(admin: &AdminClient, is_so: impl Fn(&Status) -> bool) -> Status {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match admin.status().await {
            Ok(status) if is_so(&status) => return status,
            other => assert!(Instant::now() < deadline, "{other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Runs a PDP with RSVP admission, and what `scenario` does with it.
async fn with_pdp(scenario: impl AsyncFnOnce(SocketAddr, AdminClient, Sender<Order>)) {
    let folder = tempfile::tempdir().unwrap();
    let text = "[listen]\naddress = \"127.0.0.1:0\"\n[journal]\npath = \"j\"\n[admin]\nsocket = \"s\"\n";
    let mut config = Config::from_toml("pdp.toml", text).unwrap();
    let at = |name: &str| Path::new(folder.path()).join(name);
    (config.journal.path, config.admin.socket) = (at("j"), at("s"));
    let admin = AdminClient::new(&config.admin.socket);
    let (order, orders) = channel();
    let rsvp = RsvpAdmission::new(BTreeMap::from([(IFINDEX, 1_000_000)]), Some(orders));
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let stop = async {
        let _ = ended.await;
        "the test"
    };
    let (served, ()) = tokio::join!(
        serve(config, Options::default(), vec![Box::new(rsvp)], stop),
        async {
            let listen = status(&admin, |_| true).await.listen.parse().unwrap();
            scenario(listen, admin, order).await;
            end.send(()).unwrap();
        }
    );
    served.unwrap();
}

#[tokio::test]
async fn admission_is_outsourced_beside_power_on_one_connection_c_2_3_04_c_2_2_7_02() {
    with_pdp(async |pdp, admin, _order| {
        let mut router = Router::connect(pdp).await;
        router.open(ClientOpening::new(RSVP)).await;
        router.open(ClientOpening::new(POWER_CLIENT_TYPE)).await;

        // Power: a PEP that has nothing to report, and gets its plan.
        let opening = PibIncarnation::opening(Longevity::ExpireOnTimeout, 86_400);
        let rows: Vec<Row> = PrcSupport::all().into_iter().map(Row::from).collect();
        let contents = build::request(&opening, [], &rows);
        let request = RequestBody::configuration(contents.into_iter().map(ClientSi::Named).collect());
        router.command(PepCommand::Request {
            client_type: POWER_CLIENT_TYPE,
            handle: None,
            request,
        });
        router
            .until("a plan", |event| match event {
                PepEvent::Decision {
                    client_type: POWER_CLIENT_TYPE,
                    solicited: false,
                    ..
                } => Some(()),
                _ => None,
            })
            .await;

        // RSVP (RFC 2749 5.1). A Path message passes, in the context that was asked for.
        let asked = message(
            RType::INCOMING_MESSAGE | RType::OUTGOING_MESSAGE,
            PATH,
            Vec::new(),
        );
        let (path, answer) = router.ask(None, asked.clone()).await;
        let decisions = answer.unwrap();
        assert_eq!(judged(&decisions), CommandCode::INSTALL);
        assert_eq!(decisions[0].context, asked.context);
        // New flows have nine tenths of the interface.
        let first = router.reserve(600_000, None).await.unwrap();
        assert_eq!(router.reserve(300_001, None).await, None);
        let second = router.reserve(300_000, None).await.unwrap();
        assert_eq!(router.reserve(1, None).await, None);
        // What the LPDP admitted may have the last tenth; what it refused stays refused.
        assert_eq!(router.reserve(100_001, Some(CommandCode::INSTALL)).await, None);
        assert!(
            router
                .reserve(100_000, Some(CommandCode::INSTALL))
                .await
                .is_some()
        );
        assert_eq!(router.reserve(0, Some(CommandCode::REMOVE)).await, None);
        // An update stands in place of what was asked before.
        let (_, answer) = router.ask(Some(second.clone()), resv(100_000, None)).await;
        assert_eq!(judged(&answer.unwrap()), CommandCode::INSTALL);
        // What is given up, or could not be reserved after all, is free again.
        router.give_up(&first);
        router.command(PepCommand::ReportUnsolicited {
            client_type: RSVP,
            handle: second,
            report: UnsolicitedReport::Failure,
            client_si: Vec::new(),
        });
        assert!(router.reserve(800_000, None).await.is_some());
        assert_eq!(router.reserve(1, None).await, None);
        // What lacks something, or is no message that RFC 2749 knows, is an error and no decision.
        let (_, answer) = router.ask(None, message(ALL, RESV, Vec::new())).await;
        assert_eq!(answer, Err(ErrorCode::CLIENT_INFO_MISSING));
        let (_, answer) = router.ask(None, message(ALL, RESV, vec![0, 9, 9, 2])).await;
        assert_eq!(answer, Err(ErrorCode::BAD_MESSAGE_FORMAT));
        let (_, answer) = router.ask(None, message(ALL, MType(5), Vec::new())).await;
        assert_eq!(answer, Err(ErrorCode::UNABLE_TO_PROCESS));
        router.give_up(&path);

        let status = admin.status().await.unwrap();
        let open: Vec<_> = status
            .client_types
            .iter()
            .map(|c| (c.client_type, c.peps))
            .collect();
        assert_eq!(open, [(RSVP.0, 1), (POWER_CLIENT_TYPE.0, 1)]);
        assert!(status.peers.iter().any(|p| p.name == "router-1" && p.connected));
    })
    .await;
}

/// The same ClientSI, read by three contexts.
#[tokio::test]
async fn the_context_says_how_a_request_is_read_and_what_is_decided_c_3_1_05_c_2_2_8_05() {
    with_pdp(async |pdp, _admin, _order| {
        let mut router = Router::connect(pdp).await;
        router.open(ClientOpening::new(RSVP)).await;
        router.open(ClientOpening::new(POWER_CLIENT_TYPE)).await;
        // More than the interface has. Whether the message may come in is not a question of resources; whether they are
        // allocated is.
        let too_much = |r_type| RequestBody {
            context: Context { r_type, m_type: RESV },
            ..resv(2_000_000, None)
        };
        let (incoming, answer) = router.ask(None, too_much(RType::INCOMING_MESSAGE)).await;
        assert_eq!(judged(&answer.unwrap()), CommandCode::INSTALL);
        let (allocated, answer) = router.ask(None, too_much(RType::RESOURCE_ALLOCATION)).await;
        assert_eq!(judged(&answer.unwrap()), CommandCode::REMOVE);
        router.give_up(&incoming);
        router.give_up(&allocated);
        // Power is asked for its configuration, which is provisioned: the same rows outsourced are a query that it gives up.
        let opening = PibIncarnation::opening(Longevity::ExpireOnTimeout, 86_400);
        let rows: Vec<Row> = PrcSupport::all().into_iter().map(Row::from).collect();
        let contents: Vec<ClientSi> = build::request(&opening, [], &rows)
            .into_iter()
            .map(ClientSi::Named)
            .collect();
        let outsourced = RequestBody {
            context: Context {
                r_type: RType::INCOMING_MESSAGE,
                m_type: MType(0),
            },
            ..RequestBody::configuration(contents.clone())
        };
        for (request, expected) in [
            (outsourced, Err(ErrorCode::UNABLE_TO_PROCESS)),
            (RequestBody::configuration(contents), Ok(CommandCode::NULL)),
        ] {
            let (client_type, handle) = (POWER_CLIENT_TYPE, None);
            router.command(PepCommand::Request {
                client_type,
                handle,
                request,
            });
            let answer = router
                .until("power's answer", |event| match event {
                    PepEvent::Decision {
                        client_type: POWER_CLIENT_TYPE,
                        solicited: true,
                        decisions,
                        ..
                    } => Some(Ok(decisions[0].flags.command)),
                    PepEvent::RequestRefused {
                        client_type: POWER_CLIENT_TYPE,
                        error,
                        ..
                    } => Some(Err(error.code)),
                    _ => None,
                })
                .await;
            assert_eq!(answer, expected);
        }
    })
    .await;
}

/// The PDP's program is told to end while a PEP has two client-types open.
#[tokio::test]
async fn a_pdp_that_ends_says_so_to_each_client_type_c_2_2_8_12_c_4_7_03() {
    let mut connected = None;
    with_pdp(async |pdp, _admin, _order| {
        let mut router = Router::connect(pdp).await;
        router.open(ClientOpening::new(RSVP)).await;
        router.open(ClientOpening::new(POWER_CLIENT_TYPE)).await;
        connected = Some(router);
    })
    .await;
    let mut router = connected.unwrap();
    let mut told = Vec::new();
    while told.len() < 2 {
        let end = router
            .until("CC", |event| match event {
                PepEvent::ClientClosed(end) => Some((end.client_type, end.cause.clone())),
                _ => None,
            })
            .await;
        told.push(end);
    }
    let cause = CloseCause::Peer {
        error: CopsError::new(ErrorCode::SHUTTING_DOWN),
        redirect: None,
    };
    assert_eq!(told, [(RSVP, cause.clone()), (POWER_CLIENT_TYPE, cause)]);
}

#[tokio::test]
async fn flows_are_taken_back_newest_first_when_the_interface_gets_less_c_4_4_02() {
    with_pdp(async |pdp, _admin, order| {
        let mut router = Router::connect(pdp).await;
        router.open(ClientOpening::new(RSVP)).await;
        let mut flows = Vec::new();
        for _ in 0..4 {
            flows.push(router.reserve(200_000, None).await.unwrap());
        }
        let less = |octets_a_second| Order {
            ifindex: IFINDEX,
            octets_a_second,
        };
        order.send(less(500_000)).unwrap();
        assert_eq!(router.taken_back().await, flows[3]);
        assert_eq!(router.taken_back().await, flows[2]);
        assert_eq!(router.reserve(100_000, None).await, None, "over nine tenths");
        order.send(less(200_000)).unwrap();
        assert_eq!(router.taken_back().await, flows[1]);
    })
    .await;
}

fn coming_back(last: SocketAddr, handles: &[&ClientHandle]) -> ClientOpening {
    let held = handles.iter().map(|handle| HeldRequestState {
        handle: (*handle).clone(),
        context: Context {
            r_type: ALL,
            m_type: RESV,
        },
        confirmed: true,
    });
    ClientOpening {
        last_pdp_address: Some(PdpAddress::from(last)),
        held: held.collect(),
        ..ClientOpening::new(RSVP)
    }
}

#[tokio::test]
async fn flows_outlive_a_connection_and_are_synchronised_after_another_pdp_c_2_5_02_c_2_5_07_c_2_5_08() {
    with_pdp(async |pdp, admin, _order| {
        let mut router = Router::connect(pdp).await;
        router.open(ClientOpening::new(RSVP)).await;
        let first = router.reserve(500_000, None).await.unwrap();
        let second = router.reserve(400_000, None).await.unwrap();
        // E6, case A: back at the same PDP in time. It asks for nothing; what ended meanwhile is deleted (RFC 2748 2.5).
        drop(router);
        let no_pep = |status: &Status| {
            status
                .client_types
                .iter()
                .all(|c: &pdp_server::api::ClientTypeStatus| c.peps == 0)
        };
        status(&admin, no_pep).await;
        let mut router = Router::connect(pdp).await;
        router.open(coming_back(pdp, &[&first, &second])).await;
        router.give_up(&second);
        assert_eq!(
            router.reserve(400_001, None).await,
            None,
            "the first one is still there"
        );
        let third = router.reserve(300_000, None).await.unwrap();

        // E9: back from another PDP, with a flow that was admitted there. SSQ, REQs with what is cached, SSC.
        drop(router);
        status(&admin, no_pep).await;
        let elsewhere = SocketAddr::from(([192, 0, 2, 9], 3288));
        let mut router = Router::connect(pdp).await;
        router.open(coming_back(elsewhere, &[&first, &third])).await;
        let states = router
            .until("SSQ", |event| match event {
                PepEvent::SynchronizeRequested {
                    client_type: RSVP,
                    handle: None,
                    states,
                } => Some(states.clone()),
                _ => None,
            })
            .await;
        assert_eq!(states.len(), 2);
        let install = Some(CommandCode::INSTALL);
        for (handle, rate) in [(first, 500_000), (third, 450_000)] {
            let (_, answer) = router.ask(Some(handle), resv(rate, install)).await;
            assert_eq!(judged(&answer.unwrap()), CommandCode::INSTALL);
        }
        // The end of it has been told when the last decision came: the next answer comes after it.
        assert_eq!(router.reserve(50_001, install).await, None);
        assert!(!router.session.is_synchronizing(RSVP));
        assert!(router.reserve(50_000, install).await.is_some());
    })
    .await;
}
