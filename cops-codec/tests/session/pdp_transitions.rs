//! Every input in every state of a PDP's client-type.

use std::time::Duration;

use cops_codec::message::{Decision, DecisionBody};
use cops_codec::session::pdp::{Acceptance, PdpCommand, PdpEvent, PdpSession, Synchronize};
use cops_codec::session::{CloseCause, CommandError, Moment, RequestId};
use cops_codec::wire::{
    ClientHandle, ClientType, CommandCode, Context, CopsError, DecisionFlags, ErrorCode, KaTimer, MType,
    ObjectRef, OpCode,
};
use cops_codec::{Limits, Message};

use crate::frames::*;
use crate::pair::{CT, address, other_address, pdp_config};
use crate::table::{Machine, Step, assert_table};

/// A PDP's session alone; the table plays the PEP.
struct Pdp {
    now: Moment,
    session: PdpSession,
    /// Of the REQs that came and are not decided, oldest first.
    requests: Vec<RequestId>,
    refusal: Option<CommandError>,
    told: Vec<String>,
}

impl Pdp {
    fn new() -> Self {
        let now = Moment(1_000);
        Self {
            now,
            session: PdpSession::new(pdp_config(), now),
            requests: Vec::new(),
            refusal: None,
            told: Vec::new(),
        }
    }

    fn gets(&mut self, frame: Received) {
        self.session.handle_frame(self.now, frame).unwrap();
        self.hear();
    }

    fn does(&mut self, command: PdpCommand) {
        if let Err(refusal) = self.session.handle_command(self.now, command) {
            self.refusal = Some(refusal);
        }
        self.hear();
    }

    fn hear(&mut self) {
        while let Some(event) = self.session.poll_event() {
            if let PdpEvent::Request { request, .. } = event {
                self.requests.push(request);
            }
            self.told.push(told(&event));
        }
    }

    /// Lets time pass, deadline by deadline.
    fn waits(&mut self, seconds: u64) {
        let end = self.now.after(Duration::from_secs(seconds));
        while let Some(next) = self.session.poll_timeout().filter(|next| *next <= end) {
            self.now = next;
            self.session.handle_timeout(next);
        }
        self.now = end;
        self.hear();
    }

    fn accepts(&mut self, synchronize: Synchronize) {
        self.does(PdpCommand::Accept(Acceptance {
            synchronize,
            ..Acceptance::new(CT, KaTimer(40))
        }));
    }

    fn decides(&mut self, body: DecisionBody) {
        let request = if self.requests.is_empty() {
            // Some REQ of another session.
            let mut other = Pdp::new();
            asked(&mut other);
            other.requests.remove(0)
        } else {
            self.requests.remove(0)
        };
        self.does(PdpCommand::Decide {
            client_type: CT,
            handle: h(),
            request,
            body,
        });
    }

    fn pushes(&mut self, decisions: Vec<Decision>) {
        self.does(PdpCommand::Push {
            client_type: CT,
            handle: h(),
            decisions,
        });
    }

    fn synchronizes(&mut self, handle: Option<ClientHandle>) {
        self.does(PdpCommand::Synchronize {
            client_type: CT,
            handle,
        });
    }
}

fn told(event: &PdpEvent) -> String {
    let cause = |cause: &CloseCause| match cause {
        CloseCause::Peer { .. } => "peer",
        CloseCause::Fault(_) => "fault",
        CloseCause::Command(_) => "command",
        CloseCause::Superseded => "superseded",
        CloseCause::Silence { .. } => "silence",
        CloseCause::OpenTimeout { .. } => "timeout",
        CloseCause::NoClientOpen => "no client",
        CloseCause::ReportTimeout { .. } => "no report",
        CloseCause::NoKey => "no key",
        CloseCause::Disconnected => "disconnected",
        CloseCause::TransmitFull { .. } => "full",
        CloseCause::Unanswerable(_) => "unanswerable",
    };
    let held_word = |held: bool| if held { " held" } else { "" };
    match event {
        PdpEvent::OpenRequested { again, .. } => format!("open{}", if *again { " again" } else { "" }),
        PdpEvent::Request { update, .. } => format!("request{}", if *update { " update" } else { "" }),
        PdpEvent::RequestRefused { .. } => "request refused".to_owned(),
        PdpEvent::Report { decision, .. } => {
            format!("report{}", if decision.is_some() { " S" } else { "" })
        }
        PdpEvent::StateDeleted { .. } => "state deleted".to_owned(),
        PdpEvent::Synchronized { dropped, .. } => {
            let dropped: Vec<String> = dropped.iter().map(name).collect();
            format!("synchronized without [{}]", dropped.join(" "))
        }
        PdpEvent::SynchronizationOverdue { .. } => "overdue".to_owned(),
        PdpEvent::ClientClosed { cause: why, held, .. } => {
            format!("client closed: {}{}", cause(why), held_word(*held))
        }
        PdpEvent::Closed { cause: why } => format!("closed: {}", cause(why)),
    }
}

