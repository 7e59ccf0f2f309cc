//! Hostile and broken peers against the real programs, one row a misbehaviour: the RFC's answer or a closed connection,
//! while well-behaved peers beside them notice nothing. And what wrong files get from each program.
//!
//! | module | attacks |
//! |---|---|
//! | `framing`, `objects`, `turns`, `rows` | the PDP, by tables |
//! | `floods` | the PDP, by quantity |
//! | `million` | the PDP, by generated messages |
//! | `agent`, `decisions` | the agent, by tables |
//! | `cluster` | a PDP with a cluster, which must ride through an interruption afterwards |
//! | `files` | both programs, by their files |

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod agent;
mod cluster;
mod decisions;
mod files;
mod floods;
mod framing;
mod million;
mod objects;
mod octets;
mod pdp;
mod rows;
mod script;
mod turns;

use std::collections::BTreeSet;

#[test]
fn every_misbehaviour_has_a_name_of_its_own_and_a_source() {
    let cases = [
        framing::cases(),
        objects::cases(),
        turns::cases(),
        rows::cases(),
        agent::cases(),
        decisions::cases(),
        floods::cases(),
        floods::unread(),
    ];
    let mut names = BTreeSet::new();
    for case in cases.iter().flatten() {
        println!("{} ({})", case.name, case.source);
        assert!(names.insert(case.name), "{} is there twice", case.name);
        assert!(!case.source.is_empty(), "{}", case.name);
    }
    assert!(names.len() >= 100, "{} misbehaviours", names.len());
}
