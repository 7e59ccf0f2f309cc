//! What goes over the power client-type: requests in, decisions out, reports in (exchanges E1 to E3, E6 to E8, E11).

use std::sync::Arc;

use cops_codec::client_type::RowId;
use cops_codec::client_type::power::PlanError;
use cops_codec::client_type::store::{RequestRefused, read_readings};
use cops_codec::message::{Decision, DecisionBody};
use cops_codec::provisioning::{ClassError, ClassErrorCode, Contents, Prid, Report};
use cops_codec::wire::{ClientHandle, ClientSi, Context as CopsContext, CopsError, ErrorCode, ReportType};
use power_policy::model::Name;

use super::context::{Context, Pending, Told};
use super::module::Power;
use crate::engine::Input;
use crate::host::{Asked, Hosting, Reported};
use crate::translate;

/// Longest reason in words that is made of a PEP's report.
const MAX_REASONS: usize = 4;

impl Power {
    pub(super) fn requested(&mut self, hosting: &mut Hosting<'_>, pep: &Name, asked: Asked<'_>) {
        let message = asked.message;
        let limits = self.row_limits;
        let Some(entry) = self.peps.get_mut(pep) else {
            return;
        };
        let is_base = entry
            .context
            .as_ref()
            .is_none_or(|context| context.handle == message.handle);
        let is_configuration = message.context == CopsContext::CONFIGURATION;
        if !is_base || !is_configuration {
            // One context a PEP. It may open another once the PDP asks for contingencies.
            let error = CopsError::new(ErrorCode::UNABLE_TO_PROCESS);
            return self.decide(hosting, pep, &asked, DecisionBody::Error(error));
        }
        let named: Vec<_> = message.client_si.iter().filter_map(named_contents).collect();
        if named.is_empty() {
            let error = CopsError::new(ErrorCode::CLIENT_INFO_MISSING);
            return self.decide(hosting, pep, &asked, DecisionBody::Error(error));
        }
        let is_new = entry.context.is_none();
        let context = entry
            .context
            .get_or_insert_with(|| Context::new(message.handle.clone(), limits));
        match context.reported.apply(&named) {
            Ok(applied) => {
                let null = DecisionBody::Decisions(vec![Decision::null(CopsContext::CONFIGURATION)]);
                self.decide(hosting, pep, &asked, null);
                if applied.full_state || !applied.changes.is_empty() {
                    self.report_facts(hosting, pep);
                }
                if applied.full_state && !hosting.is_synchronizing(asked.connection) {
                    self.synchronised(hosting, pep);
                }
            }
            Err(refused) => {
                if is_new {
                    entry.context = None;
                }
                self.refuse_request(hosting, pep, &asked, &refused);
            }
        }
    }

    fn refuse_request(
        &mut self,
        hosting: &mut Hosting<'_>,
        pep: &Name,
        asked: &Asked<'_>,
        refused: &RequestRefused,
    ) {
        match refused {
            RequestRefused::Malformed(_) => {
                let error = CopsError::new(ErrorCode::BAD_MESSAGE_FORMAT);
                self.decide(hosting, pep, asked, DecisionBody::Error(error));
            }
            RequestRefused::NoState => {
                let null = DecisionBody::Decisions(vec![Decision::null(CopsContext::CONFIGURATION)]);
                self.decide(hosting, pep, asked, null);
                let handle = Some(asked.message.handle.clone());
                // One that runs already will bring it.
                let _ = hosting.synchronize(asked.connection, handle);
            }
            RequestRefused::Rows(_) => {
                let contents = refused.contents();
                let decisions = contents
                    .into_iter()
                    .map(|c| Decision::install(CopsContext::CONFIGURATION, c));
                self.decide(hosting, pep, asked, DecisionBody::Decisions(decisions.collect()));
            }
        }
    }

    fn decide(&mut self, hosting: &mut Hosting<'_>, pep: &Name, asked: &Asked<'_>, body: DecisionBody) {
        if let Ok(Some(decision)) = hosting.decide(asked, body)
            && let Some(context) = self.peps.get_mut(pep).and_then(|entry| entry.context.as_mut())
        {
            context.unreported.push_back((decision, Told::Nothing));
        }
    }