impl Machine for Pdp {
    fn state(&self) -> String {
        let session = &self.session;
        if session.is_closed() {
            return "closed".to_owned();
        }
        if !session.is_open(CT) {
            return if session.pending_opens(CT) > 0 {
                "opening"
            } else {
                "new"
            }
            .to_owned();
        }
        let mut words = vec!["open".to_owned()];
        if session.pending_opens(CT) > 0 {
            words.push("opening".to_owned());
        }
        for handle in session.handles(CT) {
            let asked = match session.undecided_requests(CT, handle) {
                0 => String::new(),
                count => format!(" asked {count}"),
            };
            let told = match session.unreported_decisions(CT, handle) {
                0 => String::new(),
                count => format!(" told {count}"),
            };
            words.push(format!("{}{asked}{told}", name(handle)));
        }
        if session.is_synchronizing(CT) {
            words.push("synchronizing".to_owned());
        }
        words.join(", ")
    }

    fn output(&mut self) -> (Vec<String>, Vec<String>) {
        let mut sent = Vec::new();
        while let Some(frame) = self.session.poll_transmit() {
            sent.push(short(&Message::decode(&frame, &Limits::default()).unwrap()));
        }
        let mut told = core::mem::take(&mut self.told);
        if let Some(refusal) = self.refusal.take() {
            told.push(format!("refused to: {}", refusal_name(&refusal)));
        }
        (sent, told)
    }
}

fn opening(pdp: &mut Pdp) {
    pdp.gets(open(CT, None));
}

fn opened(pdp: &mut Pdp) {
    opening(pdp);
    pdp.accepts(Synchronize::WhenNeeded);
}

fn asked(pdp: &mut Pdp) {
    opened(pdp);
    pdp.gets(request(h()));
}

fn told_one(pdp: &mut Pdp) {
    asked(pdp);
    pdp.decides(null());
}

fn idle(pdp: &mut Pdp) {
    told_one(pdp);
    pdp.gets(report(h(), true));
}

fn null() -> DecisionBody {
    decided(Decision::null(Context::CONFIGURATION))
}

const STATES: &[Step<Pdp>] = &[
    Step {
        name: "new",
        run: |_| {},
    },
    Step {
        name: "opening",
        run: opening,
    },
    Step {
        name: "open",
        run: opened,
    },
    Step {
        name: "open, h asked 1",
        run: asked,
    },
    Step {
        name: "open, h asked 2",
        run: |pdp| {
            asked(pdp);
            pdp.gets(request(h()));
        },
    },
    Step {
        name: "open, h",
        run: idle,
    },
    Step {
        name: "open, h told 1",
        run: told_one,
    },
    Step {
        name: "open, h asked 1 told 1",
        run: |pdp| {
            told_one(pdp);
            pdp.gets(request(h()));
        },
    },
    Step {
        name: "open, opening, h",
        run: |pdp| {
            idle(pdp);
            opening(pdp);
        },
    },
    Step {
        name: "open, h, synchronizing",
        run: |pdp| {
            idle(pdp);
            pdp.synchronizes(None);
        },
    },
    Step {
        name: "open, h asked 1, synchronizing",
        run: |pdp| {
            idle(pdp);
            pdp.synchronizes(None);
            pdp.gets(request(h()));
        },
    },
    Step {
        name: "closed",
        run: |pdp| {
            opened(pdp);
            pdp.session.handle_disconnect(pdp.now);
            pdp.hear();
        },
    },
];

