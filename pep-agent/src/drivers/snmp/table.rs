//! Where devices keep an outlet's state and take its commands.

use async_snmp::Oid;

/// A column of a table, by its arcs; the outlet's number follows.
type Column = &'static [u32];

/// Objects of a kind of device, or of one outlet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutletTable {
    /// How messages name it.
    pub name: String,
    /// The state of the outlet.
    pub state: Oid,
    /// Its value when the outlet is on.
    pub state_on: i32,
    /// Its value when the outlet is off.
    pub state_off: i32,
    /// What is set to switch the outlet.
    pub control: Oid,
    /// What it is set to for on.
    pub control_on: i32,
    /// What it is set to for off.
    pub control_off: i32,
    /// Whether a command waits, where the device tells, and the value that says so.
    pub pending: Option<(Oid, i32)>,
}

/// A table that is known.
struct Known {
    name: &'static str,
    state: Column,
    state_on: i32,
    state_off: i32,
    control: Column,
    control_on: i32,
    control_off: i32,
    pending: Option<(Column, i32)>,
}

const KNOWN: &[Known] = &[
    // PowerNet-MIB, MasterSwitch: sPDUOutletCtl is both, outletOn(1) and outletOff(2); anything else is neither.
    Known {
        name: "apc-masterswitch",
        state: &[1, 3, 6, 1, 4, 1, 318, 1, 1, 4, 4, 2, 1, 3],
        state_on: 1,
        state_off: 2,
        control: &[1, 3, 6, 1, 4, 1, 318, 1, 1, 4, 4, 2, 1, 3],
        control_on: 1,
        control_off: 2,
        pending: None,
    },
    // PowerNet-MIB, Switched Rack PDU (AP79xx): rPDUOutletStatusOutletState on(1), off(2), and CommandPending
    // pending(1); rPDUOutletControlOutletCommand immediateOn(1), immediateOff(2).
    Known {
        name: "apc-rpdu",
        state: &[1, 3, 6, 1, 4, 1, 318, 1, 1, 12, 3, 5, 1, 1, 4],
        state_on: 1,
        state_off: 2,
        control: &[1, 3, 6, 1, 4, 1, 318, 1, 1, 12, 3, 3, 1, 1, 4],
        control_on: 1,
        control_off: 2,
        pending: Some((&[1, 3, 6, 1, 4, 1, 318, 1, 1, 12, 3, 5, 1, 1, 5], 1)),
    },
    // PowerNet-MIB, second generation (AP8xxx): rPDU2OutletSwitchedStatusState off(1), on(2): the other way round;
    // rPDU2OutletSwitchedControlCommand immediateOn(1), immediateOff(2).
    Known {
        name: "apc-rpdu2",
        state: &[1, 3, 6, 1, 4, 1, 318, 1, 1, 26, 9, 2, 3, 1, 5],
        state_on: 2,
        state_off: 1,
        control: &[1, 3, 6, 1, 4, 1, 318, 1, 1, 26, 9, 2, 4, 1, 5],
        control_on: 1,
        control_off: 2,
        pending: Some((&[1, 3, 6, 1, 4, 1, 318, 1, 1, 26, 9, 2, 3, 1, 6], 1)),
    },
    // ENERGY-OBJECT-MIB (RFC 7460): eoPowerOperState and eoPowerAdminState by entPhysicalIndex, with the states of
    // IEEE 1621 (IANAPowerStateSet-MIB): ieee1621Off(257), ieee1621On(259).
    Known {
        name: "energy-object",
        state: &[1, 3, 6, 1, 2, 1, 229, 1, 2, 1, 9],
        state_on: 259,
        state_off: 257,
        control: &[1, 3, 6, 1, 2, 1, 229, 1, 2, 1, 8],
        control_on: 259,
        control_off: 257,
        pending: None,
    },
];

impl OutletTable {
    /// The names of the tables that are known.
    pub fn names() -> impl Iterator<Item = &'static str> {
        KNOWN.iter().map(|known| known.name)
    }

    /// The objects of one outlet of a table.
    pub fn known(name: &str, outlet: u32) -> Option<Self> {
        let known = KNOWN.iter().find(|known| known.name == name)?;
        let of = |column: Column| Oid::from_slice(column).child(outlet);
        Some(Self {
            name: known.name.to_owned(),
            state: of(known.state),
            state_on: known.state_on,
            state_off: known.state_off,
            control: of(known.control),
            control_on: known.control_on,
            control_off: known.control_off,
            pending: known.pending.map(|(column, value)| (of(column), value)),
        })
    }
}
