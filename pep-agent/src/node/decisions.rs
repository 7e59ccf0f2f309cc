//! What comes from the PDP: decisions, taken whole or not at all.

use cops_codec::client_type::feedback::FeedbackAction;
use cops_codec::client_type::power::{Plan, PlanVersion};
use cops_codec::client_type::store::{PlanStatus, build};
use cops_codec::message::Decision;
use cops_codec::provisioning::{GlobalErrorCode, Operation, Report, Transaction};
use cops_codec::session::DecisionId;
use cops_codec::session::pep::{Outcome, PepCommand};
use cops_codec::wire::{ClientHandle, Reason, ReasonCode};

use super::context::ContextKey;
use super::{CLIENT_TYPE, Node, Now, named};
use crate::engine::HeldPlan;
use crate::limits::MAX_CONTEXTS;
use crate::translate::{faults, plan};

/// What a decision that was taken asks for after its report.
#[derive(Debug, Default)]
struct Taken {
    warnings: Report,
    actions: Vec<FeedbackAction>,
}

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
        let Some(key) = self.contexts.key_of(handle) else {
            // The session answers handles that it does not know, and knows none that this does not.
            return;
        };
        if solicited && let Some(context) = self.contexts.get_mut(key) {
            context.answered();
        }
        let active = self.contexts.active();
        let mut opens = false;
        let answer = if self.frame_octets > self.config.max_decision_octets {
            Err(global(GlobalErrorCode::MAX_MSG_SIZE_EXCEEDED))
        } else {
            match Transaction::read(decisions, &[]) {
                Err(error) => Err(Report {
                    global: Some(error),
                    errors: Vec::new(),
                }),
                Ok(Transaction::Null) => Ok(Taken::default()),
                Ok(Transaction::OpenRequestState) if self.contexts.len() >= MAX_CONTEXTS => {
                    Err(global(GlobalErrorCode::MAX_REQUEST_STATES_OPEN))
                }
                Ok(Transaction::OpenRequestState) => {
                    opens = true;
                    Ok(Taken::default())
                }
                // Only a PDP of the highest term may end what that term decided (rule 6 of the exchanges).
                Ok(Transaction::DeleteRequestState) if self.connection_term < self.highest_term => {
                    Err(global(GlobalErrorCode::UNKNOWN_ERROR))
                }
                Ok(Transaction::DeleteRequestState) => {
                    self.delete_context(now, key, handle, report);
                    return;
                }
                Ok(Transaction::Change(operations)) => self.change(now, key, &operations),
            }
        };
        match answer {
            Ok(taken) => {
                self.answer(now, handle, report, Outcome::Success, &taken.warnings);
                if opens {
                    // E4 step 3: its REQ follows in this same call.
                    self.contexts.open();
                }
                self.active_changed(now, active);
                self.obey_feedback_actions(now, key, &taken.actions);
            }
            Err(errors) => {
                self.warn(format!("a decision was refused: {}", describe(&errors)));
                self.answer(now, handle, report, Outcome::Failure, &errors);
            }
        }
    }

    /// Another context may be active than `before`: its last readings go on its own handle (E5 step 4), and what is
    /// reported from now on follows the links of the new one.
    fn active_changed(&mut self, now: Now, before: Option<ContextKey>) {
        let after = self.contexts.active();
        if before != after
            && let Some(key) = before
            && let Some(context) = self.contexts.get(key)
        {
            let rows = context.installed.rows().clone();
            self.send_last_readings(now, key, &rows);
        }
        self.follow_links(before);
        if self.is_open() {
            self.ask_for_accounting(now);
        }
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
    fn change(&mut self, now: Now, key: ContextKey, operations: &[Operation<'_>]) -> Result<Taken, Report> {
        let max_errors = self.config.row_limits.max_errors;
        let fence = PlanVersion {
            term: self.highest_term,
            generation: 0,
        };
        let Some(context) = self.contexts.get(key) else {
            return Err(global(GlobalErrorCode::UNKNOWN_ERROR));
        };
        let mut rows = context.installed.clone();
        let installed = rows
            .apply(operations, fence)
            .map_err(|refusal| refusal.report())?;
        if let Some(report) = faults::pattern_faults(rows.rows(), max_errors)
            .or_else(|| faults::support_faults(rows.rows(), max_errors))
        {
            return Err(report);
        }
        let plan = rows.in_force().map(|in_force| plan::held_plan(&in_force));
        if let Some(plan) = &plan {
            if is_too_big(plan) {
                return Err(global(GlobalErrorCode::MAX_MSG_SIZE_EXCEEDED));
            }
            self.engine
                .check(plan)
                .map_err(|faults| faults::install_faults(&faults, max_errors))?;
        }
        // Nothing can fail any more.
        let term = rows.rows().only::<Plan>().map_or(0, |plan| plan.term);
        self.connection_term = self.connection_term.max(term);
        self.highest_term = self.highest_term.max(rows.highest().term);
        if rows.plan_status() == PlanStatus::Incomplete
            && let Some(context) = self.contexts.get(key)
            && context.installed.plan_status() == PlanStatus::InForce
            && self.enforced.as_ref().is_some_and(|enforced| enforced.0 == key)
        {
            self.overtaken = context.installed.rows().iter().cloned().collect();
        }
        self.contexts.put(key, rows);
        self.last_pdp = self.peer.filter(|_| self.is_whole());
        if let Some(error) = installed.request_errors.first() {
            self.warn(format!(
                "the PDP could not take what this agent reports: error {} of {} (instance {:?})",
                error.code, error.prc, error.error_instance
            ));
            let retry_at = now.session.after(self.config.retry_interval);
            if let Some(context) = self.contexts.get_mut(key) {
                context.refused(retry_at);
            }
        }
        self.enforce(now);
        Ok(Taken {
            warnings: installed.warnings,
            actions: installed.feedback_actions,
        })
    }

    /// Has the engine carry out the plan of the active context, and no other (RFC 3318 section 2.4).
    pub(super) fn enforce(&mut self, now: Now) {
        let active = self.contexts.active();
        let in_force = active.and_then(|key| {
            let in_force = self.contexts.get(key)?.installed.in_force()?;
            let row = in_force.plan();
            let version = (key, row.generation, row.digest);
            Some((plan::held_plan(&in_force), row.released_stage, version))
        });
        match in_force {
            Some((plan, released, version)) if self.enforced.as_ref() == Some(&version) => {
                self.overtaken.clear();
                self.engine.claim(plan.term);
                self.engine.release(now.engine, Some(released));
            }
            Some((plan, released, version)) => {
                self.tell(format!(
                    "plan {}.{} ({:?}) is in force, {} stages, released up to {released}",
                    plan.term,
                    plan.generation,
                    plan.cause,
                    plan.stages.len()
                ));
                self.engine.install(now.engine, plan, Some(released));
                self.enforced = Some(version);
                self.overtaken.clear();
            }
            // A plan that comes in several decisions is in force with the last (rule 7 of the exchanges). Until then the one
            // before it is: a PDP that is lost in between leaves no agent without local stages.
            None if self.is_overtaken(active) => {}
            // No context is active, or the active one has no plan.
            None => {
                self.overtaken.clear();
                self.enforced = None;
                self.engine.withdraw();
            }
        }
    }

    /// Whether the engine has the plan that was in force in this context before the one whose last part is not here yet.
    fn is_overtaken(&self, active: Option<ContextKey>) -> bool {
        let is_incomplete = active
            .and_then(|key| self.contexts.get(key))
            .is_some_and(|context| !context.is_whole());
        is_incomplete && self.enforced.as_ref().map(|enforced| enforced.0) == active
    }

    /// The PDP deletes a context: its policy ends at once, whatever its longevity (E10). Of the base context the agent asks
    /// for a new one.
    fn delete_context(
        &mut self,
        now: Now,
        key: ContextKey,
        handle: &ClientHandle,
        report: Option<DecisionId>,
    ) {
        let is_active = self.contexts.active() == Some(key);
        self.tell(match is_active {
            true => "the PDP deleted the active request-state: nothing is enforced any more".to_owned(),
            false => "the PDP deleted a request-state that was not active".to_owned(),
        });
        self.answer(now, handle, report, Outcome::Success, &Report::default());
        if is_active && let Some(context) = self.contexts.get(key) {
            let rows = context.installed.rows().clone();
            self.send_last_readings(now, key, &rows);
        }
        let command = PepCommand::Delete {
            client_type: CLIENT_TYPE,
            handle: handle.clone(),
            reason: Reason::new(ReasonCode::PDP_DIRECTIVE),
        };
        if let Err(error) = self.command(now, command) {
            self.warn(format!("the request-state cannot be deleted: {error}"));
        }
        if key == ContextKey::BASE {
            self.lose_state(now, key);
        } else {
            // What is left is still all that this PDP decided.
            self.drop_context(now, key);
        }
    }
}

fn global(code: GlobalErrorCode) -> Report {
    Report {
        global: Some(code.into()),
        errors: Vec::new(),
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
