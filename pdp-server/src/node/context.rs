//! One context (request-state) of one PEP: what it reported, and what it was told.

use std::collections::VecDeque;

use bytes::Bytes;
use cops_codec::client_type::Row;
use cops_codec::client_type::framework::{DeviceId, PibIncarnation};
use cops_codec::client_type::power::{Arc, PlanVersion};
use cops_codec::client_type::store::{ReportedRows, RowLimits, build};
use cops_codec::message::Decision;
use cops_codec::provisioning::InstanceId;
use cops_codec::session::DecisionId;
use cops_codec::wire::{ClientHandle, Context as CopsContext};

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
}

impl Told {
    /// The generation that fails with it.
    pub(super) fn generation(self) -> Option<u64> {
        match self {
            Self::Nothing => None,
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
}

/// The base context of a PEP.
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
            has_site: false,
            pending: None,
        }
    }

    /// Decisions of the connection that is gone get no reports any more.
    pub(super) fn forget_unreported(&mut self) {
        self.unreported.clear();
        self.forget_told();
    }

    /// What the PEP holds is not known: the next plan is sent whole.
    pub(super) fn forget_told(&mut self) {
        self.incarnation = None;
        self.has_site = false;
    }

    /// The largest message that the PEP takes (`frwkDeviceIdMaxMsg`), within ours.
    fn max_message_octets(&self, ours: usize) -> usize {
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

    fn incarnation_instance(&self) -> InstanceId {
        self.reported
            .rows()
            .only::<PibIncarnation>()
            .map_or(InstanceId::FIRST, |row| row.instance)
    }

    /// The DECs that install a slice (exchanges E1 step 4, E3 step 2): removals first, then rows, each DEC with the
    /// plan's row; in force with the last.
    ///
    /// # Errors
    /// In words: a row does not fit the largest message that the PEP takes.
    pub(super) fn install(
        &mut self,
        site: &Site,
        assignment: &Assignment,
        ours: usize,
    ) -> Result<Vec<(Vec<Decision>, Told)>, String> {
        let max = self.max_message_octets(ours).saturating_sub(DEC_OVERHEAD_OCTETS);
        let incarnation = translate::incarnation(site, self.incarnation_instance(), assignment);
        let mut rows = site.rows(&assignment.slice);
        let removed: &[Arc] = if self.has_site {
            rows.retain(|row| row.class().is_in(Arc::Plans));
            &[Arc::Plans]
        } else {
            &[Arc::Policy, Arc::Plans]
        };
        let plan = translate::assignment(assignment);
        let parts = build::plan_parts(Some(&incarnation), &plan, &rows, max)
            .map_err(|_| format!("a row of the plan does not fit the {max} octets that the PEP takes"))?;
        let last = parts.len().saturating_sub(1);
        let mut decs = Vec::with_capacity(parts.len());
        for (index, part) in parts.into_iter().enumerate() {
            let mut decisions = Vec::new();
            if index == 0 {
                let contents = build::remove_arcs(removed.iter().copied());
                decisions.extend(
                    contents
                        .into_iter()
                        .map(|c| Decision::remove(CopsContext::CONFIGURATION, c)),
                );
            }
            decisions.extend(installs(part));
            let generation = assignment.generation;
            decs.push((
                decisions,
                if index == last {
                    Told::Plan { generation }
                } else {
                    Told::Nothing
                },
            ));
        }
        self.incarnation = Some(version(assignment));
        self.has_site = true;
        Ok(decs)
    }

    /// The DEC that tells the released stage (exchanges E3 step 5), and the incarnation where its version is new to the
    /// PEP (E8 step 3: a plan is claimed under a new term).
    pub(super) fn release(&mut self, site: &Site, assignment: &Assignment) -> (Vec<Decision>, Told) {
        let mut rows = Vec::new();
        if self.incarnation != Some(version(assignment)) {
            rows.push(Row::from(translate::incarnation(
                site,
                self.incarnation_instance(),
                assignment,
            )));
            self.incarnation = Some(version(assignment));
        }
        rows.push(Row::from(translate::assignment(assignment)));
        let generation = assignment.generation;
        (installs(build::contents(&rows)), Told::Release { generation })
    }
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
