//! Readings: rows of an accounting report, which no store keeps.

use super::limits::RowLimits;
use super::reported::RequestRefused;
use crate::client_type::row::identify;
use crate::client_type::{Access, Row, RowError, RowFault};
use crate::provisioning::binding::Bindings;
use crate::provisioning::{Contents, Prid};

/// Reads the Named ClientSIs of one accounting RPT (RFC 3084 section 5.3.2): report-only rows.
///
/// A report has no answer. The caller counts what could not be read and goes on.
///
/// # Errors
///
/// An inner object is broken, or a row is of another class or cannot be read; nothing of the report is given then.
pub fn read_readings(contents: &[Contents<'_>], limits: RowLimits) -> Result<Vec<Row>, RequestRefused> {
    let mut rows = Vec::new();
    let mut errors = Vec::new();
    for binding in contents
        .iter()
        .flat_map(|contents| Bindings::new(contents.octets, contents.offset))
    {
        let binding = binding.map_err(RequestRefused::Malformed)?;
        let fail = |fault| RowError {
            prid: Prid(binding.prid.to_oid()),
            offset: binding.offset,
            fault,
        };
        let row = identify(binding.prid)
            .map_err(fail)
            .and_then(|id| match id.class.access() {
                Access::ReportOnly if rows.len() >= limits.max_rows => Err(fail(RowFault::TooMany {
                    limit: limits.max_rows,
                    what: "rows",
                })),
                Access::ReportOnly => Row::decode(&binding),
                access => Err(fail(RowFault::WrongDirection { access })),
            });
        match row {
            Ok(decoded) => rows.push(decoded.row),
            Err(error) => errors.push(error),
        }
        if errors.len() >= limits.errors_told() {
            break;
        }
    }
    if errors.is_empty() {
        Ok(rows)
    } else {
        Err(RequestRefused::Rows(errors))
    }
}
