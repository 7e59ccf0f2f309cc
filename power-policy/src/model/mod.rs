//! The cluster as the planner sees it: one immutable [`Snapshot`] a planning call.
//!
//! Units stand at the end of each name; energies are millijoules, powers milliwatts, times milliseconds.
//! Everything is an integer, so that the same snapshot gives the same plan on any machine.

mod activity;
mod line;
mod name;
mod policy;
mod reserve;
mod server;
mod set;
mod snapshot;

pub use activity::{Activity, ActivityId, ActivityState};
pub use line::{Changeover, Joined, Line, LineId, LineMode, LineState};
pub use name::{MAX_NAME_OCTETS, Name, NameError};
pub use policy::{Mode, PowerPolicy};
pub use reserve::{Chemistry, FigureSource, Reserve, ReserveId, ReserveState};
pub use server::{Inlet, Powered, Server, ServerId};
pub use set::{ActivitySet, Priority, SetId};
pub use snapshot::{Cause, Domain, DomainId, Mains, Outage, Phase, Scope, Snapshot, SnapshotError};
