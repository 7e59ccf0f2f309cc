//! Load on a PDP: tens of thousands of PEPs from a few processes, and what they measure.
//!
//! ```text
//!  Crew ── commands, figures (lines of JSON) ──> worker processes ── a task a PEP: socket, PepSession, rows ──> PDP
//!    └──── Trigger: a PEP that asks for a decision to all ──────────────────────────────────────────────────────^
//! ```
//!
//! Each PEP is [`peer`]'s: a real session of `cops-codec`, real rows of the power client-type, keep-alives and accounting
//! as the PDP asks for them. Some may be slow readers, some dead. Latencies go into HDR histograms. A process may have
//! 20,000 descriptors on usual machines, so that PEPs are divided among processes ([`crew`], [`worker`]).
//!
//! What a PDP costs apart from planning is measured on one with a second client-type ([`module`]), whose decisions need no
//! engine; against floors of the same octets without COPS ([`floor`]). [`mod@bench`] puts all that together.

pub mod bench;
pub mod crew;
pub mod floor;
pub mod machine;
pub mod module;
pub mod peer;
pub mod report;
pub mod rows;
mod stream;
pub mod trigger;
pub mod worker;

pub use crew::{Crew, Figures, Load};
