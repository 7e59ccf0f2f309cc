//! Upper bounds of what any plan can reach.
//!
//! Two kinds, each for two questions (how long the first-stopped set of the top class lives; how much weighted service
//! is to be expected): [`prototype`], the linear programs of the policy notes, and [`tight`], which also pay what no
//! plan can avoid.

mod packing;
mod program;
pub mod prototype;
pub mod tight;

use anyhow::Result;

use super::instance::Instance;
use super::outlook::Outlook;

/// Least idle draw of whole servers that can carry all of class 0, watts; 0 where there are too many servers to tell.
pub fn least_idle(instance: &Instance) -> f64 {
    packing::least_idle(instance)
}

/// The bounds of one instance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// Of the policy notes: seconds.
    pub survive: f64,
    /// Of the policy notes: weighted service.
    pub weighted: f64,
    /// Tightened: seconds.
    pub tight_survive: f64,
    /// Tightened: weighted service.
    pub tight_weighted: f64,
}

impl Bounds {
    /// With those of the policy notes known, and without the tightened one of the service.
    ///
    /// # Errors
    /// The solver finds no optimum.
    pub fn known(instance: &Instance, survive: f64, weighted: f64) -> Result<Self> {
        Ok(Self {
            survive,
            weighted,
            tight_survive: tight::survive(instance)?.min(survive),
            tight_weighted: f64::INFINITY,
        })
    }

    /// Solves four programs.
    ///
    /// # Errors
    /// The solver finds no optimum.
    pub fn of(instance: &Instance, outlook: &Outlook) -> Result<Self> {
        let survive = prototype::survive(instance)?;
        Ok(Self {
            survive,
            weighted: prototype::weighted(instance, outlook)?,
            // Both are bounds, so the lower one is.
            tight_survive: tight::survive(instance)?.min(survive),
            tight_weighted: tight::weighted(instance, outlook)?,
        })
    }
}