    /// Tells the engine all that a PEP reports.
    pub(super) fn report_facts(&mut self, hosting: &mut Hosting<'_>, pep: &Name) {
        if let Some(context) = self.peps.get(pep).and_then(|entry| entry.context.as_ref()) {
            let facts = Arc::new(translate::facts(context.reported.rows()));
            let pep = pep.clone();
            self.tell(hosting, Input::Facts { pep, facts });
        }
    }

    pub(super) fn synchronised(&mut self, hosting: &mut Hosting<'_>, pep: &Name) {
        let Some(entry) = self.peps.get_mut(pep) else {
            return;
        };
        if !entry.synchronised {
            entry.synchronised = true;
            self.tell(hosting, Input::Synchronised { pep: pep.clone() });
        }
    }

    pub(super) fn drop_context(&mut self, pep: &Name, handle: &ClientHandle) {
        if let Some(entry) = self.peps.get_mut(pep)
            && entry
                .context
                .as_ref()
                .is_some_and(|context| context.handle == *handle)
        {
            // What it reported stays true until its next REQ says otherwise; what it was told went with the state.
            entry.context = None;
            entry.synchronised = false;
        }
    }

    pub(super) fn reported(&mut self, hosting: &mut Hosting<'_>, pep: &Name, reported: Reported<'_>) {
        let Reported {
            handle,
            decision,
            report_type,
            client_si,
            ..
        } = reported;
        let Some(context) = self.peps.get_mut(pep).and_then(|entry| entry.context.as_mut()) else {
            return;
        };
        if context.handle != *handle {
            return;
        }
        let contents: Vec<_> = client_si.iter().filter_map(named_contents).collect();
        let Some(decision) = decision else {
            // An unsolicited Failure comes with the row that says the same (pwrActionResult): it is counted there.
            if report_type == ReportType::ACCOUNTING
                && let Ok(rows) = read_readings(&contents, self.row_limits)
            {
                let (pep, readings) = (pep.clone(), translate::readings(&rows));
                self.tell(hosting, Input::Readings { pep, readings });
            }
            return;
        };
        let mut told = Told::Nothing;
        while let Some((oldest, what)) = context.unreported.pop_front() {
            if oldest == decision {
                told = what;
                break;
            }
        }
        let mut report = Report::default();
        let readable = contents.iter().try_for_each(|c| report.read(c.octets, c.offset));
        let is_incomplete = report
            .errors
            .iter()
            .any(|e| e.error == plan_error(PlanError::DigestMismatch));
        match told.generation() {
            None => {}
            Some(generation) if report_type == ReportType::SUCCESS && !is_incomplete => {
                if matches!(told, Told::Plan { .. }) {
                    let pep = pep.clone();
                    self.tell(hosting, Input::Installed { pep, generation });
                }
            }
            Some(generation) => {
                context.forget_told();
                let steps = report
                    .errors
                    .iter()
                    .filter_map(|e| translate::step_key(&e.prid))
                    .collect();
                let reason = match readable {
                    Ok(()) => in_words(&report),
                    Err(error) => format!("its report cannot be read: {error}"),
                };
                let refused = Input::Refused {
                    pep: pep.clone(),
                    generation,
                    steps,
                    reason,
                };
                self.tell(hosting, refused);
            }
        }
    }

    /// Sends what the engine wants told, or keeps it until the session can take it. What is newer replaces what waits.
    pub(super) fn assign(&mut self, hosting: &mut Hosting<'_>, what: Pending) {
        let pep = match &what {
            Pending::Install(assignment) | Pending::Release(assignment) => assignment.pep.clone(),
        };
        if let Some(context) = self.peps.get_mut(&pep).and_then(|entry| entry.context.as_mut()) {
            context.pending = Some(match (context.pending.take(), what) {
                // The slice that waits carries the newer release with it.
                (Some(Pending::Install(_)), Pending::Release(newer)) => Pending::Install(newer),
                (_, what) => what,
            });
            self.send_pending(hosting, &pep);
        }
    }

