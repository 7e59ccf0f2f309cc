//! What goes over the power client-type: requests in, decisions out, reports in (exchanges E1 to E3, E6 to E8, E11).

use std::sync::Arc;

use cops_codec::client_type::RowId;
use cops_codec::client_type::framework::PibIncarnation;
use cops_codec::client_type::power::{Plan, PlanError};
use cops_codec::client_type::store::{RequestRefused, read_readings};
use cops_codec::message::{Decision, DecisionBody};
use cops_codec::provisioning::{ClassError, ClassErrorCode, Contents, Prid, Report};
use cops_codec::session::{CommandError, SessionLimits};
use cops_codec::wire::{ClientHandle, ClientSi, Context as CopsContext, CopsError, ErrorCode, ReportType};
use power_policy::model::Name;

use super::context::{self, Activity, Context, Pending, Told};
use super::contingency::{ContextOutcome, Contingency, Role, wire_scope};
use super::module::Power;
use crate::engine::{Assignment, Input};
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
        if message.context != CopsContext::CONFIGURATION {
            let error = CopsError::new(ErrorCode::UNABLE_TO_PROCESS);
            return self.decide(hosting, pep, &asked, DecisionBody::Error(error));
        }
        // RFC 3084 section 3.1: interfaces and LPDP decisions are for outsourcing.
        let is_outsourcing = message.in_interface.is_some()
            || message.out_interface.is_some()
            || !message.lpdp_decisions.is_empty();
        if is_outsourcing {
            let error = CopsError::new(ErrorCode::BAD_MESSAGE_FORMAT);
            return self.decide(hosting, pep, &asked, DecisionBody::Error(error));
        }
        let named: Vec<_> = message.client_si.iter().filter_map(named_contents).collect();
        if named.is_empty() {
            let error = CopsError::new(ErrorCode::CLIENT_INFO_MISSING);
            return self.decide(hosting, pep, &asked, DecisionBody::Error(error));
        }
        let known = entry.role_of(&message.handle);
        let mut new = known
            .is_none()
            .then(|| Context::new(message.handle.clone(), limits));
        let context = match known {
            Some(role) => entry.context_mut(role),
            None => new.as_mut(),
        };
        let Some(context) = context else {
            return;
        };
        let applied = match context.reported.apply(&named) {
            Ok(applied) => applied,
            Err(refused) => return self.refuse_request(hosting, pep, &asked, &refused),
        };
        let is_synchronizing = hosting.is_synchronizing(asked.connection);
        if is_synchronizing && new.as_ref().is_some_and(is_increment) {
            // It left before the SSQ arrived: an increment to what this process has never been told. The whole follows.
            return self.refuse_request(hosting, pep, &asked, &RequestRefused::NoState);
        }
        let placed = match new {
            Some(context) => entry.place_new(context, is_synchronizing),
            None => known,
        };
        let Some(role) = placed else {
            // Only the PDP has contexts opened (RFC 3318 section 2.4 leaves a PEP those for outsourcing).
            let error = CopsError::new(ErrorCode::UNABLE_TO_PROCESS);
            return self.decide(hosting, pep, &asked, DecisionBody::Error(error));
        };
        let null = DecisionBody::Decisions(vec![Decision::null(CopsContext::CONFIGURATION)]);
        self.decide(hosting, pep, &asked, null);
        if applied.full_state || !applied.changes.is_empty() {
            self.report_facts(hosting, pep);
        }
        match role {
            Role::Base if applied.full_state && !is_synchronizing => self.synchronised(hosting, pep),
            Role::Contingency(contingency) if known.is_none() => {
                self.opened_context(hosting, pep, contingency);
            }
            _ => {}
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
            && let Some(entry) = self.peps.get_mut(pep)
            && let Some(role) = entry.role_of(&asked.message.handle)
            && let Some(context) = entry.context_mut(role)
        {
            context.unreported.push_back((decision, Told::Nothing));
        }
    }

    /// Tells the engine all that a PEP reports. What it holds is what its active context holds.
    pub(super) fn report_facts(&mut self, hosting: &mut Hosting<'_>, pep: &Name) {
        let Some(entry) = self.peps.get(pep) else {
            return;
        };
        if let Some(context) = entry.context.as_ref() {
            let mut facts = translate::facts(context.reported.rows());
            if let Some(active) = entry.active().and_then(|role| entry.context(role)) {
                facts.held = translate::facts(active.reported.rows()).held;
            }
            let facts = Arc::new(facts);
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
            self.resume_reports(hosting, pep);
        }
    }

    /// A PEP that was away holds what it should, so that the engine has nothing to tell it: it is told once more, and with it
    /// that it may report (RFC 3483 section 10).
    fn resume_reports(&mut self, hosting: &mut Hosting<'_>, pep: &Name) {
        let (Some(entry), Some(assigned)) = (self.peps.get_mut(pep), self.assigned.get(pep)) else {
            return;
        };
        if entry.active() != Some(Role::Base) {
            return;
        }
        if let Some(context) = &mut entry.context
            && context.pending.is_none()
            && context.is_untold()
            && context.reports(assigned)
        {
            context.pending = Some(Pending::Release(assigned.clone()));
            self.send_pending(hosting, pep);
        }
    }

    pub(super) fn drop_context(&mut self, pep: &Name, handle: &ClientHandle) {
        let Some(entry) = self.peps.get_mut(pep) else {
            return;
        };
        match entry.role_of(handle) {
            Some(Role::Base) => {
                // What it reported stays true until its next REQ says otherwise; what it was told went with the state.
                entry.context = None;
                entry.synchronised = false;
            }
            Some(role) => self.drop_contingency(pep, role),
            None => {}
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
        let Some(entry) = self.peps.get_mut(pep) else {
            return;
        };
        let Some(context) = entry.role_of(handle).and_then(|role| entry.context_mut(role)) else {
            return;
        };
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
        let is_taken = report_type == ReportType::SUCCESS && !is_incomplete;
        let reason = || match &readable {
            Ok(()) => in_words(&report),
            Err(error) => format!("its report cannot be read: {error}"),
        };
        match told {
            Told::Open(_) if is_taken => {}
            Told::Open(contingency) => {
                let reason = reason();
                return self.not_opened(pep, contingency, reason);
            }
            Told::Held(contingency, generation) | Told::Active(contingency, generation) => {
                let outcome = match told {
                    _ if !is_taken => {
                        context.forget_told();
                        ContextOutcome::Refused(reason())
                    }
                    Told::Active(..) => ContextOutcome::Active(generation),
                    _ => ContextOutcome::Held(generation),
                };
                return self.context_event(pep, Some(contingency), outcome);
            }
            Told::Nothing | Told::Plan { .. } | Told::Release { .. } => {}
        }
        match told.generation() {
            None => {}
            Some(generation) if is_taken => {
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
                let reason = reason();
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
    ///
    /// A plan goes into the base context, and makes it active. A release goes to the context that has its plan: the base
    /// context, or a contingency that was activated.
    pub(super) fn assign(&mut self, hosting: &mut Hosting<'_>, what: Pending) {
        let pep = match &what {
            Pending::Install(assignment) | Pending::Release(assignment) => {
                self.assigned.insert(assignment.pep.clone(), assignment.clone());
                assignment.pep.clone()
            }
            Pending::Keep(..) | Pending::Claim(..) | Pending::Activate(..) | Pending::Delete => return,
        };
        let Some(entry) = self.peps.get_mut(&pep) else {
            return;
        };
        let role = match &what {
            Pending::Release(assignment) => entry
                .roles()
                .into_iter()
                .filter(|role| *role != Role::Base)
                .find(|role| {
                    let context = entry.context(*role);
                    context.is_some_and(|context| context.is_active() && context.was_sent(assignment))
                })
                .unwrap_or(Role::Base),
            _ => Role::Base,
        };
        if let Some(context) = entry.context_mut(role) {
            context.pending = Some(match (context.pending.take(), what) {
                // The slice that waits carries the newer release with it.
                (Some(Pending::Install(_)), Pending::Release(newer)) => Pending::Install(newer),
                (_, what) => what,
            });
            self.send_pending(hosting, &pep);
        }
    }

    /// Sends what waits, in every context of a PEP.
    pub(super) fn send_pending(&mut self, hosting: &mut Hosting<'_>, pep: &Name) {
        let Some(entry) = self.peps.get(pep) else {
            return;
        };
        for role in entry.roles() {
            self.send_pending_of(hosting, pep, role);
        }
        self.open_next(hosting, pep);
    }

    fn send_pending_of(&mut self, hosting: &mut Hosting<'_>, pep: &Name, role: Role) {
        let Some(entry) = self.peps.get_mut(pep) else {
            return;
        };
        let id = entry.connection;
        let (Some(id), Some(context)) = (id, entry.context_mut(role)) else {
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
        let ours = self.max_message_octets;
        let decs = match &pending {
            Pending::Install(assignment) => {
                let generation = assignment.generation;
                let plan = translate::assignment(assignment);
                let told = Told::Plan { generation };
                context.install(&self.site, assignment, &plan, ours, Activity::Activates, told)
            }
            Pending::Release(assignment) => {
                let generation = assignment.generation;
                let plan = match role {
                    Role::Contingency(contingency) => contingency_plan(contingency, assignment),
                    Role::Base | Role::Unclaimed(_) => translate::assignment(assignment),
                };
                let told = Told::Release { generation };
                // What the engine says of the base context is in force there.
                let activity = match role {
                    Role::Base if !context.is_told(assignment) => Activity::Activates,
                    _ => Activity::Leaves,
                };
                Ok(vec![
                    context.release(&self.site, assignment, &plan, activity, told),
                ])
            }
            Pending::Keep(contingency, assignment) => {
                let plan = contingency_plan(*contingency, assignment);
                let told = Told::Held(*contingency, assignment.generation);
                context.install(&self.site, assignment, &plan, ours, Activity::Leaves, told)
            }
            Pending::Claim(contingency, assignment) => {
                let plan = contingency_plan(*contingency, assignment);
                let told = Told::Held(*contingency, assignment.generation);
                let (site, leaves) = (&self.site, Activity::Leaves);
                Ok(vec![context.release(site, assignment, &plan, leaves, told)])
            }
            Pending::Activate(contingency, assignment) => {
                let plan = contingency_plan(*contingency, assignment);
                let told = Told::Active(*contingency, assignment.generation);
                let (site, activates) = (&self.site, Activity::Activates);
                Ok(vec![context.release(site, assignment, &plan, activates, told)])
            }
            Pending::Delete => Ok(vec![(context::deletion(), Told::Nothing)]),
        };
        let decs = decs.and_then(|decs| {
            fits(&decs).map(|()| decs).map_err(|why| {
                context.forget_told();
                let max = context.max_message_octets(ours);
                format!("{why}, in messages of {max} octets that the PEP takes")
            })
        });
        let decs = match decs {
            Ok(decs) => decs,
            Err(reason) => return self.cannot_be_sent(hosting, pep, &pending, reason),
        };
        let handle = context.handle.clone();
        for (decisions, told) in decs {
            let pushed = hosting.push(id, handle.clone(), decisions);
            let Some(context) = self.peps.get_mut(pep).and_then(|entry| entry.context_mut(role)) else {
                return;
            };
            match pushed {
                Ok(Some(decision)) => context.unreported.push_back((decision, told)),
                Ok(None)
                | Err(
                    CommandError::Closed | CommandError::ClientNotOpen(_) | CommandError::UnknownHandle(_),
                ) => {
                    // The PEP is gone, of which the engine hears.
                    context.forget_told();
                    return;
                }
                Err(CommandError::TransmitFull { .. }) => {
                    // It does not read now; all of it goes when it does.
                    context.forget_told();
                    context.pending = Some(pending);
                    return;
                }
                Err(error) => {
                    context.forget_told();
                    return self.cannot_be_sent(
                        hosting,
                        pep,
                        &pending,
                        format!("it cannot be sent: {error}"),
                    );
                }
            }
        }
    }

    fn cannot_be_sent(&mut self, hosting: &mut Hosting<'_>, pep: &Name, pending: &Pending, reason: String) {
        match pending {
            Pending::Install(assignment) | Pending::Release(assignment) => {
                let refused = Input::Refused {
                    pep: pep.clone(),
                    generation: assignment.generation,
                    steps: Vec::new(),
                    reason,
                };
                self.tell(hosting, refused);
            }
            Pending::Keep(contingency, _)
            | Pending::Claim(contingency, _)
            | Pending::Activate(contingency, _) => self.refused(pep, *contingency, reason),
            Pending::Delete => {}
        }
    }
}

/// Whether the only REQ of a context says that it does not hold the whole request state (frwkPibIncarnationFullState).
fn is_increment(context: &Context) -> bool {
    let incarnation = context.reported.rows().only::<PibIncarnation>();
    incarnation.is_some_and(|row| !row.full_state)
}

/// The plan's own row in a contingency: it says which one it is.
fn contingency_plan(contingency: Contingency, assignment: &Assignment) -> Plan {
    Plan {
        scope: wire_scope(contingency),
        ..translate::assignment(assignment)
    }
}

/// Decisions without a report that a PEP may have before the next plan waits. Plans replace each other, so that a slow
/// PEP gets the newest one and not all of them.
const fn connection_room() -> usize {
    8
}

/// Whether the decisions of one plan can be on their way together: before the first is sent, since half a plan is none.
fn fits(decs: &[(Vec<Decision>, Told)]) -> Result<(), String> {
    let limits = SessionLimits::DEFAULT;
    let most = limits.max_unreported_decisions - connection_room();
    if decs.len() > most {
        return Err(format!(
            "it has {} parts, at most {most} can be on their way",
            decs.len()
        ));
    }
    let octets: usize = decs
        .iter()
        .flat_map(|(decisions, _)| decisions)
        .filter_map(|d| d.named.as_ref())
        .map(|named| named.len())
        .sum();
    if octets > limits.max_transmit_octets / 2 {
        let most = limits.max_transmit_octets / 2;
        return Err(format!(
            "it has {octets} octets, at most {most} can be on their way"
        ));
    }
    Ok(())
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
