//! The power client-type as a module: the engine, and what each PEP reported and was told.

use std::collections::{BTreeMap, VecDeque};

use cops_codec::client_type::numbers::POWER_CLIENT_TYPE;
use cops_codec::client_type::store::RowLimits;
use cops_codec::session::CloseCause;
use cops_codec::wire::{ClientHandle, ClientType, ErrorCode};
use power_policy::model::Name;

use super::Notice;
use super::context::{self, Context};
use super::contingency::{ContextEvent, Contingencies};
use crate::config::PeerPolicy;
use crate::engine::contingency::PlanAhead;
use crate::engine::state::Record;
use crate::engine::{Assignment, End, Engine, Input, Output};
use crate::host::{
    Asked, ClientTypeModule, ConnectionId, Deleted, Hosting, Opening, Reported, Terms, Verdict,
};
use crate::translate::Site;

/// A PEP that is connected.
#[derive(Debug)]
pub(super) struct Pep {
    pub(super) connection: Option<ConnectionId>,
    /// Its base context.
    pub(super) context: Option<Context>,
    /// Its other contexts.
    pub(super) contingencies: Contingencies,
    /// The engine was told that the request-states are known.
    pub(super) synchronised: bool,
}

/// The power client-type.
pub(super) struct Power {
    pub(super) engine: Engine,
    pub(super) site: Site,
    pub(super) peers: PeerPolicy,
    pub(super) terms: Terms,
    pub(super) max_message_octets: usize,
    pub(super) row_limits: RowLimits,
    pub(super) peps: BTreeMap<Name, Pep>,
    /// Who is at the other end of a connection, while the client-type is open on it.
    pub(super) names: BTreeMap<ConnectionId, Name>,
    pub(super) records: VecDeque<Record>,
    pub(super) notices: VecDeque<Notice>,
    /// What the engine last wanted told to each PEP that is known.
    pub(super) assigned: BTreeMap<Name, Assignment>,
    /// What became of commands about contingencies; the oldest go when nobody asks.
    pub(super) context_events: VecDeque<ContextEvent>,
    /// The same, until the engine is told.
    pub(super) untold: VecDeque<ContextEvent>,
    /// Plans that the engine wants made when there is time.
    pub(super) plans_ahead: VecDeque<PlanAhead>,
}

impl Power {
    /// Tells the engine, and carries out what it wants.
    pub(super) fn tell(&mut self, hosting: &mut Hosting<'_>, input: Input) {
        self.engine.handle(hosting.now().engine_millis, input);
        self.drain_engine(hosting);
    }

    /// Tells the engine what became of contingencies, once the call that found out is over.
    pub(super) fn tell_context_events(&mut self, hosting: &mut Hosting<'_>) {
        while let Some(event) = self.untold.pop_front() {
            self.tell(hosting, Input::Context(event));
        }
    }

    pub(super) fn drain_engine(&mut self, hosting: &mut Hosting<'_>) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Record(record) => {
                    if let Record::Forgotten { pep } = &record {
                        self.assigned.remove(pep);
                    }
                    self.records.push_back(record);
                }
                Output::Event(event) => self.notices.push_back(Notice::Event(event)),
                Output::Answer {
                    id,
                    outcome,
                    repeated,
                } => {
                    self.notices.push_back(Notice::Answer {
                        id,
                        outcome,
                        repeated,
                    });
                }
                Output::Install(assignment) => {
                    self.assign(hosting, context::Pending::Install(assignment));
                }
                Output::Release(assignment) => {
                    self.assign(hosting, context::Pending::Release(assignment));
                }
                Output::Context(command) => self.command_context(hosting, command),
                Output::PlanAhead(plan) => {
                    // The engine asks for one at a time; whoever does not take them gets the newest.
                    self.plans_ahead.clear();
                    self.plans_ahead.push_back(*plan);
                }
            }
        }
    }
}

impl ClientTypeModule for Power {
    fn client_type(&self) -> ClientType {
        POWER_CLIENT_TYPE
    }