const INPUTS: &[Step<Pdp>] = &[
    Step {
        name: "OPN",
        run: opening,
    },
    Step {
        name: "OPN naming this PDP",
        run: |pdp| pdp.gets(open(CT, Some(address()))),
    },
    Step {
        name: "OPN of a client-type that is not served (C-2.2.8-07, C-4.3-04)",
        run: |pdp| pdp.gets(open(ClientType(9), None)),
    },
    Step {
        name: "OPN without PEPID (C-3.6-05, C-2.2.11-04)",
        run: |pdp| pdp.gets(loose(OpCode::CLIENT_OPEN, CT, &[])),
    },
    Step {
        name: "OPN of another PEP",
        run: |pdp| {
            let objects = [ObjectRef::PepId("pep2")];
            pdp.gets(loose(OpCode::CLIENT_OPEN, CT, &objects));
        },
    },
    Step {
        name: "OPN of client-type 0 (C-4.1-04, A-12, T-4.2-03)",
        run: |pdp| pdp.gets(open(ClientType::CONNECTION, None)),
    },
    Step {
        name: "REQ h",
        run: |pdp| pdp.gets(request(h())),
    },
    Step {
        name: "REQ x",
        run: |pdp| pdp.gets(request(x())),
    },
    Step {
        name: "REQ without octets in the handle (C-2.2.8-02, A-11)",
        run: |pdp| pdp.gets(request(ClientHandle::from(&[][..]))),
    },
    Step {
        name: "REQ h without context (C-2.2.2-05, C-2.2.8-08, C-3.1-07)",
        run: |pdp| pdp.gets(loose(OpCode::REQUEST, CT, &[ObjectRef::Handle(h().as_bytes())])),
    },
    Step {
        name: "REQ h with an unknown object (C-2.2.8-14, C-3.2-14)",
        run: |pdp| {
            let handle = h();
            let objects = [
                ObjectRef::Handle(handle.as_bytes()),
                ObjectRef::Context(Context::CONFIGURATION),
                unknown_object(),
            ];
            pdp.gets(loose(OpCode::REQUEST, CT, &objects));
        },
    },
    Step {
        name: "REQ without handle",
        run: |pdp| pdp.gets(loose(OpCode::REQUEST, CT, &[])),
    },
    Step {
        name: "RPT S h",
        run: |pdp| pdp.gets(report(h(), true)),
    },
    Step {
        name: "RPT h",
        run: |pdp| pdp.gets(report(h(), false)),
    },
    Step {
        name: "RPT S x (A-17)",
        run: |pdp| pdp.gets(report(x(), true)),
    },
    Step {
        name: "RPT without Report-Type (A-15)",
        run: |pdp| {
            pdp.gets(loose(
                OpCode::REPORT_STATE,
                CT,
                &[ObjectRef::Handle(h().as_bytes())],
            ))
        },
    },
    Step {
        name: "DRQ h (C-3.4-03)",
        run: |pdp| pdp.gets(delete(h())),
    },
    Step {
        name: "DRQ x (A-17)",
        run: |pdp| pdp.gets(delete(x())),
    },
    Step {
        name: "SSC",
        run: |pdp| pdp.gets(complete(None)),
    },
    Step {
        name: "SSC h",
        run: |pdp| pdp.gets(complete(Some(h()))),
    },
    Step {
        name: "CC",
        run: |pdp| pdp.gets(close(CT, ErrorCode::CLIENT_FAILURE)),
    },
    Step {
        name: "CC, communication failure",
        run: |pdp| pdp.gets(close(CT, ErrorCode::COMMUNICATION_FAILURE)),
    },
    Step {
        name: "CC of client-type 0 (A-40)",
        run: |pdp| pdp.gets(close(ClientType::CONNECTION, ErrorCode::AUTHENTICATION_FAILURE)),
    },
    Step {
        name: "KA (C-3.9-04)",
        run: |pdp| pdp.gets(keep_alive()),
    },
    Step {
        name: "DEC, the wrong direction (C-2.1-07, A-02)",
        run: |pdp| pdp.gets(decision(h(), false, null())),
    },
    Step {
        name: "SSQ, the wrong direction",
        run: |pdp| pdp.gets(synchronize(None)),
    },
    Step {
        name: "CAT, the wrong direction",
        run: |pdp| pdp.gets(accept(CT)),
    },
    Step {
        name: "op code 11 (A-02)",
        run: |pdp| pdp.gets(loose(OpCode(11), CT, &[])),
    },
    Step {
        name: "version 2 (A-02)",
        run: |pdp| pdp.gets(broken_framing()),
    },
    Step {
        name: "KA with an unknown object (A-15)",
        run: |pdp| {
            pdp.gets(loose(
                OpCode::KEEP_ALIVE,
                ClientType::CONNECTION,
                &[unknown_object()],
            ))
        },
    },
    Step {
        name: "to accept",
        run: |pdp| pdp.accepts(Synchronize::WhenNeeded),
    },
    Step {
        name: "to accept and synchronise",
        run: |pdp| pdp.accepts(Synchronize::Always),
    },
    Step {
        name: "to redirect (C-2.3-06)",
        run: |pdp| {
            pdp.does(PdpCommand::Reject {
                client_type: CT,
                error: CopsError::new(ErrorCode::REDIRECT),
                redirect: Some(other_address()),
            });
        },
    },
    Step {
        name: "to decide NULL",
        run: |pdp| pdp.decides(null()),
    },
    Step {
        name: "to decide an error",
        run: |pdp| pdp.decides(refused()),
    },
    Step {
        name: "to decide the second REQ first (C-3.2-08)",
        run: |pdp| {
            if pdp.requests.len() == 2 {
                pdp.requests.remove(0);
            }
            pdp.decides(null());
        },
    },
    Step {
        name: "to push (C-3.2-06, C-3.2-07)",
        run: |pdp| pdp.pushes(vec![Decision::null(Context::CONFIGURATION)]),
    },
    Step {
        name: "to push what was not asked for (A-37)",
        run: |pdp| {
            let context = Context {
                m_type: MType(1),
                ..Context::CONFIGURATION
            };
            pdp.pushes(vec![Decision::null(context)]);
        },
    },
    Step {
        name: "to push command 3",
        run: |pdp| {
            let flags = DecisionFlags::new(CommandCode(3));
            pdp.pushes(vec![Decision::new(Context::CONFIGURATION, flags)]);
        },
    },
    Step {
        name: "to push nothing (A-45)",
        run: |pdp| pdp.pushes(Vec::new()),
    },
    Step {
        name: "to synchronise",
        run: |pdp| pdp.synchronizes(None),
    },
    Step {
        name: "to synchronise h",
        run: |pdp| pdp.synchronizes(Some(h())),
    },
    Step {
        name: "to close",
        run: |pdp| {
            pdp.does(PdpCommand::Close {
                client_type: CT,
                error: CopsError::new(ErrorCode::UNABLE_TO_PROCESS),
                redirect: None,
            });
        },
    },
    Step {
        name: "to give way to a newer connection",
        run: |pdp| pdp.does(PdpCommand::Supersede { client_type: CT }),
    },
    Step {
        name: "to shut down (C-4.7-03)",
        run: |pdp| pdp.does(PdpCommand::Shutdown { redirect: None }),
    },
    Step {
        name: "11 s without anything (10 s for the first OPN)",
        run: |pdp| pdp.waits(11),
    },
    Step {
        name: "41 s without anything (the KA Timer is 40 s)",
        run: |pdp| pdp.waits(41),
    },
    Step {
        name: "the end of the transport",
        run: |pdp| {
            pdp.session.handle_disconnect(pdp.now);
            pdp.hear();
        },
    },
];

#[test]
fn every_input_in_every_state_of_a_pdp() {
    assert_table(Pdp::new, STATES, INPUTS, include_str!("pdp_transitions.txt"));
}
