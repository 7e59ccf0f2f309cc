//! What touches the world: reserves, lines, activities and hosts, real and simulated.

pub mod plant_link;
pub mod plant_protocol;
pub mod plant_service;
