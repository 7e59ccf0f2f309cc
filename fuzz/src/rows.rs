//! Rows from an input: made from the table of attributes, not by the codec of rows, and now and then wrong.

use cops_codec::{
    client_type::{AttributeInfo, Class, RowId, Syntax},
    provisioning::{InstanceId, Oid, OidRef, ber::Value, object},
};

use crate::Input;

/// Octets that say how wrong something is: most say that it is right.
const WRONG: u8 = 0xf0;

/// PRID and EPD of a row of one of these classes. Numbers and names are few, so that rows meet.
pub(crate) fn row(input: &mut Input<'_>, classes: &[Class], out: &mut Vec<u8>) {
    let Some(class) = input.choice(classes).copied() else {
        return;
    };
    let id = RowId {
        class,
        instance: instance(input),
    };
    let how = input.u8();
    object::write_prid(out, id.prid().as_oid());
    let mut values = Vec::new();
    let attributes = class.attributes();
    let sent = if how >= WRONG {
        input.below(attributes.len() + 1)
    } else {
        attributes.len()
    };
    for attribute in attributes.iter().take(sent) {
        match attribute.number {
            1 if how < 0xfe => Value::Unsigned32(id.instance.get()).encode(&mut values),
            _ => value(input, attribute, &mut values),
        }
    }
    if how == 0xff {
        // An attribute that this version does not know.
        Value::Integer(7).encode(&mut values);
    }
    // The longest values of a class fit, with one more attribute too.
    object::write_epd(out, &values).expect("values that fit an EPD");
}

/// One of the first few numbers.
pub(crate) fn instance(input: &mut Input<'_>) -> InstanceId {
    InstanceId::new(u32::from(input.u8() % 5) + 1).expect("not zero")
}

/// PRID, PPRID, entry of a class, arc or root: what a removal may name.
pub(crate) fn target(input: &mut Input<'_>, out: &mut Vec<u8>) {
    let Some(class) = input.choice(Class::ALL).copied() else {
        return;
    };
    let entry = class.entry();
    let how = input.u8();
    let oid = match how % 8 {
        0..=4 => {
            RowId {
                class,
                instance: instance(input),
            }
            .prid()
            .0
        }
        5 => entry,
        6 => {
            let arcs: Vec<u32> = entry.arcs().collect();
            let kept = input.below(arcs.len() + 1).max(2);
            Oid::from_arcs(arcs.get(..kept).unwrap_or(&arcs)).expect("the beginning of an identifier")
        }
        _ => entry
            .child(u32::from(input.u8()))
            .and_then(|oid| oid.child(1))
            .expect("a short identifier"),
    };
    if how & 0x80 == 0 {
        object::write_prid(out, oid.as_ref());
    } else {
        object::write_prefix_prid(out, oid.as_ref());
    }
}

fn value(input: &mut Input<'_>, attribute: &AttributeInfo, out: &mut Vec<u8>) {
    let how = input.u8();
    if how >= WRONG {
        return wrong(input, how, out);
    }
    match attribute.syntax {
        Syntax::InstanceId | Syntax::ReferenceId => {
            Value::Unsigned32(u32::from(how % 5) + 1).encode(out);
        }
        Syntax::Unsigned32 { min, max } => {
            let number = match how % 8 {
                0..=3 => u32::from(how / 8),
                4 => max,
                5 => min,
                _ => input.u32(),
            };
            Value::Unsigned32(number.clamp(min, max)).encode(out);
        }
        Syntax::Integer32 => Value::Integer(i64::from(how)).encode(out),
        Syntax::Unsigned64 => {
            let number = match how % 8 {
                0..=5 => u64::from(how / 8),
                6 => u64::MAX,
                _ => input.u64(),
            };
            Value::Unsigned64(number).encode(out);
        }
        Syntax::TruthValue => Value::Integer(if how & 1 == 0 { 2 } else { 1 }).encode(out),
        Syntax::Enumeration(labels) => {
            let number = labels
                .get(usize::from(how).checked_rem(labels.len()).unwrap_or(0))
                .map_or(0, |(_, number)| *number);
            Value::Integer(number.into()).encode(out);
        }
        Syntax::OctetString { min, max, .. } => {
            let mut text = match how % 4 {
                // Names are few, so that values meet where they must differ.
                0..=2 => vec![b'a' + how / 4 % 4; min.max(1)],
                _ => vec![b'x'; max],
            };
            text.truncate(max);
            Value::OctetString(&text).encode(out);
        }
        Syntax::DigestOrNone => {
            Value::OctetString(&[how; 32][..if how & 1 == 0 { 32 } else { 0 }]).encode(out)
        }
        Syntax::Prid | Syntax::PrcIdentifierOid => {
            let class = Class::ALL
                .get(usize::from(how) % Class::ALL.len())
                .copied()
                .unwrap_or(Class::Server);
            let oid = match attribute.syntax {
                Syntax::Prid => {
                    RowId {
                        class,
                        instance: instance(input),
                    }
                    .prid()
                    .0
                }
                _ => class.entry(),
            };
            Value::ObjectIdentifier(oid.as_ref()).encode(out);
        }
    }
}

/// A value that the attribute may not have, or no value at all.
fn wrong(input: &mut Input<'_>, how: u8, out: &mut Vec<u8>) {
    match how % 8 {
        0 => Value::Null.encode(out),
        1 => Value::Unsigned32(0).encode(out),
        2 => Value::Integer(-1).encode(out),
        3 => Value::OctetString(&[0xff; 300]).encode(out),
        4 => {
            if let Ok(oid) = OidRef::new(input.take(3)) {
                Value::ObjectIdentifier(oid).encode(out);
            }
        }
        5 => out.extend_from_slice(input.take(3)),
        6 => Value::OctetString(b"a\nb").encode(out),
        _ => Value::Unsigned64(u64::MAX).encode(out),
    }
}
