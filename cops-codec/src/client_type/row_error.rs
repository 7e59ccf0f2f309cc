//! Why a row cannot be taken, and the RFC's number for it.

use std::fmt;

use super::class::{Access, RowId};
use crate::provisioning::{
    ClassError, ClassErrorCode, GlobalError, GlobalErrorCode, InstanceId, Prid, ProvisioningError,
};

/// A row that cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("row {}, offset {offset}: {fault}", self.name())]
pub struct RowError {
    /// Its name as it came; a class or a prefix if that is what came.
    pub prid: Prid,
    /// Absolute offset of the PRID, or of the attribute that is at fault.
    pub offset: usize,
    /// What is wrong.
    pub fault: RowFault,
}

impl RowError {
    /// The row, if the name is one of a class that we know.
    pub fn id(&self) -> Option<RowId> {
        RowId::from_prid(self.prid.as_oid())
    }

    fn name(&self) -> String {
        self.id()
            .map_or_else(|| self.prid.to_string(), |id| id.to_string())
    }
}

/// Kind of a [`RowError`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowFault {
    /// No more rows are taken.
    TooMany {
        /// The limit that is reached.
        limit: usize,
        /// Of what: rows, octets.
        what: &'static str,
    },
    /// The PRID names a class or a prefix, not an instance.
    NotAnInstance,
    /// The index attribute and the PRID differ.
    OtherInstance {
        /// The PRID's last sub-identifier.
        prid: InstanceId,
        /// The index attribute.
        attribute: InstanceId,
    },
    /// A removal names a row that is not there.
    NotThere,
    /// Another row has the same values in the attributes of the UNIQUENESS clause, or is the class's only one.
    NotUnique {
        /// The other row.
        other: RowId,
    },
    /// An attribute's value is not legal.
    Value {
        /// Its number.
        attribute: u32,
        /// What the module allows.
        expected: &'static str,
        /// What came.
        found: String,
    },
    /// An attribute's value is too long.
    TooLong {
        /// Its number.
        attribute: u32,
        /// Octets that came.
        octets: usize,
    },
    /// A reference points to no row of the context.
    NoReference {
        /// Number of the attribute.
        attribute: u32,
        /// The row that it names; `None` for number 0.
        target: Option<RowId>,
    },
    /// The class is never sent this way.
    WrongDirection {
        /// How it is sent.
        access: Access,
    },
    /// The class is not known.
    UnknownClass,
    /// Attributes without a default are missing at the end.
    TooFew {
        /// The first that is missing.
        missing: u32,
    },
    /// An attribute is of another type.
    WrongType {
        /// Its number.
        attribute: u32,
        /// What the module says.
        expected: &'static str,
        /// The BER tag that came.
        tag: u8,
    },
    /// A removed row is still referred to.
    StillReferred {
        /// A row that refers to it.
        by: RowId,
    },
    /// An error of the class's own (its INSTALL-ERRORS clause).
    Specific {
        /// The error's number.
        code: u16,
        /// In words, for logs; the wire carries the number alone.
        reason: String,
    },
    /// The EPD is not BER.
    Ber(ProvisioningError),
}

impl RowFault {
    /// The CPERR that tells of it (RFC 3084 section 4.5). For broken BER, which has no CPERR of its own, attrValueInvalid
    /// or invalidAttrType beside the GPERR of [`RowFault::global_error`].
    pub fn class_error(&self) -> ClassError {
        use ClassErrorCode as Code;
        let of_attribute = |code, attribute: u32| ClassError {
            code,
            sub_code: u16::try_from(attribute).unwrap_or(u16::MAX),
        };
        match *self {
            Self::TooMany { .. } => Code::PRI_SPACE_EXHAUSTED.into(),
            Self::NotAnInstance | Self::OtherInstance { .. } | Self::NotThere | Self::NotUnique { .. } => {
                Code::PRI_INSTANCE_INVALID.into()
            }
            Self::Value { attribute, .. } => of_attribute(Code::ATTR_VALUE_INVALID, attribute),
            Self::TooLong { attribute, .. } => of_attribute(Code::ATTR_MAX_LENGTH_EXCEEDED, attribute),
            Self::NoReference { attribute, .. } => of_attribute(Code::ATTR_REFERENCE_UNKNOWN, attribute),
            Self::WrongDirection { .. } => Code::PRI_NOTIFY_ONLY.into(),
            Self::UnknownClass => Code::UNKNOWN_PRC.into(),
            Self::TooFew { .. } => Code::TOO_FEW_ATTRS.into(),
            Self::WrongType { .. } => Code::INVALID_ATTR_TYPE.into(),
            Self::StillReferred { .. } => Code::DELETED_IN_REF.into(),
            Self::Specific { code, .. } => ClassError {
                code: Code::PRI_SPECIFIC_ERROR,
                sub_code: code,
            },
            Self::Ber(error) => match error.global_error().code {
                GlobalErrorCode::UNKNOWN_ASN1_TAG => Code::INVALID_ATTR_TYPE.into(),
                _ => Code::ATTR_VALUE_INVALID.into(),
            },
        }
    }

    /// The GPERR that goes with the CPERR, if one does (RFC 3084 section 4.4).
    pub fn global_error(&self) -> Option<GlobalError> {
        match self {
            Self::Ber(error) => Some(error.global_error()),
            Self::UnknownClass => Some(GlobalErrorCode::UNKNOWN_PIB_DATA.into()),
            _ => None,
        }
    }
}

impl fmt::Display for RowFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany { limit, what } => write!(f, "more than {limit} {what}"),
            Self::NotAnInstance => f.write_str("a class or prefix where one instance is needed"),
            Self::OtherInstance { prid, attribute } => {
                write!(f, "attribute 1 is {attribute}, the PRID ends in {prid}")
            }
            Self::NotThere => f.write_str("there is no such row"),
            Self::NotUnique { other } => write!(f, "not unique beside {other}"),
            Self::Value {
                attribute,
                expected,
                found,
            } => {
                write!(f, "attribute {attribute}: expected {expected}, found {found}")
            }
            Self::TooLong { attribute, octets } => {
                write!(f, "attribute {attribute}: {octets} octets are too long")
            }
            Self::NoReference {
                attribute,
                target: Some(target),
            } => {
                write!(f, "attribute {attribute}: there is no {target}")
            }
            Self::NoReference {
                attribute,
                target: None,
            } => {
                write!(f, "attribute {attribute}: 0 refers to nothing")
            }
            Self::WrongDirection { access } => {
                write!(f, "a class with access {} came this way", access.label())
            }
            Self::UnknownClass => f.write_str("unknown class"),
            Self::TooFew { missing } => write!(f, "attribute {missing} is missing and has no default"),
            Self::WrongType {
                attribute,
                expected,
                tag,
            } => {
                write!(
                    f,
                    "attribute {attribute}: expected {expected}, found BER tag {tag:#04x}"
                )
            }
            Self::StillReferred { by } => write!(f, "still referred to by {by}"),
            Self::Specific { code, reason } => write!(f, "{reason} (error {code} of the class)"),
            Self::Ber(error) => error.fmt(f),
        }
    }
}
