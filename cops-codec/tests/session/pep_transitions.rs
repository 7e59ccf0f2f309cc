//! Every input in every state of a PEP's client-type.

use std::time::Duration;

use cops_codec::message::Decision;
use cops_codec::session::pep::{
    ClientOpening, Outcome, PepCommand, PepEvent, PepSession, RequestBody, UnsolicitedReport,
};
use cops_codec::session::{CloseCause, CommandError, DecisionId, Moment};
use cops_codec::wire::{
    ClientType, CommandCode, Context, CopsError, DecisionFlagBits, DecisionFlags, ErrorCode, MType, ObjectId,
    ObjectRef, OpCode, Reason, ReasonCode,
};
use cops_codec::{Limits, Message, wire::CNum};

use crate::frames::*;
use crate::pair::{CT, pep_config};
use crate::table::{Machine, Step, assert_table};

/// A PEP's session alone; the table plays the PDP.
struct Pep {
    now: Moment,
    session: PepSession,
    /// Of the last decision that wants a report.
    report: Option<DecisionId>,
    refusal: Option<CommandError>,
    told: Vec<String>,
}

impl Pep {
    fn new() -> Self {
        let now = Moment(1_000);
        Self {
            now,
            session: PepSession::new(pep_config(), now, 1),
            report: None,
            refusal: None,
            told: Vec::new(),
        }
    }

    fn gets(&mut self, frame: Received) {
        self.session.handle_frame(self.now, frame).unwrap();
        self.hear();
    }

    fn does(&mut self, command: PepCommand) {
        if let Err(refusal) = self.session.handle_command(self.now, command) {
            self.refusal = Some(refusal);
        }
        self.hear();
    }

