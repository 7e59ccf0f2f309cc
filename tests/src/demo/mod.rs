//! The demo: one plant, one PDP and ten agents ride through a power interruption.

pub mod plot;
