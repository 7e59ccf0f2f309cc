//! Who may say what. Every row that a PEP reports about something that others depend on is weighed here.
//!
//! | row | whose word counts |
//! |---|---|
//! | `pwrHeld` | everybody's, up to what a PDP can have made ([`is_believable`]) |

use super::facts::Held;
use crate::limits::{MAX_BELIEVED_GENERATION, MAX_BELIEVED_TERM};

/// Whether any PDP can have made the plan that a PEP says it holds. Beyond it nothing is raised: a term and a generation
/// only ever grow, they are in the journal and in the files of all agents, and the room above them is all there is.
pub(super) fn is_believable(held: &Held) -> bool {
    held.term <= MAX_BELIEVED_TERM && held.generation <= MAX_BELIEVED_GENERATION
}