    pub(super) fn send_pending(&mut self, hosting: &mut Hosting<'_>, pep: &Name) {
        let Some(entry) = self.peps.get_mut(pep) else {
            return;
        };
        let (Some(id), Some(context)) = (entry.connection, entry.context.as_mut()) else {
            return;
        };
        let Some(pending) = context.pending.take() else {
            return;
        };
        // A REQ is decided in the call that brings it; room for reports is what can be missing.
        if hosting.unreported_decisions(id, &context.handle) >= connection_room() {
            context.pending = Some(pending);
            return;
        }
        let (decs, generation) = match &pending {
            Pending::Install(assignment) => {
                match context.install(&self.site, assignment, self.max_message_octets) {
                    Ok(decs) => (decs, assignment.generation),
                    Err(reason) => {
                        let generation = assignment.generation;
                        let pep = pep.clone();
                        let refused = Input::Refused {
                            pep,
                            generation,
                            steps: Vec::new(),
                            reason,
                        };
                        return self.tell(hosting, refused);
                    }
                }
            }
            Pending::Release(assignment) => (
                vec![context.release(&self.site, assignment)],
                assignment.generation,
            ),
        };
        let handle = context.handle.clone();
        for (decisions, told) in decs {
            let pushed = hosting.push(id, handle.clone(), decisions);
            let Some(context) = self.peps.get_mut(pep).and_then(|entry| entry.context.as_mut()) else {
                return;
            };
            match pushed {
                Ok(Some(decision)) => context.unreported.push_back((decision, told)),
                _ => {
                    // The PEP is gone or does not read; the engine hears of the one and judges the other by its results.
                    context.forget_told();
                    tracing::debug!(%pep, generation, "a decision could not be sent");
                    break;
                }
            }
        }
    }
}

/// Decisions without a report that a PEP may have before the next plan waits. Plans replace each other, so that a slow
/// PEP gets the newest one and not all of them.
const fn connection_room() -> usize {
    8
}

fn named_contents(client_si: &ClientSi) -> Option<Contents<'_>> {
    match client_si {
        ClientSi::Named(contents) => Some(Contents::from(contents)),
        ClientSi::Signaled(_) => None,
    }
}

/// An INSTALL-ERROR of pwrPlan as a CPERR. A PEP warns with it in a Success report: the rows are there, the plan is not in
/// force.
const fn plan_error(error: PlanError) -> ClassError {
    ClassError {
        code: ClassErrorCode::PRI_SPECIFIC_ERROR,
        sub_code: error.number(),
    }
}

/// What a report says, for operators.
fn in_words(report: &Report) -> String {
    let mut words = Vec::new();
    if let Some(global) = &report.global {
        words.push(coded(global.code.label(), global.code.0, global.sub_code));
    }
    for error in report.errors.iter().take(MAX_REASONS) {
        let ClassError { code, sub_code } = error.error;
        words.push(format!(
            "{}: {}",
            row_name(&error.prid),
            coded(code.label(), code.0, sub_code)
        ));
    }
    if report.errors.len() > MAX_REASONS {
        words.push(format!("and {} more", report.errors.len() - MAX_REASONS));
    }
    if words.is_empty() {
        "no reason given".to_owned()
    } else {
        words.join("; ")
    }
}

/// A code by the RFC's name of it, with its sub-code where there is one.
fn coded(label: Option<&str>, code: u16, sub_code: u16) -> String {
    let label = label.map_or_else(|| format!("error {code}"), str::to_owned);
    if sub_code == 0 {
        label
    } else {
        format!("{label} {sub_code}")
    }
}

/// A row as `pwrIntake.3`; the bare identifier where it is none that we know.
fn row_name(prid: &Prid) -> String {
    RowId::from_prid(prid.as_oid()).map_or_else(|| prid.to_string(), |id| id.to_string())
}
