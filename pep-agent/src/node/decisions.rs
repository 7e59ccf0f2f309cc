//! What comes from the PDP: decisions, taken whole or not at all.

use cops_codec::client_type::power::{Plan, PlanVersion};
use cops_codec::client_type::store::{PlanStatus, build};
use cops_codec::message::Decision;
use cops_codec::provisioning::{GlobalError, GlobalErrorCode, Operation, Report, Transaction};
use cops_codec::session::DecisionId;
use cops_codec::session::pep::{Outcome, PepCommand};
use cops_codec::wire::{ClientHandle, Reason, ReasonCode};

use super::{CLIENT_TYPE, Node, Now, named};
use crate::engine::HeldPlan;
use crate::translate::{faults, plan};

impl Node {
    /// A DEC came. Every DEC gets one report (rule 5 of the exchanges).
    pub(super) fn decided(
        &mut self,
        now: Now,
        handle: &ClientHandle,
        solicited: bool,
        decisions: &[Decision],
        report: Option<DecisionId>,
    ) {
        if !self.is_base(handle) {
            // There is no other state; the session answers unknown handles itself.
            return;
        }
        if solicited {
            self.base.answered();
        }
        let global = |code: GlobalErrorCode| Report {
            global: Some(code.into()),
            errors: Vec::new(),
        };
        let answer = match Transaction::read(decisions, &[]) {
            Err(error) => Err(Report {
                global: Some::<GlobalError>(error),
                errors: Vec::new(),
            }),
            Ok(Transaction::Null) => Ok(Report::default()),
            Ok(Transaction::OpenRequestState) => Err(global(GlobalErrorCode::MAX_REQUEST_STATES_OPEN)),
            // Only a PDP of the highest term may end what that term decided (rule 6 of the exchanges).
            Ok(Transaction::DeleteRequestState) if self.connection_term < self.highest_term => {
                Err(global(GlobalErrorCode::UNKNOWN_ERROR))
            }
            Ok(Transaction::DeleteRequestState) => {
                self.delete_base(now, handle, report);
                return;
            }
            Ok(Transaction::Change(operations)) => self.change(now, &operations),
        };
        let (outcome, told) = match answer {
            Ok(warnings) => (Outcome::Success, warnings),
            Err(errors) => {
                self.warn(format!("a decision was refused: {}", describe(&errors)));
                (Outcome::Failure, errors)
            }
        };
        self.answer(now, handle, report, outcome, &told);
    }

    fn answer(
        &mut self,
        now: Now,
        handle: &ClientHandle,
        report: Option<DecisionId>,
        outcome: Outcome,
        told: &Report,
    ) {
        let Some(decision) = report else {
            return;
        };
        let client_si = if told.is_empty() {
            Vec::new()
        } else {
            named(build::report(told))
        };
        let command = PepCommand::Report {
            client_type: CLIENT_TYPE,
            handle: handle.clone(),
            decision,
            outcome,
            client_si,
        };
        if let Err(error) = self.command(now, command) {
            // Without its report the PDP cannot go on with this state; the connection is made anew.
            self.warn(format!("a report cannot be sent: {error}"));
            self.disconnect_now();
        }
    }

    fn disconnect_now(&mut self) {
        if let Some(session) = &mut self.session {
            session.handle_disconnect();
        }
    }

    /// Applies a transaction: to a copy, which takes the place of the rows only when the engine can take the plan too.
    fn change(&mut self, now: Now, operations: &[Operation<'_>]) -> Result<Report, Report> {
        let max_errors = self.config.row_limits.max_errors;
        let fence = PlanVersion {
            term: self.highest_term,
            generation: 0,
        };
        let mut rows = self.base.installed.clone();
        let installed = rows
            .apply(operations, fence)
            .map_err(|refusal| refusal.report())?;
        if let Some(report) = faults::pattern_faults(rows.rows(), max_errors) {
            return Err(report);
        }
        let plan = rows.in_force().map(|in_force| {
            let released = in_force.plan().released_stage;
            (plan::held_plan(&in_force), released, in_force.plan().digest)
        });
        if let Some((plan, ..)) = &plan {
            if is_too_big(plan) {
                let code = GlobalErrorCode::MAX_MSG_SIZE_EXCEEDED;
                return Err(Report {
                    global: Some(code.into()),
                    errors: Vec::new(),
                });
            }
            self.engine
                .check(plan)
                .map_err(|faults| faults::install_faults(&faults, max_errors))?;
        }
        // Nothing can fail any more.
        self.base.put(rows);
        let term = self
            .base
            .installed
            .rows()
            .only::<Plan>()
            .map_or(0, |plan| plan.term);
        self.connection_term = self.connection_term.max(term);
        self.highest_term = self.highest_term.max(self.base.highest().term);
        self.last_pdp = self.peer.filter(|_| installed.plan != PlanStatus::Incomplete);
        if let Some(error) = installed.request_errors.first() {
            self.warn(format!(
                "the PDP could not take what this agent reports: error {} of {} (instance {:?})",
                error.code, error.prc, error.error_instance
            ));
            self.base.refused(now.session.after(self.config.retry_interval));
        }
        match plan {
            Some((plan, released, digest)) if self.base.is_active() => {
                let version = (plan.generation, digest);
                if self.base.enforced.as_ref() == Some(&version) {
                    self.engine.claim(plan.term);
                    self.engine.release(now.engine, Some(released));
                } else {
                    self.tell(format!(
                        "plan {}.{} ({:?}) is in force, {} stages, released up to {released}",
                        plan.term,
                        plan.generation,
                        plan.cause,
                        plan.stages.len()
                    ));
                    self.engine.install(now.engine, plan, Some(released));
                    self.base.enforced = Some(version);
                }
            }
            // A plan that comes in several decisions is in force with the last; the one before it no longer is.
            _ => {
                self.base.enforced = None;
                self.engine.withdraw();
            }
        }
        Ok(installed.warnings)
    }

    /// The PDP deletes the base context: its policy ends at once (E10). The agent asks for a new one.
    fn delete_base(&mut self, now: Now, handle: &ClientHandle, report: Option<DecisionId>) {
        self.tell("the PDP deleted its request-state: nothing is enforced any more".to_owned());
        self.answer(now, handle, report, Outcome::Success, &Report::default());
        let command = PepCommand::Delete {
            client_type: CLIENT_TYPE,
            handle: handle.clone(),
            reason: Reason::new(ReasonCode::PDP_DIRECTIVE),
        };
        if let Err(error) = self.command(now, command) {
            self.warn(format!("the request-state cannot be deleted: {error}"));
        }
        self.lose_state(now);
    }
}

fn is_too_big(plan: &HeldPlan) -> bool {
    plan.stages.len() > crate::limits::MAX_STAGES || plan.steps().count() > crate::limits::MAX_STEPS
}

/// The first error of a report, for the log.
fn describe(report: &Report) -> String {
    match (report.global, report.errors.first()) {
        (_, Some(first)) => format!(
            "{} of its rows, first {}: {} (sub-code {})",
            report.errors.len(),
            first.prid,
            first.error.code,
            first.error.sub_code
        ),
        (Some(global), None) => format!("{} (sub-code {})", global.code, global.sub_code),
        (None, None) => "no reason".to_owned(),
    }
}
