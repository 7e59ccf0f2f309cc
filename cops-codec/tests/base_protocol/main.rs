//! The base protocol (RFC 2748 2.1, 2.2, 3), octet by octet.
//!
//! Functions named `c_...` show the rule of that number in `docs/rfc2748-coverage.md`, `a_...` a reading of something that
//! the RFC leaves open.

// A helper of a test fails by panicking, as the test itself does.
#![allow(clippy::expect_used, clippy::panic)]

mod answers;
mod bounds;
mod framing;
mod grammar;
mod header;
mod numbers;
mod objects;
mod pairs;
mod pep_id;
mod properties;
mod support;
mod truncation;
mod vectors;
