//! Which readings are reported, and when (RFC 3483, RFC 3571).
//!
//! What the PDP wants stands in frwkFeedbackLink rows of the active context: each joins a selection with a class of
//! readings and says after how many intervals of the Accounting Timer they are reported, and whether only when they have
//! changed. frwkFeedbackAction rows suspend and resume this, or ask for readings at once. A PDP that installs no link and
//! yet gives an Accounting Timer is told whatever its pwrReadingSel rows select, each time.
//!
//! After a connection is lost, links report nothing until the PDP says `resume` (RFC 3483 section 10): whoever is at the
//! other end now may want something else.

use std::collections::BTreeMap;
use std::time::Duration;

use cops_codec::client_type::feedback::{
    FeedbackAction, FeedbackActionList, FeedbackLink, Indicator, LinkFlags,
};
use cops_codec::client_type::store::{RowTable, build};
use cops_codec::client_type::{Class, Row, RowId};
use cops_codec::provisioning::InstanceId;
use cops_codec::session::pep::{PepCommand, UnsolicitedReport};
use cops_codec::wire::{AccountingTimer, ClientHandle};

use super::context::ContextKey;
use super::{CLIENT_TYPE, Node, Now};
use crate::engine::{Inventory, Millis};
use crate::translate::millis32;
use crate::translate::readings::{self, Selection};

/// Turns of reserves that follow within this are told by the next report.
const TURN_INTERVAL: Duration = Duration::from_millis(100);

/// What is remembered of one link.
#[derive(Debug, Clone, Default)]
struct LinkState {
    /// Reports wait for `resume`.
    suspended: bool,
    /// Measuring is suspended too: what was measured last, and when.
    frozen: Option<(Millis, Vec<Row>)>,
    /// Intervals since the last report.
    intervals: u32,
    /// What was reported last, without ages.
    reported: Option<Vec<Row>>,
}

/// What is remembered of all links of the active context.
#[derive(Debug, Default)]
pub(super) struct Reporting {
    /// By the number of the link's row.
    links: BTreeMap<InstanceId, LinkState>,
    /// For a context without links.
    unlinked: LinkState,
    /// The Accounting Timer of the CAT.
    pub(super) timer: Option<AccountingTimer>,
    /// What the session was last asked for: anew with each decision, the first report would never be due.
    asked: Option<(ClientHandle, Duration)>,
}

impl Reporting {
    /// The rows of the active context changed, or another context became active, whose links are new.
    fn follow(&mut self, rows: Option<&RowTable>, is_other_context: bool) {
        if is_other_context {
            self.links.clear();
            self.unlinked = LinkState::default();
        }
        let Some(rows) = rows else {
            self.links.clear();
            return;
        };
        self.links
            .retain(|instance, _| rows.row::<FeedbackLink>(*instance).is_some());
        for link in rows.all::<FeedbackLink>() {
            self.links.entry(link.instance).or_default();
        }
    }

    /// The connection is lost: links wait for `resume`.
    pub(super) fn hold_back(&mut self) {
        self.asked = None;
        for state in self.links.values_mut() {
            state.suspended = true;
        }
    }

    /// Whether the PDP has suspended all reports, or has not resumed them.
    fn is_suspended(&self) -> bool {
        match self.links.is_empty() {
            true => self.unlinked.suspended,
            false => self.links.values().all(|state| state.suspended),
        }
    }

    /// An interval of the Accounting Timer has passed: what is reported now.
    fn interval(&mut self, rows: &RowTable, inventory: &Inventory, now: Millis) -> Vec<Row> {
        if self.links.is_empty() {
            if self.unlinked.suspended {
                return Vec::new();
            }
            return readings::rows(inventory, &Selection::new(rows), now);
        }
        let mut due = BTreeMap::new();
        for (instance, state) in &mut self.links {
            let Some(link) = rows.row::<FeedbackLink>(*instance) else {
                continue;
            };
            let flags = LinkFlags::from_octets(&link.flags);
            if !flags.periodic || state.suspended {
                continue;
            }
            state.intervals = state.intervals.saturating_add(1);
            if i64::from(state.intervals) < i64::from(link.interval) {
                continue;
            }
            let present = measured(link, state, rows, inventory, now);
            let without_ages = with_ages(&present, |_| 0);
            if flags.change_only && state.reported.as_ref() == Some(&without_ages) {
                continue;
            }
            state.intervals = 0;
            state.reported = Some(without_ages);
            due.extend(present.into_iter().map(|row| (row.id(), row)));
        }
        due.into_values().collect()
    }