    fn hear(&mut self) {
        while let Some(event) = self.session.poll_event() {
            if let PepEvent::Decision {
                report: Some(report), ..
            } = event
            {
                self.report = Some(report);
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

    fn asks(&mut self, request: RequestBody) {
        let handle = self.session.handles(CT).next().cloned();
        self.does(PepCommand::Request {
            client_type: CT,
            handle,
            request,
        });
    }

    fn reports(&mut self) {
        let decision = self.report.unwrap_or_else(|| {
            // Some decision of another session.
            let mut other = Pep::new();
            install(&mut other);
            other.report.unwrap()
        });
        self.does(PepCommand::Report {
            client_type: CT,
            handle: h(),
            decision,
            outcome: Outcome::Success,
            client_si: Vec::new(),
        });
    }
}

fn told(event: &PepEvent) -> String {
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
    match event {
        PepEvent::ClientAccepted { again, .. } => format!("accepted{}", if *again { " again" } else { "" }),
        PepEvent::ClientClosed(end) => {
            format!(
                "client closed: {}{}",
                cause(&end.cause),
                if end.in_sync { " in sync" } else { "" }
            )
        }
        PepEvent::Decision {
            solicited, report, ..
        } => format!(
            "decision{}{}",
            if *solicited { " S" } else { "" },
            if report.is_some() { "" } else { " no report" }
        ),
        PepEvent::RequestRefused {
            solicited, installed, ..
        } => format!(
            "refused{}{}",
            if *solicited { " S" } else { "" },
            if *installed { " installed" } else { "" }
        ),
        PepEvent::RequestReady { .. } => "ready".to_owned(),
        PepEvent::RequestTimedOut { .. } => "request timed out".to_owned(),
        PepEvent::StateDeleted { .. } => "state deleted".to_owned(),
        PepEvent::SynchronizeRequested { states, .. } => {
            format!(
                "synchronize [{}]",
                states.iter().map(name).collect::<Vec<_>>().join(" ")
            )
        }
        PepEvent::Synchronized { .. } => "synchronized".to_owned(),
        PepEvent::AccountingDue { .. } => "accounting due".to_owned(),
        PepEvent::Closed { cause: why } => format!("closed: {}", cause(why)),
    }
}

impl Machine for Pep {
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
            let asked = if session.has_open_request(CT, handle) {
                " asked"
            } else {
                ""
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

fn opening(pep: &mut Pep) {
    pep.does(PepCommand::Open(ClientOpening::new(CT)));
}

fn open_(pep: &mut Pep) {
    opening(pep);
    pep.gets(accept(CT));
}

fn asked(pep: &mut Pep) {
    open_(pep);
    pep.asks(RequestBody::configuration(Vec::new()));
}

fn install(pep: &mut Pep) {
    asked(pep);
    pep.gets(null(true));
}

fn idle(pep: &mut Pep) {
    install(pep);
    pep.reports();
}

fn null(solicited: bool) -> Received {
    decision(h(), solicited, decided(Decision::null(Context::CONFIGURATION)))
}

const STATES: &[Step<Pep>] = &[
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
        run: open_,
    },
    Step {
        name: "open, h asked",
        run: asked,
    },
    Step {
        name: "open, h",
        run: idle,
    },
    Step {
        name: "open, h told 1",
        run: install,
    },
    Step {
        name: "open, h asked told 1",
        run: |pep| {
            idle(pep);
            pep.asks(RequestBody::incremental(Vec::new()));
            pep.gets(null(false));
        },
    },
    Step {
        name: "open, opening, h",
        run: |pep| {
            idle(pep);
            opening(pep);
        },
    },
    Step {
        name: "open, h, synchronizing",
        run: |pep| {
            idle(pep);
            pep.gets(synchronize(None));
        },
    },
    Step {
        name: "open, h asked, synchronizing",
        run: |pep| {
            idle(pep);
            pep.gets(synchronize(None));
            pep.asks(RequestBody::configuration(Vec::new()));
        },
    },
    Step {
        name: "open, h told 1, synchronizing",
        run: |pep| {
            idle(pep);
            pep.gets(synchronize(None));
            pep.asks(RequestBody::configuration(Vec::new()));
            pep.gets(null(true));
        },
    },
    Step {
        name: "closed",
        run: |pep| {
            open_(pep);
            pep.session.handle_disconnect();
            pep.hear();
        },
    },
];

const INPUTS: &[Step<Pep>] = &[
    Step {
        name: "CAT",
        run: |pep| pep.gets(accept(CT)),
    },
    Step {
        name: "DEC S h NULL",
        run: |pep| pep.gets(null(true)),
    },
    Step {
        name: "DEC h NULL",
        run: |pep| pep.gets(null(false)),
    },
    Step {
        name: "DEC h Install, with flags that do not apply (C-2.2.6-05)",
        run: |pep| {
            let mut install = Decision::install(Context::CONFIGURATION, bytes::Bytes::from_static(b"rows"));
            install.flags.flags = DecisionFlagBits(0x8001);
            pep.gets(decision(h(), false, decided(install)));
        },
    },
    Step {
        name: "DEC S h Error",
        run: |pep| pep.gets(decision(h(), true, refused())),
    },
    Step {
        name: "DEC h Error",
        run: |pep| pep.gets(decision(h(), false, refused())),
    },
    Step {
        name: "DEC x NULL, a handle that is not here (A-17)",
        run: |pep| {
            pep.gets(decision(
                x(),
                false,
                decided(Decision::null(Context::CONFIGURATION)),
            ))
        },
    },
    Step {
        name: "DEC h, for another M-Type than asked (A-37)",
        run: |pep| {
            let context = Context {
                m_type: MType(1),
                ..Context::CONFIGURATION
            };
            pep.gets(decision(h(), false, decided(Decision::null(context))));
        },
    },
    Step {
        name: "DEC h, command 3 (C-2.2.5-12, A-22)",
        run: |pep| {
            let flags = DecisionFlags::new(CommandCode(3));
            let unknown = Decision::new(Context::CONFIGURATION, flags);
            pep.gets(decision(h(), false, decided(unknown)));
        },
    },
    Step {
        name: "DEC h, flags without context (C-3.4-05, A-13, A-20)",
        run: |pep| {
            let flags = ObjectRef::DecisionFlags(DecisionFlags::new(CommandCode::NULL));
            pep.gets(loose(
                OpCode::DECISION,
                CT,
                &[ObjectRef::Handle(h().as_bytes()), flags],
            ));
        },
    },
    Step {
        name: "DEC h, unknown decision object (C-3.4-07)",
        run: |pep| {
            let object = unknown(ObjectId::new(CNum::DECISION, 9));
            pep.gets(loose(
                OpCode::DECISION,
                CT,
                &[ObjectRef::Handle(h().as_bytes()), object],
            ));
        },
    },
    Step {
        name: "DEC h, another unknown object (A-15)",
        run: |pep| {
            let handle = h();
            let objects = [ObjectRef::Handle(handle.as_bytes()), unknown_object()];
            pep.gets(loose(OpCode::DECISION, CT, &objects));
        },
    },
    Step {
        name: "DEC x, malformed",
        run: |pep| pep.gets(loose(OpCode::DECISION, CT, &[ObjectRef::Handle(x().as_bytes())])),
    },
    Step {
        name: "DEC without handle",
        run: |pep| pep.gets(loose(OpCode::DECISION, CT, &[])),
    },
    Step {
        name: "SSQ",
        run: |pep| pep.gets(synchronize(None)),
    },
    Step {
        name: "SSQ h",
        run: |pep| pep.gets(synchronize(Some(h()))),
    },
    Step {
        name: "SSQ x (C-3.5-03, A-23)",
        run: |pep| pep.gets(synchronize(Some(x()))),
    },
    Step {
        name: "CC",
        run: |pep| pep.gets(close(CT, ErrorCode::UNSPECIFIED)),
    },
    Step {
        name: "CC of client-type 0 (A-40)",
        run: |pep| pep.gets(close(ClientType::CONNECTION, ErrorCode::AUTHENTICATION_REQUIRED)),
    },
    Step {
        name: "KA (A-08)",
        run: |pep| pep.gets(keep_alive()),
    },
    Step {
        name: "REQ, the wrong direction (C-2.1-07, A-02)",
        run: |pep| pep.gets(request(h())),
    },
    Step {
        name: "RPT, the wrong direction",
        run: |pep| pep.gets(report(h(), true)),
    },
    Step {
        name: "DRQ, the wrong direction",
        run: |pep| pep.gets(delete(h())),
    },
    Step {
        name: "OPN, the wrong direction",
        run: |pep| pep.gets(open(CT, None)),
    },
    Step {
        name: "SSC, the wrong direction",
        run: |pep| pep.gets(complete(None)),
    },
    Step {
        name: "op code 11 (A-02)",
        run: |pep| pep.gets(loose(OpCode(11), CT, &[])),
    },
    Step {
        name: "version 2 (A-02)",
        run: |pep| pep.gets(broken_framing()),
    },
    Step {
        name: "CAT without KA Timer (C-3.7-06)",
        run: |pep| pep.gets(loose(OpCode::CLIENT_ACCEPT, CT, &[])),
    },
    Step {
        name: "KA with an unknown object (A-15)",
        run: |pep| {
            pep.gets(loose(
                OpCode::KEEP_ALIVE,
                ClientType::CONNECTION,
                &[unknown_object()],
            ))
        },
    },
    Step {
        name: "CAT of client-type 0",
        run: |pep| pep.gets(accept(ClientType::CONNECTION)),
    },
    Step {
        name: "CAT of another client-type (A-16)",
        run: |pep| pep.gets(accept(ClientType(9))),
    },
    Step {
        name: "to open",
        run: opening,
    },
    Step {
        name: "to ask for a new state",
        run: |pep| {
            let request = RequestBody::configuration(Vec::new());
            pep.does(PepCommand::Request {
                client_type: CT,
                handle: None,
                request,
            });
        },
    },
    Step {
        name: "to ask for h",
        run: |pep| {
            let request = RequestBody::configuration(Vec::new());
            pep.does(PepCommand::Request {
                client_type: CT,
                handle: Some(h()),
                request,
            });
        },
    },
    Step {
        name: "to tell a change of h",
        run: |pep| {
            let request = RequestBody::incremental(Vec::new());
            pep.does(PepCommand::Request {
                client_type: CT,
                handle: Some(h()),
                request,
            });
        },
    },
    Step {
        name: "to report on the decision",
        run: Pep::reports,
    },
    Step {
        name: "to report without being asked",
        run: |pep| {
            pep.does(PepCommand::ReportUnsolicited {
                client_type: CT,
                handle: h(),
                report: UnsolicitedReport::Failure,
                client_si: Vec::new(),
            });
        },
    },
    Step {
        name: "to delete h",
        run: |pep| {
            pep.does(PepCommand::Delete {
                client_type: CT,
                handle: h(),
                reason: Reason::new(ReasonCode::MANAGEMENT),
            });
        },
    },
    Step {
        name: "to close",
        run: |pep| {
            let error = CopsError::new(ErrorCode::CLIENT_FAILURE);
            pep.does(PepCommand::Close {
                client_type: CT,
                error,
            });
        },
    },
    Step {
        name: "to shut down",
        run: |pep| {
            pep.does(PepCommand::Shutdown {
                error: CopsError::new(ErrorCode::SHUTTING_DOWN),
            })
        },
    },
    Step {
        name: "31 s without anything (time-outs of OPN and REQ are 30 s)",
        run: |pep| pep.waits(31),
    },
    Step {
        name: "41 s without anything (the KA Timer is 40 s)",
        run: |pep| pep.waits(41),
    },
    Step {
        name: "the end of the transport",
        run: |pep| {
            pep.session.handle_disconnect();
            pep.hear();
        },
    },
];

#[test]
fn every_input_in_every_state_of_a_pep() {
    assert_table(Pep::new, STATES, INPUTS, include_str!("pep_transitions.txt"));
}