    fn open(&mut self, _: &mut Hosting<'_>, opening: &Opening) -> Verdict {
        let Ok(pep) = Name::new(opening.pep_id.as_str()) else {
            // A PEPID that is no name of ours: longer than 64 octets.
            return Verdict::refuse(ErrorCode::UNABLE_TO_PROCESS);
        };
        if !self.peers.may_connect(&pep) || !self.engine.has_room_for(&pep) {
            return Verdict::refuse(ErrorCode::UNABLE_TO_PROCESS);
        }
        // What a PEP reported before its connection ended has aged since, by a time that its rows do not tell: mains that
        // was absent then may be back. So it is always synchronised (exchanges E6, case B), and nothing is resumed.
        Verdict::Accept(self.terms)
    }

    fn opened(&mut self, hosting: &mut Hosting<'_>, opening: &Opening, _resumed: bool) {
        let id = opening.connection;
        let Ok(pep) = Name::new(opening.pep_id.as_str()) else {
            return;
        };
        if opening.again {
            return;
        }
        self.names.insert(id, pep.clone());
        self.peps.insert(
            pep.clone(),
            Pep {
                connection: Some(id),
                context: None,
                contingencies: Contingencies::default(),
                synchronised: false,
            },
        );
        let address = opening.address.to_string();
        self.tell(hosting, Input::Opened { pep, address });
    }

    fn request(&mut self, hosting: &mut Hosting<'_>, asked: Asked<'_>) {
        if let Some(pep) = self.names.get(&asked.connection).cloned() {
            self.requested(hosting, &pep, asked);
            self.tell_context_events(hosting);
        }
    }

    fn report(&mut self, hosting: &mut Hosting<'_>, reported: Reported<'_>) {
        if let Some(pep) = self.names.get(&reported.connection).cloned() {
            self.reported(hosting, &pep, reported);
            self.tell_context_events(hosting);
        }
    }

    fn state_deleted(
        &mut self,
        hosting: &mut Hosting<'_>,
        id: ConnectionId,
        handle: &ClientHandle,
        _: Deleted,
    ) {
        if let Some(pep) = self.names.get(&id).cloned() {
            self.drop_context(&pep, handle);
            self.tell_context_events(hosting);
        }
    }

    fn synchronized(&mut self, hosting: &mut Hosting<'_>, id: ConnectionId, handle: Option<&ClientHandle>) {
        // SSC of a single handle follows its REQ, which was acted on.
        if handle.is_none()
            && let Some(pep) = self.names.get(&id).cloned()
        {
            if self.peps.get_mut(&pep).is_some_and(Pep::settle_base) {
                self.report_facts(hosting, &pep);
            }
            self.synchronised(hosting, &pep);
            self.tell_context_events(hosting);
        }
    }

    fn closed(&mut self, hosting: &mut Hosting<'_>, id: ConnectionId, cause: &CloseCause, _held: bool) {
        let Some(pep) = self.names.remove(&id) else { return };
        if self
            .peps
            .get(&pep)
            .is_some_and(|entry| entry.connection == Some(id))
        {
            // Nothing of it is resumed: the PEP tells everything anew when it is back.
            self.peps.remove(&pep);
            let reason = cause.to_string();
            let end = whose_end(cause);
            self.tell(hosting, Input::Closed { pep, reason, end });
        }
    }

    fn heard(&mut self, hosting: &mut Hosting<'_>, id: ConnectionId) {
        if let Some(pep) = self.names.get(&id).cloned() {
            self.send_pending(hosting, &pep);
            self.tell(hosting, Input::Heard { pep });
            self.tell_context_events(hosting);
        }
    }

    fn handle_timeout(&mut self, hosting: &mut Hosting<'_>) {
        self.tell(hosting, Input::Tick);
        self.tell_context_events(hosting);
    }
}

/// Who ended a connection: what this PDP does by command, or for want of a key of its own, says nothing about the PEP.
fn whose_end(cause: &CloseCause) -> End {
    match cause {
        CloseCause::Command(_) | CloseCause::Superseded | CloseCause::NoKey => End::Ours,
        CloseCause::Peer { .. }
        | CloseCause::Fault(_)
        | CloseCause::Silence { .. }
        | CloseCause::ReportTimeout { .. }
        | CloseCause::OpenTimeout { .. }
        | CloseCause::NoClientOpen
        | CloseCause::Disconnected
        | CloseCause::TransmitFull { .. }
        | CloseCause::Unanswerable(_) => End::Theirs,
    }
}
