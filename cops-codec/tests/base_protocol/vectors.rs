//! The pair list, both ways.

use std::collections::BTreeSet;

use cops_codec::wire::OpCode;

use crate::{
    pairs,
    support::{decode, encode, show},
};

/// Both ways for each: C-2.1-01 (the header of each op code), C-2.1-06 (all ten), C-3.1-01, C-3.2-01, C-3.3-01, C-3.4-01,
/// C-3.5-01, C-3.6-01, C-3.7-01, C-3.8-01, C-3.9-01, C-3.10-01 (least and most of each message).
#[test]
fn every_pair_decodes_and_encodes() {
    for pair in pairs::all() {
        let message = decode(pair.octets.clone()).unwrap_or_else(|error| panic!("{}: {error}", pair.name));
        assert_eq!(message, pair.message, "{}", pair.name);
        assert_eq!(show(&encode(&pair.message)), show(&pair.octets), "{}", pair.name);
    }
}

#[test]
fn c_2_1_06_the_pairs_hold_all_ten_op_codes() {
    let seen: BTreeSet<OpCode> = pairs::all().iter().map(|pair| pair.message.op_code()).collect();
    assert!(seen.iter().eq(OpCode::KNOWN), "{seen:?}");
}
