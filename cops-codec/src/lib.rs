//! COPS (RFC 2748) and COPS-PR (RFC 3084) as data: messages, provisioning rows and sans-IO sessions of both roles.

pub mod client_type;
pub mod provisioning;
pub mod session;
