//! Octets by hand: what no encoder of ours would write.

/// The private-range client-type that is served (0x5057).
pub(crate) const POWER: u16 = 0x5057;

/// Op codes (RFC 2748 2.1).
pub(crate) mod op {
    pub(crate) const REQ: u8 = 1;
    pub(crate) const DEC: u8 = 2;
    pub(crate) const RPT: u8 = 3;
    pub(crate) const DRQ: u8 = 4;
    pub(crate) const SSQ: u8 = 5;
    pub(crate) const OPN: u8 = 6;
    pub(crate) const CAT: u8 = 7;
    pub(crate) const CC: u8 = 8;
    pub(crate) const KA: u8 = 9;
    pub(crate) const SSC: u8 = 10;
}

/// A common header with this length, whatever follows.
pub(crate) fn header(first: u8, op_code: u8, client_type: u16, length: u32) -> Vec<u8> {
    let mut octets = vec![first, op_code];
    octets.extend(client_type.to_be_bytes());
    octets.extend(length.to_be_bytes());
    octets
}

/// A message of these objects.
pub(crate) fn message(op_code: u8, client_type: u16, objects: &[Vec<u8>]) -> Vec<u8> {
    message_of(0x10, op_code, client_type, objects)
}

/// The same with another first octet: version and flags.
pub(crate) fn message_of(first: u8, op_code: u8, client_type: u16, objects: &[Vec<u8>]) -> Vec<u8> {
    let objects = objects.concat();
    let length = u32::try_from(8 + objects.len()).unwrap();
    let mut octets = header(first, op_code, client_type, length);
    octets.extend(objects);
    octets
}

/// An object, padded.
pub(crate) fn object(c_num: u8, c_type: u8, contents: &[u8]) -> Vec<u8> {
    lying(4 + contents.len(), c_num, c_type, contents)
}

/// An object that states this length.
pub(crate) fn lying(length: usize, c_num: u8, c_type: u8, contents: &[u8]) -> Vec<u8> {
    let mut octets = u16::try_from(length).unwrap().to_be_bytes().to_vec();
    octets.extend([c_num, c_type]);
    octets.extend(contents);
    octets.resize(octets.len().next_multiple_of(4), 0);
    octets
}

pub(crate) fn handle(octets: &[u8]) -> Vec<u8> {
    object(1, 1, octets)
}

/// A Context of configuration.
pub(crate) fn context() -> Vec<u8> {
    object(2, 1, &[0, 8, 0, 0])
}

pub(crate) fn pep_id(name: &str) -> Vec<u8> {
    let mut octets = name.as_bytes().to_vec();
    octets.push(0);
    octets.resize(octets.len().next_multiple_of(4), 0);
    object(11, 1, &octets)
}

/// Decision flags: a command.
pub(crate) fn flags(command: u8, flags: u8) -> Vec<u8> {
    object(6, 1, &[0, command, 0, flags])
}

pub(crate) fn error(code: u8) -> Vec<u8> {
    object(8, 1, &[0, code, 0, 0])
}

pub(crate) fn ka_timer(seconds: u8) -> Vec<u8> {
    object(10, 1, &[0, 0, 0, seconds])
}

pub(crate) fn reason(code: u8) -> Vec<u8> {
    object(5, 1, &[0, code, 0, 0])
}

pub(crate) fn report_type(report: u8) -> Vec<u8> {
    object(12, 1, &[0, report, 0, 0])
}

/// Named ClientSI.
pub(crate) fn named(contents: &[u8]) -> Vec<u8> {
    object(9, 2, contents)
}

/// Named Decision Data.
pub(crate) fn named_decision(contents: &[u8]) -> Vec<u8> {
    object(6, 5, contents)
}

/// A COPS-PR object (RFC 3084 4), padded.
pub(crate) fn inner(s_num: u8, s_type: u8, contents: &[u8]) -> Vec<u8> {
    object(s_num, s_type, contents)
}

pub(crate) fn open(name: &str) -> Vec<u8> {
    message(op::OPN, POWER, &[pep_id(name)])
}

pub(crate) fn keep_alive() -> Vec<u8> {
    message(op::KA, 0, &[])
}
