//! One context (request-state) of one PEP: what it reported, and what it was told.

use std::collections::VecDeque;

use bytes::Bytes;
use cops_codec::client_type::feedback;
use cops_codec::client_type::framework::{DeviceId, PibIncarnation};
use cops_codec::client_type::power::{Arc, Held, Plan, PlanVersion};
use cops_codec::client_type::store::{ReportedRows, RowLimits, build};
use cops_codec::client_type::{Class, Digest, Row};
use cops_codec::message::Decision;
use cops_codec::provisioning::InstanceId;
use cops_codec::session::DecisionId;
use cops_codec::wire::{ClientHandle, CommandCode, Context as CopsContext, DecisionFlagBits, DecisionFlags};

use super::contingency::Contingency;
use crate::engine::Assignment;
use crate::translate::{self, Site};

/// What one DEC takes beside its decisions: header, handle of a usual length, room for an Integrity object, and a
/// removal.
const DEC_OVERHEAD_OCTETS: usize = 256;

/// What a DEC told the PEP, until its RPT is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// Nothing that the engine waits for: NULL, error rows, or all but the last part of a plan.
    Nothing,
    /// The last part of a plan of this generation: with its success the plan is in force.
    Plan {
        /// The generation.
        generation: u64,
    },
    /// A release within this generation.
    Release {
        /// The generation.
        generation: u64,
    },
    /// That a context for this contingency is to be opened.
    Open(Contingency),
    /// The last part of a contingency's plan of this generation, or a claim of it.
    Held(Contingency, u64),
    /// That a contingency with the plan of this generation is active.
    Active(Contingency, u64),
}

impl Told {
    /// The generation that fails with it.
    pub(super) fn generation(self) -> Option<u64> {
        match self {
            Self::Nothing | Self::Open(_) | Self::Held(..) | Self::Active(..) => None,
            Self::Plan { generation } | Self::Release { generation } => Some(generation),
        }
    }
}

/// What waits to be told, because the session could not take it.
#[derive(Debug, Clone)]
pub(super) enum Pending {
    /// All of a slice.
    Install(Assignment),
    /// The released stage.
    Release(Assignment),
    /// A contingency's slice.
    Keep(Contingency, Assignment),
    /// A new term for the slice that a contingency holds.
    Claim(Contingency, Assignment),
    /// That the contingency is active.
    Activate(Contingency, Assignment),
    /// That the context goes.
    Delete,
}

/// Whether a decision makes its context active (RFC 3318 section 2.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Activity {
    /// It does.
    Activates,
    /// It leaves the context as it is; a new one is inactive.
    Leaves,
}

/// One context of a PEP.
#[derive(Debug)]
pub(super) struct Context {
    /// Its handle.
    pub(super) handle: ClientHandle,
    /// What the PEP reports in it.
    pub(super) reported: ReportedRows,
    /// Decisions whose reports are due, oldest first.
    pub(super) unreported: VecDeque<(DecisionId, Told)>,
    /// The version in the incarnation row that the PEP was last sent.
    incarnation: Option<PlanVersion>,
    /// Generation of the slice that the PEP was last sent whole.
    sent: Option<u64>,
    /// The PEP has the site's rows (arc 3), so that a new plan replaces arc 4 alone.
    has_site: bool,
    /// What could not be sent yet; a later one replaces it.
    pub(super) pending: Option<Pending>,
}

impl Context {
    pub(super) fn new(handle: ClientHandle, limits: RowLimits) -> Self {
        Self {
            // The handle lies in the frame of the REQ; kept for long, it must not keep the frame.
            handle: handle.detached(),
            reported: ReportedRows::new(limits),
            unreported: VecDeque::new(),
            incarnation: None,
            sent: None,
            has_site: false,
            pending: None,
        }
    }

    /// What the PEP holds is not known: the next plan is sent whole.
    pub(super) fn forget_told(&mut self) {
        self.incarnation = None;
        self.sent = None;
        self.has_site = false;
    }

    /// The largest message that the PEP takes (`frwkDeviceIdMaxMsg`), within ours.
    pub(super) fn max_message_octets(&self, ours: usize) -> usize {
        let theirs = self
            .reported
            .rows()
            .only::<DeviceId>()
            .map_or(0, |row| row.max_msg.get());
        match usize::try_from(theirs) {
            Ok(theirs) if theirs > 0 => theirs.min(ours),
            _ => ours,
        }
    }

    /// Whether the incarnation row that the PEP was last sent has this version.
    pub(super) fn is_told(&self, assignment: &Assignment) -> bool {
        self.incarnation == Some(version(assignment))
    }

    /// Whether the PEP was sent no incarnation row on this connection.
    pub(super) fn is_untold(&self) -> bool {
        self.incarnation.is_none()
    }

    /// Contexts that the PEP can hold, if it says so.
    pub(super) fn max_contexts(&self) -> Option<usize> {
        let told = self.reported.rows().only::<DeviceId>()?.max_contexts.get();
        Some(usize::try_from(told).unwrap_or(usize::MAX))
    }

    /// Whether it reports more than what it holds: the base context does.
    pub(super) fn has_facts(&self) -> bool {
        let rows = self.reported.rows();
        rows.iter()
            .any(|row| row.class().is_in(Arc::Facts) && row.class() != Class::Held)
    }

