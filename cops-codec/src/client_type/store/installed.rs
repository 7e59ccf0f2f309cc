//! What a PDP has installed in one context, as its PEP keeps it.

use super::digest::{digest, is_covered};
use super::in_force::InForce;
use super::limits::RowLimits;
use super::table::RowTable;
use super::transaction::{Changes, RowChange};
use crate::client_type::feedback::FeedbackAction;
use crate::client_type::framework::{FrameworkError, PibIncarnation};
use crate::client_type::power::{Cause, Held, Plan, PlanError, PlanVersion, Stage};
use crate::client_type::row::identify;
use crate::client_type::{Class, Row, RowError, RowFault, RowId};
use crate::provisioning::binding::{Bindings, RemoveTargets};
use crate::provisioning::{
    ClassError, ClassErrorCode, InstanceId, Operation, Prid, ProvisioningError, RemoveTarget, Report,
    ReportedError,
};

/// The rows that a PDP has installed in one context.
#[derive(Debug, Clone)]
pub struct InstalledRows {
    table: RowTable,
    limits: RowLimits,
    /// The highest version that was ever held: a plan that was removed must not come back.
    highest: PlanVersion,
    plan: PlanStatus,
}

/// Whether the plan that is held may be acted upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanStatus {
    /// No plan is held.
    None,
    /// A plan is held, and its digest does not match the rows: more of it has to come.
    Incomplete,
    /// A plan is held whole.
    InForce,
}

/// A DEC that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// What changed, sorted by class, then number.
    pub changes: Vec<RowChange>,
    /// What the Success report tells beside "Success"; most often nothing.
    pub warnings: Report,
    /// Why the PEP's last REQ was not taken (RFC 3318 section 2.3.6). Transient: not among the rows.
    pub request_errors: Vec<FrameworkError>,
    /// Commands about reports (RFC 3571 section 3.3.1), in their order. A command counts each time it is sent, though its
    /// row be the same as before.
    pub feedback_actions: Vec<FeedbackAction>,
    /// What the plan now is.
    pub plan: PlanStatus,
}

/// A DEC that was not taken; nothing of it is kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.describe())]
pub struct Refusal {
    /// The inner object that could not be read; what follows it was not looked at.
    pub malformed: Option<ProvisioningError>,
    /// The rows that could not be taken.
    pub errors: Vec<RowError>,
}

impl Refusal {
    fn describe(&self) -> String {
        match (&self.malformed, self.errors.first()) {
            (Some(error), _) => format!("the decision cannot be read: {error}"),
            (None, Some(first)) => format!("{} row(s) cannot be taken, first: {first}", self.errors.len()),
            (None, None) => "the decision was refused".to_owned(),
        }
    }

    /// What the Failure report tells.
    pub fn report(&self) -> Report {
        let of_rows = || self.errors.iter().find_map(|error| error.fault.global_error());
        let global = self.malformed.map(|error| error.global_error()).or_else(of_rows);
        let errors = self
            .errors
            .iter()
            .map(|error| tell(error.prid.clone(), error.fault.class_error()))
            .collect();
        Report { global, errors }
    }
}

fn tell(prid: Prid, error: ClassError) -> ReportedError {
    ReportedError {
        prid,
        error,
        details: Vec::new(),
    }
}

impl InstalledRows {
    /// A new context, with the incarnation row that its first REQ reports.
    pub fn new(limits: RowLimits, incarnation: PibIncarnation) -> Self {
        let mut table = RowTable::default();
        table.put(incarnation.into());
        Self {
            table,
            limits,
            highest: PlanVersion::NONE,
            plan: PlanStatus::None,
        }
    }