    /// Carries a command out, and gives the readings that it asks for.
    fn command(
        &mut self,
        action: &FeedbackAction,
        rows: &RowTable,
        inventory: &Inventory,
        now: Millis,
    ) -> Vec<Row> {
        let is_meant = |instance: InstanceId| {
            !action.specific_pri
                || rows
                    .all::<FeedbackActionList>()
                    .any(|member| member.tag == action.list && member.ref_id.0 == instance)
        };
        let mut solicited = BTreeMap::new();
        if self.links.is_empty() && !action.specific_pri {
            match action.indicator {
                Indicator::SolicitReport => {
                    let present = readings::rows(inventory, &Selection::new(rows), now);
                    solicited.extend(present.into_iter().map(|row| (row.id(), row)));
                }
                Indicator::Resume => self.unlinked.suspended = false,
                Indicator::SuspendReports | Indicator::SuspendMonitoringAndReports => {
                    self.unlinked.suspended = true;
                }
            }
        }
        for (instance, state) in self.links.iter_mut().filter(|(instance, _)| is_meant(**instance)) {
            let Some(link) = rows.row::<FeedbackLink>(*instance) else {
                continue;
            };
            match action.indicator {
                Indicator::SuspendMonitoringAndReports => {
                    if state.frozen.is_none() {
                        state.frozen = Some((now, measured(link, state, rows, inventory, now)));
                    }
                    state.suspended = true;
                }
                Indicator::SuspendReports => state.suspended = true,
                Indicator::Resume => {
                    // What was not reported meanwhile is due with the next interval.
                    state.intervals = u32::MAX;
                    state.suspended = false;
                    state.frozen = None;
                }
                Indicator::SolicitReport => {
                    let present = measured(link, state, rows, inventory, now);
                    solicited.extend(present.into_iter().map(|row| (row.id(), row)));
                }
            }
        }
        solicited.into_values().collect()
    }

    /// Everything that is measured, for the last report of a context.
    fn last(&self, rows: &RowTable, inventory: &Inventory, now: Millis) -> Vec<Row> {
        if self.links.is_empty() {
            return readings::rows(inventory, &Selection::new(rows), now);
        }
        let mut all = BTreeMap::new();
        for (instance, state) in &self.links {
            if let Some(link) = rows.row::<FeedbackLink>(*instance) {
                let present = measured(link, state, rows, inventory, now);
                all.extend(present.into_iter().map(|row| (row.id(), row)));
            }
        }
        all.into_values().collect()
    }
}

/// What a link would report now.
fn measured(
    link: &FeedbackLink,
    state: &LinkState,
    rows: &RowTable,
    inventory: &Inventory,
    now: Millis,
) -> Vec<Row> {
    if let Some((at, frozen)) = &state.frozen {
        let passed = millis32(now.saturating_sub(*at));
        return with_ages(frozen, |age| age.saturating_add(passed));
    }
    let Some(class) = Class::from_entry(link.usage.as_ref()) else {
        return Vec::new();
    };
    let selection = RowId::from_prid(link.sel.as_oid()).and_then(|id| Selection::one(rows, id.instance));
    let Some(selection) = selection else {
        return Vec::new();
    };
    let mut present = readings::rows(inventory, &selection, now);
    present.retain(|row| row.class() == class);
    present
}

fn with_ages(rows: &[Row], age: impl Fn(u32) -> u32) -> Vec<Row> {
    rows.iter()
        .cloned()
        .map(|mut row| {
            match &mut row {
                Row::ReserveReading(reading) => reading.age_millis = age(reading.age_millis),
                Row::ServerReading(reading) => reading.age_millis = age(reading.age_millis),
                _ => {}
            }
            row
        })
        .collect()
}

impl Node {
    /// The active context, or its rows, may have changed.
    pub(super) fn follow_links(&mut self, before: Option<ContextKey>) {
        let active = self.contexts.active();
        let rows = active
            .and_then(|key| self.contexts.get(key))
            .map(|context| context.installed.rows());
        self.reporting.follow(rows, before != active);
    }

    /// Carries out commands about reports that came with a decision of the active context.
    pub(super) fn obey_feedback_actions(&mut self, now: Now, key: ContextKey, actions: &[FeedbackAction]) {
        if self.contexts.active() != Some(key) {
            // Nothing is measured for a context that is not active (RFC 3483 section 8).
            return;
        }
        for action in actions {
            let Some(context) = self.contexts.get(key) else {
                return;
            };
            let rows = context.installed.rows();
            let solicited = self
                .reporting
                .command(action, rows, self.engine.inventory(), now.engine);
            if !solicited.is_empty() {
                // Not periodic: the Accounting Timer does not hold it back, and 0 does not forbid it.
                self.report(
                    now,
                    key,
                    UnsolicitedReport::FinalAccounting,
                    build::contents(&solicited),
                );
            }
        }
    }

