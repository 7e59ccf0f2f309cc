//! A client-type whose decisions need no engine: what is left of a PDP is transport and sessions.
//!
//! It reads the rows of each REQ and answers with the rows of a plan's part, so that a decision costs what it costs at
//! the least. A PEP that is called [`TRIGGER`] has a decision sent to all others at once, and is itself answered when all
//! have reported.

use std::collections::BTreeMap;

use bytes::Bytes;
use cops_codec::client_type::Row;
use cops_codec::client_type::power::Name;
use cops_codec::client_type::store::RowLimits;
use cops_codec::client_type::store::read_readings;
use cops_codec::message::{Decision, DecisionBody};
use cops_codec::provisioning::binding::Bindings;
use cops_codec::session::{CloseCause, DecisionId, RequestId};
use cops_codec::wire::{
    AccountingTimer, ClientHandle, ClientSi, ClientType, Context, CopsError, ErrorCode, KaTimer, ReportType,
};
use pdp_server::host::{Asked, ClientTypeModule, ConnectionId, Hosting, Opening, Reported, Terms, Verdict};

use super::rows;

/// Private use (RFC 2748 6), beside power's.
pub const CLIENT_TYPE: ClientType = ClientType(0x5058);
/// PEPID of the PEP that asks for a decision to all.
pub const TRIGGER: &str = "load-trigger";

/// The client-type.
#[derive(Debug)]
pub struct LoadModule {
    ka_timer: KaTimer,
    accounting: AccountingTimer,
    peps: BTreeMap<ConnectionId, Pep>,
    /// Who has not reported on the decision to all.
    awaited: BTreeMap<ConnectionId, DecisionId>,
    /// Whose request that was.
    asked: Option<(ConnectionId, ClientHandle, RequestId)>,
    generation: u64,
}

#[derive(Debug)]
struct Pep {
    handle: ClientHandle,
    server: Name,
}

impl LoadModule {
    /// With these timers for all PEPs.
    #[must_use]
    pub fn new(ka_timer: KaTimer, accounting: AccountingTimer) -> Self {
        Self {
            ka_timer,
            accounting,
            peps: BTreeMap::new(),
            awaited: BTreeMap::new(),
            asked: None,
            generation: 0,
        }
    }

    fn decide_for_all(&mut self, hosting: &mut Hosting<'_>, asked: &Asked<'_>) {
        self.generation += 1;
        self.awaited.clear();
        for (id, pep) in &self.peps {
            let decisions = decisions(&pep.server, self.generation);
            // One that is gone, or does not read, is told nothing.
            if let Ok(Some(decision)) = hosting.push(*id, pep.handle.clone(), decisions) {
                self.awaited.insert(*id, decision);
            }
        }
        self.asked = Some((asked.connection, asked.message.handle.detached(), asked.request));
        self.answer_when_all_reported(hosting);
    }

    fn answer_when_all_reported(&mut self, hosting: &mut Hosting<'_>) {
        if self.awaited.is_empty()
            && let Some((id, handle, request)) = self.asked.take()
        {
            let _ = hosting.decide_later(id, handle, request, null());
        }
    }
}

fn null() -> DecisionBody {
    DecisionBody::Decisions(vec![Decision::null(Context::CONFIGURATION)])
}

fn decisions(server: &Name, generation: u64) -> Vec<Decision> {
    rows::decision(server, generation)
        .into_iter()
        .map(|named: Bytes| Decision::install(Context::CONFIGURATION, named))
        .collect()
}

/// All rows of a REQ, as structs; none if one cannot be read.
fn read(client_si: &[ClientSi]) -> Option<Vec<Row>> {
    let mut rows = Vec::new();
    for contents in client_si.iter().map(ClientSi::contents) {
        for binding in Bindings::new(contents, 0) {
            rows.push(Row::decode(&binding.ok()?).ok()?.row);
        }
    }
    Some(rows)
}

impl ClientTypeModule for LoadModule {
    fn client_type(&self) -> ClientType {
        CLIENT_TYPE
    }

    fn open(&mut self, _: &mut Hosting<'_>, _: &Opening) -> Verdict {
        Verdict::Accept(Terms {
            accounting_timer: Some(self.accounting),
            ..Terms::new(self.ka_timer)
        })
    }

    fn request(&mut self, hosting: &mut Hosting<'_>, asked: Asked<'_>) {
        if hosting
            .pep_id(asked.connection)
            .is_some_and(|pep| pep.as_str() == TRIGGER)
        {
            return self.decide_for_all(hosting, &asked);
        }
        let read = read(&asked.message.client_si);
        let Some(server) = read.as_deref().and_then(rows::server_of) else {
            let error = CopsError::new(ErrorCode::CLIENT_INFO_MISSING);
            let _ = hosting.decide(&asked, DecisionBody::Error(error));
            return;
        };
        self.generation += 1;
        let body = DecisionBody::Decisions(decisions(server, self.generation));
        self.peps.entry(asked.connection).or_insert_with(|| Pep {
            handle: asked.message.handle.detached(),
            server: server.clone(),
        });
        let _ = hosting.decide(&asked, body);
    }

    fn report(&mut self, hosting: &mut Hosting<'_>, reported: Reported<'_>) {
        if reported.report_type == ReportType::ACCOUNTING {
            let contents: Vec<_> = reported.client_si.iter().map(|si| si.contents().into()).collect();
            // What it says is read, and forgotten.
            let _ = read_readings(&contents, RowLimits::DEFAULT);
        } else if reported.decision.is_some()
            && reported.decision == self.awaited.get(&reported.connection).copied()
        {
            self.awaited.remove(&reported.connection);
            self.answer_when_all_reported(hosting);
        }
    }

    fn closed(&mut self, hosting: &mut Hosting<'_>, id: ConnectionId, _: &CloseCause, _: bool) {
        self.peps.remove(&id);
        self.awaited.remove(&id);
        self.answer_when_all_reported(hosting);
    }
}
