//! The plan in force, as an engine reads it.

use super::table::RowTable;
use crate::client_type::power::{Action, Divert, Grouping, Host, Intake, Plan, ReadingSel, Set, Stage};
use crate::provisioning::InstanceId;

/// A plan that may be acted upon, with the rows that belong to it.
#[derive(Debug, Clone, Copy)]
pub struct InForce<'a> {
    plan: &'a Plan,
    rows: &'a RowTable,
}

impl<'a> InForce<'a> {
    pub(super) fn new(plan: &'a Plan, rows: &'a RowTable) -> Self {
        Self { plan, rows }
    }

    /// The plan's own row.
    pub fn plan(&self) -> &'a Plan {
        self.plan
    }

    /// Its stages, by order.
    pub fn stages(&self) -> Vec<&'a Stage> {
        let mut stages: Vec<&Stage> = self.rows.all().collect();
        stages.sort_by_key(|stage| stage.order);
        stages
    }

    /// Whether the stage is released by the PDP.
    pub fn is_released(&self, stage: &Stage) -> bool {
        stage.order <= self.plan.released_stage
    }

    /// What is done with activities in a stage, by number.
    pub fn actions(&self, stage: InstanceId) -> impl Iterator<Item = &'a Action> {
        self.rows.all::<Action>().filter(move |row| row.stage.0 == stage)
    }

    /// Which reserves are given to which servers in a stage, by number.
    pub fn diverts(&self, stage: InstanceId) -> impl Iterator<Item = &'a Divert> {
        self.rows.all::<Divert>().filter(move |row| row.stage.0 == stage)
    }

    /// What servers get in a stage, by number.
    pub fn intakes(&self, stage: InstanceId) -> impl Iterator<Item = &'a Intake> {
        self.rows.all::<Intake>().filter(move |row| row.stage.0 == stage)
    }

    /// What servers are brought to in a stage, by number.
    pub fn hosts(&self, stage: InstanceId) -> impl Iterator<Item = &'a Host> {
        self.rows.all::<Host>().filter(move |row| row.stage.0 == stage)
    }

    /// The activity sets, by number.
    pub fn sets(&self) -> impl Iterator<Item = &'a Set> {
        self.rows.all()
    }

    /// The grouping rules, in the order in which they are tried.
    pub fn groupings(&self) -> Vec<&'a Grouping> {
        let mut groupings: Vec<&Grouping> = self.rows.all().collect();
        groupings.sort_by_key(|grouping| grouping.order);
        groupings
    }

    /// The set that a rule gives. Always there: references are checked when rows are installed.
    pub fn set_of(&self, grouping: &Grouping) -> Option<&'a Set> {
        self.rows.row(grouping.set.0)
    }

    /// What is to be read, by number.
    pub fn reading_selections(&self) -> impl Iterator<Item = &'a ReadingSel> {
        self.rows.all()
    }
}
