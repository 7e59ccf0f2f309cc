//! Random programs at both ends, random delivery, random time, and strangers' octets: whatever happens, the models in
//! `views` accept what is sent, bounds hold, and after everything was answered nothing is left open.

use std::collections::BTreeSet;

use cops_codec::wire::{ClientType, ErrorCode};
use cops_codec::{Frame, Limits};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::frames::*;
use crate::pair::{CT, null};
use crate::world::{Operation, World};

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    proptest::collection::vec((0_u8..40, any::<u8>(), any::<u8>()), 1..400)
}

/// Well-formed messages of either end, for handles that exist and that do not.
fn strange_message(number: u8) -> Received {
    let handle = if number.is_multiple_of(2) { h() } else { x() };
    match number / 2 % 16 {
        0 => open(CT, None),
        1 => accept(CT),
        2 => close(CT, ErrorCode::UNSPECIFIED),
        3 => keep_alive(),
        4 => request(handle),
        5 => decision(handle, true, null()),
        6 => decision(handle, false, null()),
        7 => decision(handle, true, refused()),
        8 => report(handle, true),
        9 => report(handle, false),
        10 => delete(handle),
        11 => synchronize(None),
        12 => synchronize(Some(handle)),
        13 => complete(None),
        14 => complete(Some(handle)),
        _ => open(ClientType(9), None),
    }
}

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 512,
        // The failing operations are printed; no file is written.
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn two_honest_ends_agree(operations in operations()) {
        let mut world = World::new();
        for operation in operations {
            world.step(operation);
        }
        world.settle();
        world.assert_settled();
    }

    #[test]
    fn a_stranger_cannot_break_an_end(
        operations in operations(),
        strange in proptest::collection::vec((any::<u8>(), any::<bool>(), any::<proptest::sample::Index>(), any::<u8>()), 1..40),
    ) {
        let mut world = World::new();
        let every = operations.len().div_ceil(strange.len());
        let mut strange = strange.into_iter();
        for (place, operation) in operations.into_iter().enumerate() {
            world.step(operation);
            if place % every == 0 && let Some((number, at_pdp, octet, value)) = strange.next() {
                let frame = strange_message(number).unwrap();
                world.disturb(frame.clone(), at_pdp);
                // And with an octet changed behind the header's version and length.
                let mut octets = frame.to_vec();
                let place = octet.index(octets.len());
                if place != 0 && !(4..8).contains(&place) {
                    octets[place] = value;
                    let frame = Frame::new(octets.into(), &Limits::default()).unwrap();
                    world.disturb(frame, at_pdp);
                }
            }
        }
        world.settle();
    }
}

/// The properties above would hold of sessions that do nothing. The same operations, from a fixed seed, get everywhere.
#[test]
fn the_operations_get_everywhere() {
    let mut runner = TestRunner::deterministic();
    let mut seen = BTreeSet::new();
    for _ in 0..512 {
        let mut world = World::new();
        for operation in operations().new_tree(&mut runner).unwrap().current() {
            world.step(operation);
        }
        world.settle();
        seen.append(&mut world.seen);
    }
    let expected = [
        "PDP \"resumed\"",
        "PDP \"synchronizing\"",
        "PDP ClientClosed",
        "PDP Closed",
        "PDP OpenRequested",
        "PDP Report",
        "PDP Request",
        "PDP RequestRefused",
        "PDP StateDeleted",
        "PDP SynchronizationOverdue",
        "PDP Synchronized",
        "PEP AccountingDue",
        "PEP ClientAccepted",
        "PEP ClientClosed",
        "PEP Closed",
        "PEP Decision",
        "PEP RequestReady",
        "PEP RequestRefused",
        "PEP RequestTimedOut",
        "PEP StateDeleted",
        "PEP SynchronizeRequested",
        "PEP Synchronized",
    ];
    let missing: Vec<_> = expected.iter().filter(|kind| !seen.contains(**kind)).collect();
    assert!(missing.is_empty(), "never came: {missing:?}");
}
