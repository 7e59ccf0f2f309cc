//! What the agent cannot take of a decision, as a Failure report says it (E7).

use cops_codec::client_type::feedback::{FeedbackLink, LinkFlags};
use cops_codec::client_type::framework::PibIncarnation;
use cops_codec::client_type::power::{
    ActionError, DivertError, Grouping, HostError, IntakeError, PatternError, ReadingKind, ReadingSel,
};
use cops_codec::client_type::store::RowTable;
use cops_codec::client_type::{Class, Row, RowId};
use cops_codec::provisioning::{ClassError, ClassErrorCode, Oid, Prid, Report, ReportedError};
use power_policy::grouping::Glob;

use super::facts::row_of;
use crate::engine::{InstallFault, StepClass, StepFault, StepId};

/// The report of rows that the engine refused.
pub fn install_faults(faults: &[InstallFault], max_errors: usize) -> Report {
    let errors = faults
        .iter()
        .take(max_errors.max(1))
        .map(|fault| told(row_of(fault.step).prid(), class_error(*fault)))
        .collect();
    Report { global: None, errors }
}

/// The INSTALL-ERRORS number of a fault; each class has its own.
fn class_error(fault: InstallFault) -> ClassError {
    match (fault.step.class, fault.fault) {
        (StepClass::Action, StepFault::NotManaged) => ActionError::NotManaged.class_error(),
        (StepClass::Action, StepFault::Denied) => ActionError::Denied.class_error(),
        (StepClass::Action, _) => ActionError::UnknownActivity.class_error(),
        (StepClass::Divert, StepFault::NotCustodian) => DivertError::NotCustodian.class_error(),
        (StepClass::Divert, StepFault::OverLimit) => DivertError::OverLimit.class_error(),
        (StepClass::Divert, _) => DivertError::UnknownLine.class_error(),
        (StepClass::Intake, _) => IntakeError::UnknownServer.class_error(),
        (StepClass::Host, StepFault::Denied) => HostError::Denied.class_error(),
        (StepClass::Host, _) => HostError::UnknownServer.class_error(),
    }
}

/// Patterns that are no globs, as a report; `None` if all are.
pub fn pattern_faults(rows: &RowTable, max_errors: usize) -> Option<Report> {
    let bad = |pattern: &str| Glob::new(pattern).is_err();
    let groupings = rows.all::<Grouping>().filter(|row| bad(row.pattern.as_str()));
    let selections = rows.all::<ReadingSel>().filter(|row| bad(row.pattern.as_str()));
    let errors: Vec<ReportedError> = groupings
        .map(|row| RowId {
            class: Class::Grouping,
            instance: row.instance,
        })
        .chain(selections.map(|row| RowId {
            class: Class::ReadingSel,
            instance: row.instance,
        }))
        .take(max_errors.max(1))
        .map(|id| told(id.prid(), PatternError::BadPattern.class_error()))
        .collect();
    (!errors.is_empty()).then_some(Report { global: None, errors })
}

/// What is legal and not supported here, as a report; `None` if there is nothing of it: a context outside the set of
/// configuration contexts, links that name no selection or another kind of reading, thresholds.
pub fn support_faults(rows: &RowTable, max_errors: usize) -> Option<Report> {
    let mut errors = Vec::new();
    let mut fail = |id: RowId, code: ClassErrorCode, attribute: u32| {
        let sub_code = u16::try_from(attribute).unwrap_or(u16::MAX);
        errors.push(told(id.prid(), ClassError { code, sub_code }));
    };
    for row in rows.all::<PibIncarnation>().filter(|row| !row.in_ctxt_set) {
        let id = Row::from(row.clone()).id();
        // An outsourcing context asks about single events; there are none here.
        fail(
            id,
            ClassErrorCode::ATTR_ENUM_SUP_LIMITED,
            PibIncarnation::IN_CTXT_SET,
        );
    }
    for link in rows.all::<FeedbackLink>() {
        let id = Row::from(link.clone()).id();
        let selection = RowId::from_prid(link.sel.as_oid())
            .filter(|sel| sel.class == Class::ReadingSel)
            .and_then(|sel| rows.row::<ReadingSel>(sel.instance));
        match selection.map(|row| row.kind) {
            None => fail(id, ClassErrorCode::ATTR_REFERENCE_UNKNOWN, FeedbackLink::SEL),
            Some(kind) => {
                let usage = match kind {
                    ReadingKind::Reserve => Class::ReserveReading,
                    ReadingKind::Server => Class::ServerReading,
                };
                if link.usage != usage.entry() {
                    fail(id, ClassErrorCode::ATTR_VALUE_SUP_LIMITED, FeedbackLink::USAGE);
                }
            }
        }
        if link.interval < 1 {
            fail(id, ClassErrorCode::ATTR_VALUE_INVALID, FeedbackLink::INTERVAL);
        }
        if link.threshold.0 != Oid::zero() {
            fail(
                id,
                ClassErrorCode::ATTR_VALUE_SUP_LIMITED,
                FeedbackLink::THRESHOLD,
            );
        }
        if LinkFlags::from_octets(&link.flags).threshold {
            fail(id, ClassErrorCode::ATTR_VALUE_SUP_LIMITED, FeedbackLink::FLAGS);
        }
    }
    errors.truncate(max_errors.max(1));
    (!errors.is_empty()).then_some(Report { global: None, errors })
}

/// The report of a step that failed after its rows were installed (RFC 3084 section 3.3).
///
/// None of the RFC's codes says "it was installed and could not be carried out"; priInstanceInvalid, "as things are", is
/// the nearest. The words are in the result row.
pub fn step_failed(step: StepId) -> Report {
    let error = ClassErrorCode::PRI_INSTANCE_INVALID.into();
    Report {
        global: None,
        errors: vec![told(row_of(step).prid(), error)],
    }
}

fn told(prid: Prid, error: ClassError) -> ReportedError {
    ReportedError {
        prid,
        error,
        details: Vec::new(),
    }
}
