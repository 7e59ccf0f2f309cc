//! The grammars of RFC 3084 section 5: which inner objects may stand where.

use super::error::{ClassError, Fault, GlobalError, ProvisioningError};
use super::identifier::Prid;
use super::object::{self, Epd, InnerObject, InnerObjects};
use super::oid::OidRef;
use super::packing::MAX_NAMED_CONTENTS_OCTETS;

/// A PRID and its EPD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding<'a> {
    /// Absolute offset of the PRID object.
    pub offset: usize,
    /// The instance.
    pub prid: OidRef<'a>,
    /// Its attribute values; empty in a REQ that removes the instance.
    pub epd: Epd<'a>,
}

/// Reads `*(<PRID> <EPD>)`: an Install decision, a REQ, an accounting RPT. Ends after the first error.
#[derive(Debug, Clone)]
pub struct Bindings<'a> {
    objects: InnerObjects<'a>,
    failed: bool,
}

impl<'a> Bindings<'a> {
    /// Reads `contents`, the first octet of which stands at absolute offset `offset`.
    pub const fn new(contents: &'a [u8], offset: usize) -> Self {
        Self {
            objects: InnerObjects::new(contents, offset),
            failed: false,
        }
    }
}

impl<'a> Iterator for Bindings<'a> {
    type Item = Result<Binding<'a>, ProvisioningError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let binding = match self.objects.next()? {
            Ok((offset, InnerObject::Prid(prid))) => {
                epd_after(&mut self.objects).map(|epd| Binding { offset, prid, epd })
            }
            Ok((offset, other)) => Err(misplaced(offset, "a PRID", other)),
            Err(error) => Err(error),
        };
        self.failed = binding.is_err();
        Some(binding)
    }
}

/// What a Remove decision names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoveTarget<'a> {
    /// Absolute offset of the object.
    pub offset: usize,
    /// The instance, or the prefix of all that are removed.
    pub oid: OidRef<'a>,
    /// Whether it came as a PPRID. A PRID may hold a prefix as well, but only a PPRID must.
    pub is_prefix: bool,
}

/// Reads `*(<PRID> | <PPRID>)`: a Remove decision. Ends after the first error.
#[derive(Debug, Clone)]
pub struct RemoveTargets<'a> {
    objects: InnerObjects<'a>,
    failed: bool,
}

impl<'a> RemoveTargets<'a> {
    /// Reads `contents`, the first octet of which stands at absolute offset `offset`.
    pub const fn new(contents: &'a [u8], offset: usize) -> Self {
        Self {
            objects: InnerObjects::new(contents, offset),
            failed: false,
        }
    }
}

impl<'a> Iterator for RemoveTargets<'a> {
    type Item = Result<RemoveTarget<'a>, ProvisioningError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let target = match self.objects.next()? {
            Ok((offset, InnerObject::Prid(oid))) => Ok(RemoveTarget {
                offset,
                oid,
                is_prefix: false,
            }),
            Ok((offset, InnerObject::PrefixPrid(oid))) => Ok(RemoveTarget {
                offset,
                oid,
                is_prefix: true,
            }),
            Ok((offset, other)) => Err(misplaced(offset, "a PRID or PPRID", other)),
            Err(error) => Err(error),
        };
        self.failed = target.is_err();
        Some(target)
    }
}

/// What a Success or Failure RPT tells (RFC 3084 section 5.3.1): warnings in the one, errors in the other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Of the whole decision, or the whole PEP.
    pub global: Option<GlobalError>,
    /// Of single instances.
    pub errors: Vec<ReportedError>,
}

/// An error, or a warning, of one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedError {
    /// The instance. A class or a prefix stands here if that is what the decision named.
    pub prid: Prid,
    /// What is wrong with it.
    pub error: ClassError,
    /// Rows that tell more: identifier and encoded attribute values.
    pub details: Vec<(Prid, Vec<u8>)>,
}