    /// A context as it was when the PEP wrote its rows down.
    ///
    /// # Errors
    ///
    /// The rows could not have been installed together. What is wrong with the order of versions cannot be seen here.
    pub fn restore(limits: RowLimits, rows: impl IntoIterator<Item = Row>) -> Result<Self, Vec<RowError>> {
        let mut table = RowTable::default();
        let mut changes = Changes::new(&mut table, limits);
        for row in rows {
            let id = row.id();
            if !id.class.access().is_installed() || id.class == Class::FrameworkError {
                let fault = RowFault::WrongDirection {
                    access: id.class.access(),
                };
                return Err(vec![RowError {
                    prid: id.prid(),
                    offset: 0,
                    fault,
                }]);
            }
            changes.put(row, 0).map_err(|error| vec![error])?;
        }
        let violations = changes.violations();
        if !violations.is_empty() {
            return Err(violations);
        }
        changes.commit();
        let highest = table.only::<Plan>().map_or(PlanVersion::NONE, Plan::version);
        let plan = status(&table);
        Ok(Self {
            table,
            limits,
            highest,
            plan,
        })
    }

    /// The rows.
    pub fn rows(&self) -> &RowTable {
        &self.table
    }

    /// The context's incarnation row. `None` if the PDP removed it.
    pub fn incarnation(&self) -> Option<&PibIncarnation> {
        self.table.only()
    }

    /// Marks the context as active or not, as when another one was made active (RFC 3318 section 2.4). False if there is
    /// no incarnation row to mark.
    pub fn set_active(&mut self, active: bool) -> bool {
        let Some(incarnation) = self.incarnation().cloned() else {
            return false;
        };
        self.table.put(
            PibIncarnation {
                active,
                ..incarnation
            }
            .into(),
        );
        true
    }

    /// The highest version that the context has held.
    pub fn highest(&self) -> PlanVersion {
        self.highest
    }

    /// Whether there is a plan, and whether it is whole.
    pub fn plan_status(&self) -> PlanStatus {
        self.plan
    }

    /// The plan and all that belongs to it, if it may be acted upon: its digest matches the rows.
    pub fn in_force(&self) -> Option<InForce<'_>> {
        if self.plan != PlanStatus::InForce {
            return None;
        }
        self.table.only().map(|plan| InForce::new(plan, &self.table))
    }

    /// What the PEP reports of the context: the plan that it holds, in force or not, and the digest of what it has.
    pub fn held(&self, armed: bool) -> Held {
        let plan = self.table.only::<Plan>();
        let version = plan.map_or(PlanVersion::NONE, Plan::version);
        Held {
            instance: InstanceId::FIRST,
            term: version.term,
            generation: version.generation,
            released_stage: plan.map_or(0, |plan| plan.released_stage),
            digest: plan.map(|_| digest(self.table.iter())),
            armed,
        }
    }

    /// Takes the decisions of one DEC, all or nothing.
    ///
    /// All removals come first, whatever their place, and take away nothing that the same DEC installs (RFC 3084
    /// section 3.2); of two installs of one name the later one counts. A PRID in a removal may be a prefix;
    /// one that names nothing is a warning. A DEC that touches rows must hold the pwrPlan row, whose version must be
    /// neither below `fence` nor below one that was held before.
    ///
    /// `fence` is what the PEP knows from elsewhere: the highest term that it holds in any context, with the highest
    /// generation of this context within that term, 0 if none.
    ///
    /// A plan whose digest does not match is incomplete if its rows are on the move, which the Success report tells as a
    /// warning; it is an error (digestMismatch) if the DEC brings no row, for then nothing is left to come.
    ///
    /// # Errors
    ///
    /// See [`Refusal`]. The rows are then as they were.
    pub fn apply(&mut self, operations: &[Operation<'_>], fence: PlanVersion) -> Result<Installed, Refusal> {
        let status_before = self.plan;
        let fence = fence.max(self.highest);
        let mut decision = DecisionChanges::new(&mut self.table, self.limits);
        decision.remove_all(operations);
        decision.install_all(operations);
        decision.check(status_before, fence);
        let DecisionChanges {
            changes,
            errors,
            malformed,
            warnings,
            request_errors,
            feedback_actions,
            ..
        } = decision;
        if malformed.is_some() || !errors.is_empty() {
            changes.rollback();
            return Err(Refusal { malformed, errors });
        }
        let changes = changes.commit();
        let plan = self.table.only::<Plan>();
        self.highest = self.highest.max(plan.map_or(PlanVersion::NONE, Plan::version));
        self.plan = status(&self.table);
        let mut warnings = Report {
            global: None,
            errors: warnings,
        };
        if let (PlanStatus::Incomplete, Some(plan)) = (self.plan, plan) {
            let error = specific(PlanError::DigestMismatch);
            let id = RowId {
                class: Class::Plan,
                instance: plan.instance,
            };
            warnings.errors.push(tell(id.prid(), error));
        }
        Ok(Installed {
            changes,
            warnings,
            request_errors,
            feedback_actions,
            plan: self.plan,
        })
    }
}

