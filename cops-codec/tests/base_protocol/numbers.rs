//! Numbers keep what they do not know.

use cops_codec::wire::{
    CNum, CommandCode, DecisionFlagBits, ErrorCode, OpCode, RType, ReasonCode, ReportType, SequenceNumber,
};

#[test]
fn known_numbers_are_those_of_the_rfc() {
    assert!(OpCode::KNOWN.iter().map(|number| number.0).eq(1..=10), "C-2.1-06");
    assert!(CNum::KNOWN.iter().map(|number| number.0).eq(1..=16), "C-2.2-07");
    assert!(
        ReasonCode::KNOWN.iter().map(|number| number.0).eq(1..=13),
        "C-2.2.5-04 to C-2.2.5-16"
    );
    assert!(
        CommandCode::KNOWN.iter().map(|number| number.0).eq(0..=2),
        "C-2.2.6-03"
    );
    assert!(
        ErrorCode::KNOWN.iter().map(|number| number.0).eq(1..=15),
        "C-2.2.8-02 to C-2.2.8-16"
    );
    assert!(
        ReportType::KNOWN.iter().map(|number| number.0).eq(1..=3),
        "C-2.2.12-02"
    );
}

#[test]
fn names_are_the_abbreviations_that_everybody_uses() {
    let names: Vec<_> = OpCode::KNOWN.iter().map(ToString::to_string).collect();
    assert_eq!(
        names,
        ["REQ", "DEC", "RPT", "DRQ", "SSQ", "OPN", "CAT", "CC", "KA", "SSC"]
    );
    assert_eq!(OpCode(11).to_string(), "OpCode 11");
    assert_eq!(
        format!("{:?} {:?}", ErrorCode(3), ErrorCode(99)),
        "ErrorCode(3 bad message format) ErrorCode(99)"
    );
}

#[test]
fn bit_sets_name_their_bits_and_show_the_others() {
    assert_eq!(
        (RType::INCOMING_MESSAGE | RType::CONFIGURATION).to_string(),
        "incoming+configuration"
    );
    assert_eq!(RType(0x8002).to_string(), "resource+0x8000");
    assert_eq!(DecisionFlagBits::NONE.to_string(), "none");
    assert!(RType(7).contains(RType::OUTGOING_MESSAGE) && !RType(7).contains(RType::CONFIGURATION));
    assert_eq!(RType(9) & RType(12), RType::CONFIGURATION);
}

/// C-2.2.16-09, the arithmetic.
#[test]
fn c_2_2_16_09_after_the_last_sequence_number_comes_0() {
    assert_eq!(SequenceNumber(0xffff_fffe).next(), SequenceNumber(0xffff_ffff));
    assert_eq!(SequenceNumber(0xffff_ffff).next(), SequenceNumber(0));
}