    /// Whether the PEP says that it is the active one.
    pub(super) fn is_active(&self) -> bool {
        let incarnation = self.reported.rows().only::<PibIncarnation>();
        incarnation.is_some_and(|row| row.active)
    }

    /// Whether the PEP says that it holds this very plan, under whatever term.
    pub(super) fn reports(&self, assignment: &Assignment) -> bool {
        let held = self.reported.rows().only::<Held>();
        held.is_some_and(|held| {
            held.generation == assignment.generation && held.digest == Some(Digest(assignment.digest))
        })
    }

    /// Whether it was sent this version, or says that it holds this plan.
    pub(super) fn was_sent(&self, assignment: &Assignment) -> bool {
        self.sent == Some(assignment.generation) || self.reports(assignment)
    }

    fn incarnation_instance(&self) -> InstanceId {
        self.reported
            .rows()
            .only::<PibIncarnation>()
            .map_or(InstanceId::FIRST, |row| row.instance)
    }

    /// The DECs that install a slice (exchanges E1 step 4, E3 step 2, E4 step 4): removals first, then rows, each DEC with
    /// the plan's row; in force with the last. `told` is what the last of them tells.
    ///
    /// A context that is to be left as it is gets its incarnation row once, and no more (E4: a refresh leaves it alone).
    ///
    /// # Errors
    /// In words: a row does not fit the largest message that the PEP takes.
    pub(super) fn install(
        &mut self,
        site: &Site,
        assignment: &Assignment,
        plan: &Plan,
        ours: usize,
        activity: Activity,
        told: Told,
    ) -> Result<Vec<(Vec<Decision>, Told)>, String> {
        let max = self.max_message_octets(ours).saturating_sub(DEC_OVERHEAD_OCTETS);
        let incarnation = match activity {
            Activity::Activates => Some(self.incarnation_row(site, assignment, true)),
            Activity::Leaves if self.incarnation.is_none() => {
                Some(self.incarnation_row(site, assignment, self.is_active()))
            }
            Activity::Leaves => None,
        };
        let mut rows = site.rows(&assignment.slice);
        let mut removed = vec![Arc::Plans.oid()];
        if self.has_site {
            rows.retain(|row| row.class().is_in(Arc::Plans));
        } else {
            removed.insert(0, Arc::Policy.oid());
            removed.insert(0, feedback::prefix());
            rows.extend(site.feedback_rows());
        }
        let parts = build::plan_parts(incarnation.as_ref(), plan, &rows, max)
            .map_err(|_| format!("a row of the plan does not fit the {max} octets that the PEP takes"))?;
        let last = parts.len().saturating_sub(1);
        let mut decs = Vec::with_capacity(parts.len());
        for (index, part) in parts.into_iter().enumerate() {
            let mut decisions = Vec::new();
            if index == 0 {
                let contents = build::remove(removed.drain(..), []);
                decisions.extend(
                    contents
                        .into_iter()
                        .map(|c| Decision::remove(CopsContext::CONFIGURATION, c)),
                );
            }
            decisions.extend(installs(part));
            decs.push((decisions, if index == last { told } else { Told::Nothing }));
        }
        self.incarnation = Some(version(assignment));
        self.sent = Some(assignment.generation);
        self.has_site = true;
        Ok(decs)
    }

    /// The DEC that tells the released stage (exchanges E3 step 5), and the incarnation where its version is new to the
    /// PEP (E8 step 3: a plan is claimed under a new term) or where it makes the context active (E5 step 1).
    ///
    /// A PEP that was away reports again when it is told to (RFC 3483 section 10), which the incarnation's first DEC does.
    pub(super) fn release(
        &mut self,
        site: &Site,
        assignment: &Assignment,
        plan: &Plan,
        activity: Activity,
        told: Told,
    ) -> (Vec<Decision>, Told) {
        let mut rows = Vec::new();
        let is_new = self.incarnation != Some(version(assignment));
        if is_new || activity == Activity::Activates {
            let active = activity == Activity::Activates || self.is_active();
            rows.push(Row::from(self.incarnation_row(site, assignment, active)));
            self.incarnation = Some(version(assignment));
        }
        rows.push(Row::from(plan.clone()));
        if is_new {
            rows.push(translate::resume_reports());
        }
        self.sent = Some(assignment.generation);
        (installs(build::contents(&rows)), told)
    }

    fn incarnation_row(&self, site: &Site, assignment: &Assignment, active: bool) -> PibIncarnation {
        PibIncarnation {
            active,
            ..translate::incarnation(site, self.incarnation_instance(), assignment)
        }
    }
}

/// The DEC that deletes a context (E10).
pub(super) fn deletion() -> Vec<Decision> {
    vec![Decision::new(
        CopsContext::CONFIGURATION,
        DecisionFlags {
            command: CommandCode::REMOVE,
            flags: DecisionFlagBits::REQUEST_STATE,
        },
    )]
}

fn installs(contents: Vec<Bytes>) -> Vec<Decision> {
    contents
        .into_iter()
        .map(|c| Decision::install(CopsContext::CONFIGURATION, c))
        .collect()
}

fn version(assignment: &Assignment) -> PlanVersion {
    PlanVersion {
        term: assignment.term,
        generation: assignment.generation,
    }
}
