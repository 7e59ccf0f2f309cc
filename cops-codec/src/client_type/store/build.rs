//! Rows, removals and reports as contents of Named ClientSI and Named Decision Data objects.
//!
//! Each function gives as many contents as are needed, none if there is nothing to say; each becomes an object of its
//! own (in a DEC, a decision of its own).

use std::borrow::Borrow;

use bytes::Bytes;

use crate::client_type::framework::PibIncarnation;
use crate::client_type::power::{Arc, Plan};
use crate::client_type::{Class, Row, RowId};
use crate::provisioning::object;
use crate::provisioning::packing::{MAX_NAMED_CONTENTS_OCTETS, Packer, PieceTooLong, pack};
use crate::provisioning::{Oid, Report};

/// Rows for an Install decision, a REQ or an accounting RPT, in the order given.
pub fn contents<R: Borrow<Row>>(rows: impl IntoIterator<Item = R>) -> Vec<Bytes> {
    let mut packer = Packer::new();
    for row in rows {
        put(&mut packer, |out| row.borrow().encode(out));
    }
    packer.finish()
}

/// A REQ: the incarnation row, which says whether it is full state, then removals, then rows.
pub fn request<'a>(
    incarnation: &PibIncarnation,
    removed: impl IntoIterator<Item = RowId>,
    rows: impl IntoIterator<Item = &'a Row>,
) -> Vec<Bytes> {
    let mut packer = Packer::new();
    let incarnation = Row::from(incarnation.clone());
    put(&mut packer, |out| incarnation.encode(out));
    for id in removed {
        put(&mut packer, |out| out.extend(removal(id)));
    }
    for row in rows {
        if row.class() != Class::PibIncarnation {
            put(&mut packer, |out| row.encode(out));
        }
    }
    packer.finish()
}

/// The entry of a REQ that removes a row: its PRID and an EPD of length 4 (RFC 3318 section 2.3.4).
pub fn removal(id: RowId) -> Vec<u8> {
    let mut out = Vec::new();
    object::write_prid(&mut out, id.prid().as_oid());
    // Nothing in it, so that it fits.
    let fits = object::write_epd(&mut out, &[]);
    debug_assert!(fits.is_ok());
    out
}

/// A Remove decision: prefixes, then single rows.
pub fn remove(prefixes: impl IntoIterator<Item = Oid>, rows: impl IntoIterator<Item = RowId>) -> Vec<Bytes> {
    let prefixes = prefixes.into_iter().map(|prefix| {
        let mut piece = Vec::new();
        object::write_prefix_prid(&mut piece, prefix.as_ref());
        piece
    });
    let rows = rows.into_iter().map(|row| {
        let mut piece = Vec::new();
        object::write_prid(&mut piece, row.prid().as_oid());
        piece
    });
    packed(prefixes.chain(rows))
}

/// A Remove decision of all rows of these arcs, one PPRID each: `[Arc::Policy, Arc::Plans]` clears a context,
/// `[Arc::Plans]` takes its plan away.
pub fn remove_arcs(arcs: impl IntoIterator<Item = Arc>) -> Vec<Bytes> {
    remove(arcs.into_iter().map(Arc::oid), [])
}

/// What a Success or Failure RPT tells.
pub fn report(report: &Report) -> Vec<Bytes> {
    packed(report.encode())
}

/// What an Install decision takes beside the rows: Context, Flags, and the header of the Named Decision Data.
pub const DECISION_OVERHEAD_OCTETS: usize = 8 + 8 + 4;

