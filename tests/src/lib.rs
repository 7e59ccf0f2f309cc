//! The system as a whole: what its end-to-end tests and the demo share.

pub mod browser;
pub mod capture;
pub mod cluster;
pub mod cluster_run;
pub mod demo;
pub mod harness;
pub mod load;
pub mod nut;
pub mod pdu;
pub mod process;
pub mod tshark;
pub mod work;