    /// Says so where the PDP's Accounting Timer takes the place of this agent's own reading period.
    pub(super) fn compare_reading_period(&mut self) {
        let own = self.config.reading_interval;
        let timer = self.reporting.timer.and_then(AccountingTimer::interval);
        if let Some(timer) = timer.filter(|timer| *timer < own) {
            self.warn(format!(
                "the PDP wants readings every {} s: that counts, and not the {} s of this agent's file",
                timer.as_secs_f64(),
                own.as_secs_f64()
            ));
        }
    }

    /// The active context is the one that is reported on, at the pace of the Accounting Timer or of this agent's file,
    /// whichever is the shorter; the session sends nothing sooner than the timer allows.
    pub(super) fn ask_for_accounting(&mut self, now: Now) {
        let active = self.contexts.active().unwrap_or(ContextKey::BASE);
        let has_links = !self.reporting.links.is_empty();
        // Links count in intervals of the timer; where there is none, the agent's own stands for it.
        let timer = self.reporting.timer.and_then(AccountingTimer::interval);
        let interval = match timer {
            Some(timer) if has_links => timer,
            // The PDP takes for stale what is three of its periods old, so that rarer readings would look like silence.
            Some(timer) => self.config.reading_interval.min(timer),
            None => self.config.reading_interval,
        };
        let Some(handle) = self
            .contexts
            .get(active)
            .and_then(|context| context.handle.clone())
        else {
            return;
        };
        let wanted = (handle, interval);
        if self.reporting.asked.as_ref() == Some(&wanted) {
            return;
        }
        let set = |handle: ClientHandle, interval| PepCommand::SetAccounting {
            client_type: CLIENT_TYPE,
            handle,
            interval,
        };
        if let Some((old, _)) = self.reporting.asked.take()
            && old != wanted.0
            && self.contexts.key_of(&old).is_some()
        {
            // A context that the session does not know any more has no reports to end.
            let _ = self.command(now, set(old, None));
        }
        match self.command(now, set(wanted.0.clone(), Some(interval))) {
            Ok(_) => self.reporting.asked = Some(wanted),
            Err(error) => self.warn(format!("no readings will be sent: {error}")),
        }
    }

    /// A periodic accounting report may go.
    pub(super) fn send_readings(&mut self, now: Now) {
        let key = self.contexts.active().unwrap_or(ContextKey::BASE);
        let Some(context) = self.contexts.get(key) else {
            return;
        };
        let rows = context.installed.rows();
        let due = self.reporting.interval(rows, self.engine.inventory(), now.engine);
        if !due.is_empty() {
            self.report(
                now,
                key,
                UnsolicitedReport::PeriodicAccounting,
                build::contents(&due),
            );
        }
    }

    /// A reserve that gave is charged now, or the other way round: its charge at the turn is told at once, since two readings
    /// on either side of it show but the difference of what was given and taken. No periodic report, which the Accounting
    /// Timer would hold back; nor is it sent where reports are suspended.
    pub(super) fn send_turn(&mut self, now: Now) {
        let due = self
            .turned_at
            .is_none_or(|at| now.session.since(at) >= TURN_INTERVAL);
        let key = self.contexts.active().unwrap_or(ContextKey::BASE);
        let Some(context) = self.contexts.get(key).filter(|_| due) else {
            return;
        };
        if self.reporting.is_suspended() {
            return;
        }
        let rows = context.installed.rows();
        let present = self.reporting.last(rows, self.engine.inventory(), now.engine);
        if !present.is_empty() {
            self.turned_at = Some(now.session);
            let contents = build::contents(&present);
            self.report(now, key, UnsolicitedReport::FinalAccounting, contents);
        }
    }

    /// The last readings of a context that is deactivated or deleted (RFC 3483 sections 8 and 9).
    pub(super) fn send_last_readings(&mut self, now: Now, key: ContextKey, rows: &RowTable) {
        let last = self.reporting.last(rows, self.engine.inventory(), now.engine);
        if !last.is_empty() {
            self.report(
                now,
                key,
                UnsolicitedReport::FinalAccounting,
                build::contents(&last),
            );
        }
    }
}
