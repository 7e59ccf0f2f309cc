//! The digest that tells whether both ends mean the same plan.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use crate::client_type::power::Arc;
use crate::client_type::{Class, Digest, Row, RowId};

/// Whether the digest covers rows of this class: policy and plan, but not the row that holds the digest.
pub(super) fn is_covered(class: Class) -> bool {
    class != Class::Plan && (class.is_in(Arc::Policy) || class.is_in(Arc::Plans))
}

/// SHA-256 over the PRID and EPD objects (header, contents and padding) of all rows of policy and plan but pwrPlan,
/// sorted by class arc, then number.
///
/// Other rows are passed over, so that all rows of a context can be given. The PDP puts it into the plan, the PEP holds
/// it against what it has installed; both by this function. Of two rows of one name the later one counts, as in a DEC.
pub fn digest<'a>(rows: impl IntoIterator<Item = &'a Row>) -> Digest {
    let sorted: BTreeMap<RowId, &Row> = rows
        .into_iter()
        .filter(|row| is_covered(row.class()))
        .map(|row| (row.id(), row))
        .collect();
    let mut hash = Sha256::new();
    let mut octets = Vec::new();
    for row in sorted.values() {
        octets.clear();
        row.encode(&mut octets);
        hash.update(&octets);
    }
    Digest(hash.finalize().into())
}