/// A configuration as Install decisions of one or more DECs, for a PEP that takes no larger messages.
///
/// Each DEC carries the plan's row, so that the PEP can tell a stale one; the incarnation, which may make the context
/// active, comes with the last. Rows are sorted by class, so that each refers to rows that are there already; those that
/// say what is reported come after all they name. The plan
/// is in force with the last DEC, when its digest matches.
///
/// `max_octets` is what the decisions of one DEC may take: the largest message less header, handle, integrity and a
/// removal. The outer list is DECs, the inner one contents.
///
/// # Errors
///
/// A DEC with one row is already too big.
pub fn plan_parts(
    incarnation: Option<&PibIncarnation>,
    plan: &Plan,
    rows: &[Row],
    max_octets: usize,
) -> Result<Vec<Vec<Bytes>>, PieceTooLong> {
    let incarnation = incarnation
        .map(|row| Row::from(row.clone()).to_vec())
        .unwrap_or_default();
    let plan = Row::from(plan.clone()).to_vec();
    let mut rows: Vec<&Row> = rows
        .iter()
        .filter(|row| !matches!(row.class(), Class::Plan | Class::PibIncarnation))
        .collect();
    rows.sort_by_key(|row| (is_about_reports(row.class()), row.id()));

    let first = || Part::new(incarnation.len()).with(&plan);
    let mut parts = Vec::new();
    let mut part = first();
    if part.octets() > max_octets {
        return Err(PieceTooLong {
            octets: part.octets(),
        });
    }
    for row in rows {
        let row = row.to_vec();
        if part.octets_with(&row) > max_octets {
            parts.push(std::mem::replace(&mut part, first()));
        }
        if part.octets_with(&row) > max_octets {
            return Err(PieceTooLong {
                octets: part.octets_with(&row),
            });
        }
        part = part.with(&row);
    }
    part = part.with(&incarnation);
    parts.push(part);
    Ok(parts.into_iter().map(|part| packed(part.pieces)).collect())
}

/// Links name selections, groups name links, and commands name groups.
fn is_about_reports(class: Class) -> u8 {
    match class {
        Class::FeedbackLink => 1,
        Class::FeedbackActionList => 2,
        Class::FeedbackAction => 3,
        _ => 0,
    }
}

/// Pieces of one DEC, and what they take. Room for the incarnation is kept in each, since any may be the last.
struct Part {
    pieces: Vec<Vec<u8>>,
    /// Octets of full objects and of the one that is being filled, without overhead.
    full: usize,
    current: usize,
    objects: usize,
    reserved: usize,
}

impl Part {
    fn new(reserved: usize) -> Self {
        Self {
            pieces: Vec::new(),
            full: 0,
            current: 0,
            objects: 1,
            reserved,
        }
    }

    fn octets(&self) -> usize {
        self.octets_with(&[])
    }

    /// What the part takes with one more piece, and with the incarnation, which may need an object of its own.
    fn octets_with(&self, piece: &[u8]) -> usize {
        let (full, current, objects) = if self.current + piece.len() > MAX_NAMED_CONTENTS_OCTETS {
            (self.full + self.current, piece.len(), self.objects + 1)
        } else {
            (self.full, self.current + piece.len(), self.objects)
        };
        let spill = usize::from(current + self.reserved > MAX_NAMED_CONTENTS_OCTETS);
        full + current + self.reserved + (objects + spill) * DECISION_OVERHEAD_OCTETS
    }

    fn with(mut self, piece: &[u8]) -> Self {
        if piece.is_empty() {
            return self;
        }
        if self.current + piece.len() > MAX_NAMED_CONTENTS_OCTETS {
            self.full += std::mem::take(&mut self.current);
            self.objects += 1;
        }
        self.current += piece.len();
        self.pieces.push(piece.to_vec());
        self
    }
}

/// As [`packed`], of one piece.
#[allow(clippy::expect_used)]
fn put(packer: &mut Packer, piece: impl FnOnce(&mut Vec<u8>)) {
    packer
        .write(piece)
        .expect("no row is longer than the contents of an object");
}

/// `row_class!` bounds rows far below an object's contents; so do the builders above their other pieces.
#[allow(clippy::expect_used)]
fn packed(pieces: impl IntoIterator<Item = Vec<u8>>) -> Vec<Bytes> {
    pack(pieces).expect("no piece is longer than the contents of an object")
}