fn status(table: &RowTable) -> PlanStatus {
    match table.only::<Plan>() {
        None => PlanStatus::None,
        Some(plan) if plan.digest == digest(table.iter()) => PlanStatus::InForce,
        Some(_) => PlanStatus::Incomplete,
    }
}

fn specific(error: PlanError) -> ClassError {
    ClassError {
        code: ClassErrorCode::PRI_SPECIFIC_ERROR,
        sub_code: error.number(),
    }
}

/// A DEC on its way into the table.
struct DecisionChanges<'t> {
    changes: Changes<'t>,
    max_errors: usize,
    errors: Vec<RowError>,
    malformed: Option<ProvisioningError>,
    warnings: Vec<ReportedError>,
    request_errors: Vec<FrameworkError>,
    feedback_actions: Vec<FeedbackAction>,
    /// Where the first removal or install of a lasting row stands.
    touches_rows: Option<usize>,
    installs_plan: bool,
}

impl<'t> DecisionChanges<'t> {
    fn new(table: &'t mut RowTable, limits: RowLimits) -> Self {
        Self {
            changes: Changes::new(table, limits),
            max_errors: limits.errors_told(),
            errors: Vec::new(),
            malformed: None,
            warnings: Vec::new(),
            request_errors: Vec::new(),
            feedback_actions: Vec::new(),
            touches_rows: None,
            installs_plan: false,
        }
    }

    fn is_hopeless(&self) -> bool {
        self.malformed.is_some() || self.errors.len() >= self.max_errors
    }

    fn warn(&mut self, prid: Prid, error: ClassError) {
        if self.warnings.len() < self.max_errors {
            self.warnings.push(tell(prid, error));
        }
    }

