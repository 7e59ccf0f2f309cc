//! A linear program in the making: variables with bounds, rows of "at most", one sum to be made largest.

use anyhow::{Context, Result};
use good_lp::{
    Constraint, Expression, ProblemVariables, Solution, SolverModel, Variable, clarabel, variable,
};

/// Share by which an optimum is raised, because the interior-point solver stops within 1e-8 of it, on either side.
const SOLVER_SLACK: f64 = 1e-6;

/// See the [module](self).
pub(super) struct Program {
    variables: ProblemVariables,
    rows: Vec<Constraint>,
    worth: Vec<(Variable, f64)>,
}

impl Program {
    pub(super) fn new() -> Self {
        Self {
            variables: ProblemVariables::new(),
            rows: Vec::new(),
            worth: Vec::new(),
        }
    }

    /// A variable from 0 to `most`.
    pub(super) fn upto(&mut self, most: f64) -> Variable {
        self.variables.add(variable().min(0.0).max(most))
    }

    /// A variable from 0.
    pub(super) fn any(&mut self) -> Variable {
        self.variables.add(variable().min(0.0))
    }

    /// What a unit of a variable adds to the sum.
    pub(super) fn worth(&mut self, of: Variable, worth: f64) {
        self.worth.push((of, worth));
    }

    /// The sum of the terms is at most `most`.
    pub(super) fn at_most(&mut self, terms: impl IntoIterator<Item = (Variable, f64)>, most: f64) {
        let sum = expression(terms);
        self.rows.push(sum.leq(most));
    }

    /// The sum of the terms is exactly `value`.
    pub(super) fn exactly(&mut self, terms: impl IntoIterator<Item = (Variable, f64)>, value: f64) {
        let sum = expression(terms);
        self.rows.push(sum.eq(value));
    }

    /// The largest sum, rounded up.
    pub(super) fn largest(self) -> Result<f64> {
        let worth = expression(self.worth);
        let mut model = self.variables.maximise(worth.clone()).using(clarabel);
        for row in self.rows {
            model.add_constraint(row);
        }
        let solution = model.solve().context("linear program")?;
        let sum: f64 = solution.eval(&worth);
        Ok(sum * (1.0 + SOLVER_SLACK))
    }
}

fn expression(terms: impl IntoIterator<Item = (Variable, f64)>) -> Expression {
    let mut sum = Expression::default();
    for (of, by) in terms {
        sum.add_mul(by, of);
    }
    sum
}
