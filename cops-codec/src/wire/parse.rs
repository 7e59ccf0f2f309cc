//! Where nom is used, and where it ends: nothing outside `wire` sees it.

use std::net::{Ipv4Addr, Ipv6Addr};

use nom::{IResult, Parser, bytes::complete::take, combinator::all_consuming, error::Error};

use super::{
    header::{ClientType, Header, OpCode, SOLICITED_FLAG, VERSION},
    object::{CNum, CType, ObjectId, RawObject},
};
use crate::error::{Fault, FaultKind};

pub(super) type Input<'a> = &'a [u8];
pub(super) type Parsed<'a, T> = IResult<Input<'a>, T, Error<Input<'a>>>;

pub(super) fn be_u8(input: Input<'_>) -> Parsed<'_, u8> {
    nom::number::complete::be_u8(input)
}

pub(super) fn be_u16(input: Input<'_>) -> Parsed<'_, u16> {
    nom::number::complete::be_u16(input)
}

pub(super) fn be_u32(input: Input<'_>) -> Parsed<'_, u32> {
    nom::number::complete::be_u32(input)
}

pub(super) fn ipv4(input: Input<'_>) -> Parsed<'_, Ipv4Addr> {
    be_u32.map(Ipv4Addr::from_bits).parse(input)
}

pub(super) fn ipv6(input: Input<'_>) -> Parsed<'_, Ipv6Addr> {
    nom::number::complete::be_u128
        .map(Ipv6Addr::from_bits)
        .parse(input)
}

pub(super) fn rest(input: Input<'_>) -> Parsed<'_, Input<'_>> {
    nom::combinator::rest(input)
}

/// Parses the whole contents of an object; an octet too few or too many is a fault.
pub(super) fn contents<'a, P>(object: &RawObject<'a>, parser: P) -> Result<P::Output, Fault>
where
    P: Parser<Input<'a>, Error = Error<Input<'a>>>,
{
    all_consuming(parser)
        .parse_complete(object.contents)
        .map(|(_, value)| value)
        .map_err(|_| {
            // The length is what is wrong: every combinator above takes any value of the right size.
            object.fault(FaultKind::ObjectSize {
                object: object.id,
                expected: object.id.stated_length().unwrap_or("another length"),
                found: object.stated_octets(),
            })
        })
}

/// Version and header from the first 8 octets, or `None` if there are fewer.
pub(crate) fn header(octets: &[u8]) -> Option<(u8, Header)> {
    let mut parser = (be_u8, be_u8, be_u16, be_u32).map(|(first, op_code, client_type, length)| {
        let header = Header {
            solicited: first & SOLICITED_FLAG != 0,
            op_code: OpCode(op_code),
            client_type: ClientType(client_type),
            length,
        };
        (first >> 4, header)
    });
    parser.parse_complete(octets).ok().map(|(_, parsed)| parsed)
}

/// The version alone, from the first octet.
pub(crate) fn version(first: u8) -> Result<(), Fault> {
    match first >> 4 {
        VERSION => Ok(()),
        found => Err(Fault::new(0, FaultKind::Version { found })),
    }
}

/// Stated length, object identity and contents of the object at the start of `octets`, with the octets that it takes on the
/// wire.
pub(super) fn object(octets: Input<'_>, offset: usize) -> Result<(RawObject<'_>, usize), Fault> {
    let mut head = (be_u16, be_u8, be_u8);
    let Ok((_, (length, c_num, c_type))) = head.parse_complete(octets) as Parsed<'_, _> else {
        return Err(Fault::new(
            offset,
            FaultKind::ObjectHeader { found: octets.len() },
        ));
    };
    let length = usize::from(length);
    if length < RawObject::HEADER_OCTETS {
        return Err(Fault::new(offset, FaultKind::ObjectLength { found: length }));
    }
    let id = ObjectId {
        c_num: CNum(c_num),
        c_type: CType(c_type),
    };
    let wire_octets = length.next_multiple_of(4);
    let overrun = FaultKind::ObjectOverrun {
        object: id,
        expected: octets.len(),
        found: wire_octets,
    };
    let mut body = (
        take(RawObject::HEADER_OCTETS),
        take(length - RawObject::HEADER_OCTETS),
    );
    match body.parse_complete(octets) as Parsed<'_, (Input<'_>, Input<'_>)> {
        Ok((_, (_, contents))) if wire_octets <= octets.len() => {
            Ok((RawObject { offset, id, contents }, wire_octets))
        }
        _ => Err(Fault::new(offset, overrun)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Within a message, whose length is a multiple of 4, neither can happen; the walk does not rely on it.
    #[test]
    fn refuses_what_only_an_unaligned_message_could_hold() {
        let header = object(&[0, 4, 1], 8).expect_err("three octets");
        assert_eq!(header, Fault::new(8, FaultKind::ObjectHeader { found: 3 }));
        let padding = object(&[0, 5, 1, 1, 0x2a], 8).expect_err("no padding");
        let id = ObjectId {
            c_num: CNum::HANDLE,
            c_type: CType(1),
        };
        assert_eq!(
            padding,
            Fault::new(
                8,
                FaultKind::ObjectOverrun {
                    object: id,
                    expected: 5,
                    found: 8
                }
            )
        );
    }
}