    fn remove_all(&mut self, operations: &[Operation<'_>]) {
        for operation in operations {
            let Operation::Remove(contents) = operation else {
                continue;
            };
            for target in RemoveTargets::new(contents.octets, contents.offset) {
                match target {
                    Ok(target) => self.remove(target),
                    Err(error) => {
                        self.malformed = Some(error);
                        return;
                    }
                }
            }
        }
    }

    fn remove(&mut self, target: RemoveTarget<'_>) {
        let RemoveTarget {
            offset,
            oid,
            is_prefix,
        } = target;
        self.touches_rows.get_or_insert(offset);
        if let Some(id) = RowId::from_prid(oid) {
            if !self.changes.remove(id, offset) && !is_prefix {
                self.warn(Prid(oid.to_oid()), RowFault::NotThere.class_error());
            }
            return;
        }
        let mut found = false;
        for class in Class::below(oid) {
            for id in self.changes.table().ids_of(class) {
                found |= self.changes.remove(id, offset);
            }
        }
        if !found && !is_prefix {
            self.warn(Prid(oid.to_oid()), RowFault::NotThere.class_error());
        }
    }

    fn install_all(&mut self, operations: &[Operation<'_>]) {
        for operation in operations {
            let Operation::Install(contents) = operation else {
                continue;
            };
            for binding in Bindings::new(contents.octets, contents.offset) {
                if self.is_hopeless() {
                    return;
                }
                match binding {
                    Ok(binding) => {
                        if let Err(error) = self.install(&binding) {
                            self.errors.push(error);
                        }
                    }
                    Err(error) => self.malformed = Some(error),
                }
            }
        }
    }

    fn install(&mut self, binding: &crate::provisioning::Binding<'_>) -> Result<(), RowError> {
        let fail = |fault| RowError {
            prid: Prid(binding.prid.to_oid()),
            offset: binding.offset,
            fault,
        };
        let id = identify(binding.prid).map_err(fail)?;
        if !id.class.access().is_installed() {
            return Err(fail(RowFault::WrongDirection {
                access: id.class.access(),
            }));
        }
        let decoded = Row::decode(binding)?;
        if decoded.extra_attributes > 0 {
            // The RFC wants a warning and has no number for it: what came is legal there and not supported here.
            let first = id.class.attributes().len() + 1;
            let sub_code = u16::try_from(first).unwrap_or(u16::MAX);
            self.warn(
                id.prid(),
                ClassError {
                    code: ClassErrorCode::ATTR_VALUE_SUP_LIMITED,
                    sub_code,
                },
            );
        }
        if let Row::FrameworkError(row) = decoded.row {
            if self.request_errors.len() < self.max_errors {
                self.request_errors.push(row);
            }
            return Ok(());
        }
        self.touches_rows.get_or_insert(binding.offset);
        self.installs_plan |= id.class == Class::Plan;
        if let Row::FeedbackAction(action) = &decoded.row {
            // Bounded by the octets of the message.
            self.feedback_actions.push(action.clone());
        }
        self.changes.put(decoded.row, binding.offset)
    }

    /// What the rows break together, and what the plan's version and digest say.
    fn check(&mut self, status_before: PlanStatus, fence: PlanVersion) {
        // Errors of single rows would bring others with them: a row that was refused is missed by those that refer to it.
        if self.malformed.is_some() || !self.errors.is_empty() {
            return;
        }
        self.errors = self.changes.violations();
        let Some(touched_at) = self.touches_rows else {
            return;
        };
        if let Err((error, reason)) = self.check_plan(status_before, fence) {
            let plan = self.changes.table().only::<Plan>();
            let instance = plan.map_or(InstanceId::FIRST, |plan| plan.instance);
            let id = RowId {
                class: Class::Plan,
                instance,
            };
            self.errors.push(RowError {
                prid: id.prid(),
                offset: self.changes.offset_of(id).unwrap_or(touched_at),
                fault: RowFault::Specific {
                    code: error.number(),
                    reason,
                },
            });
        }
    }

    fn check_plan(&self, status_before: PlanStatus, fence: PlanVersion) -> Result<(), (PlanError, String)> {
        let fail = |error, reason: String| Err((error, reason));
        let Some(plan) = self.changes.table().only::<Plan>().filter(|_| self.installs_plan) else {
            return fail(
                PlanError::PlanInconsistent,
                "a decision that changes rows without the pwrPlan row".into(),
            );
        };
        let version = plan.version();
        if version.term == 0 || version.generation == 0 {
            return fail(
                PlanError::PlanInconsistent,
                format!("version {version}, and 0 stands for no plan"),
            );
        }
        if version < fence {
            return fail(
                PlanError::StaleGeneration,
                format!("version {version} after {fence}"),
            );
        }
        let at_once = self.changes.table().all::<Stage>().find(|stage| stage.order == 0);
        if let (Cause::Standing, Some(stage)) = (plan.cause, at_once) {
            let reason = format!("a standing plan with pwrStage.{} of order 0", stage.instance);
            return fail(PlanError::PlanInconsistent, reason);
        }
        let brings_rows = self.changes.changed().any(|id| is_covered(id.class));
        let before = self.changes.before(RowId {
            class: Class::Plan,
            instance: plan.instance,
        });
        let same_version = matches!(before, Some(Row::Plan(before)) if before.version() == version);
        if brings_rows && same_version && status_before == PlanStatus::InForce {
            return fail(
                PlanError::PlanInconsistent,
                format!("rows changed, and the version stays {version}"),
            );
        }
        if !brings_rows && plan.digest != digest(self.changes.table().iter()) {
            return fail(
                PlanError::DigestMismatch,
                "the digest is not that of the rows held".into(),
            );
        }
        Ok(())
    }
}