impl Report {
    /// Whether there is nothing to tell.
    pub const fn is_empty(&self) -> bool {
        self.global.is_none() && self.errors.is_empty()
    }

    /// Adds what `contents`, a Named ClientSI of a Success or Failure RPT, tells: `[<GPERR>] *(<report>)`,
    /// `<report> ::= <ErrorPRID> <CPERR> *(<PRID><EPD>)`. The first octet stands at absolute offset `offset`.
    ///
    /// # Errors
    ///
    /// The contents do not follow the grammar; `self` then holds what stood before.
    pub fn read(&mut self, contents: &[u8], offset: usize) -> Result<(), ProvisioningError> {
        let mut objects = InnerObjects::new(contents, offset);
        let mut at_start = true;
        let mut reports_here = 0_usize;
        while let Some(object) = objects.next() {
            let (offset, object) = object?;
            match object {
                InnerObject::GlobalError(error) if at_start => self.global = Some(error),
                InnerObject::ErrorPrid(prid) => {
                    let error = match objects.next().transpose()? {
                        Some((_, InnerObject::ClassError(error))) => error,
                        Some((offset, other)) => {
                            return Err(misplaced(offset, "a CPERR after the ErrorPRID", other));
                        }
                        None => return Err(ended(objects.offset(), "a CPERR after the ErrorPRID")),
                    };
                    self.errors.push(ReportedError {
                        prid: Prid(prid.to_oid()),
                        error,
                        details: Vec::new(),
                    });
                    reports_here += 1;
                }
                InnerObject::Prid(prid) if reports_here > 0 => {
                    let epd = epd_after(&mut objects)?;
                    if let Some(last) = self.errors.last_mut() {
                        last.details.push((Prid(prid.to_oid()), epd.contents.to_vec()));
                    }
                }
                other => {
                    return Err(misplaced(
                        offset,
                        "a GPERR at the start, or an ErrorPRID with its CPERR",
                        other,
                    ));
                }
            }
            at_start = false;
        }
        Ok(())
    }

    /// The report as pieces for [`super::packing::pack`]: the global error goes with the first error, and an error
    /// stays with its instance and details.
    pub fn encode(&self) -> Vec<Vec<u8>> {
        let mut first = Vec::new();
        if let Some(error) = self.global {
            object::write_global_error(&mut first, error);
        }
        let mut pieces = Vec::with_capacity(self.errors.len().max(1));
        for reported in &self.errors {
            let mut piece = std::mem::take(&mut first);
            object::write_error_prid(&mut piece, reported.prid.as_oid());
            object::write_class_error(&mut piece, reported.error);
            for (prid, values) in &reported.details {
                let before = piece.len();
                object::write_prid(&mut piece, prid.as_oid());
                // A detail that does not fit is left out; the error itself is what matters.
                if object::write_epd(&mut piece, values).is_err() || piece.len() > MAX_NAMED_CONTENTS_OCTETS {
                    piece.truncate(before);
                }
            }
            pieces.push(piece);
        }
        if !first.is_empty() {
            pieces.push(first);
        }
        pieces
    }
}

/// The EPD that must follow a PRID.
fn epd_after<'a>(objects: &mut InnerObjects<'a>) -> Result<Epd<'a>, ProvisioningError> {
    match objects.next().transpose()? {
        Some((_, InnerObject::Epd(epd))) => Ok(epd),
        Some((offset, other)) => Err(misplaced(offset, "an EPD after the PRID", other)),
        None => Err(ended(objects.offset(), "an EPD after the PRID")),
    }
}

fn misplaced(offset: usize, expected: &'static str, found: InnerObject<'_>) -> ProvisioningError {
    ProvisioningError {
        offset,
        expected,
        fault: Fault::MisplacedObject {
            s_num: found.s_num().0,
        },
    }
}

fn ended(offset: usize, expected: &'static str) -> ProvisioningError {
    ProvisioningError {
        offset,
        expected,
        fault: Fault::End,
    }
}
