//! What can be wrong, to whom it is told and with which number (RFC 3084 sections 4.4 and 4.5).

use std::fmt;

/// A fault in inner objects or in BER: bad enough that the row, or the whole decision, cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("offset {offset}: expected {expected}, found {fault}")]
pub struct ProvisioningError {
    /// Absolute offset of the first octet of what is wrong: the object, or the BER value.
    pub offset: usize,
    /// What should have stood there.
    pub expected: &'static str,
    /// What stood there.
    pub fault: Fault,
}

/// Kind of a [`ProvisioningError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Fewer octets than are needed.
    Truncated {
        /// Octets that the header or the stated length asks for.
        needed: usize,
        /// Octets that are left.
        left: usize,
    },
    /// An inner object whose stated length cannot be right.
    ObjectLength {
        /// The stated length.
        stated: u16,
    },
    /// Padding that is not zero (RFC 3084 section 4: "all zeros").
    Padding {
        /// The offending octet.
        octet: u8,
    },
    /// Padding that is not there at all.
    NoPadding,
    /// An inner object of an unknown number or type.
    UnknownObject {
        /// S-Num.
        s_num: u8,
        /// S-Type.
        s_type: u8,
    },
    /// A known inner object in a place where the grammar has none.
    MisplacedObject {
        /// S-Num.
        s_num: u8,
    },
    /// The contents end where the grammar wants another object.
    End,
    /// A BER tag that SPPI has no type for.
    UnknownTag {
        /// The first octet of the tag.
        tag: u8,
    },
    /// A BER length that is indefinite, reserved, or that does not suit the type or the octets that follow.
    BerLength,
    /// BER contents that no encoder may send.
    BerContents,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Truncated { needed, left } => write!(f, "{left} octets where {needed} are needed"),
            Self::ObjectLength { stated } => write!(f, "object length {stated}"),
            Self::Padding { octet } => write!(f, "padding octet {octet:#04x}"),
            Self::NoPadding => f.write_str("an object without its padding"),
            Self::UnknownObject { s_num, s_type } => write!(f, "S-Num {s_num}, S-Type {s_type}"),
            Self::MisplacedObject { s_num } => write!(f, "S-Num {s_num}, which is not allowed here"),
            Self::End => f.write_str("the end of the contents"),
            Self::UnknownTag { tag } => write!(f, "BER tag {tag:#04x}"),
            Self::BerLength => f.write_str("another BER length"),
            Self::BerContents => f.write_str("other BER contents"),
        }
    }
}

impl ProvisioningError {
    /// The error object that a Failure report carries for this fault (RFC 3084 section 4.4).
    pub fn global_error(&self) -> GlobalError {
        match self.fault {
            Fault::UnknownTag { tag } => GlobalError {
                code: GlobalErrorCode::UNKNOWN_ASN1_TAG,
                sub_code: u16::from(tag),
            },
            Fault::BerLength | Fault::BerContents => GlobalErrorCode::INVALID_ASN1_LENGTH.into(),
            Fault::Padding { .. } | Fault::NoPadding => GlobalErrorCode::INVALID_OBJECT_PAD.into(),
            Fault::UnknownObject { s_num, s_type } => GlobalError {
                code: GlobalErrorCode::UNKNOWN_COPS_PR_OBJECT,
                sub_code: u16::from_be_bytes([s_num, s_type]),
            },
            Fault::Truncated { .. }
            | Fault::ObjectLength { .. }
            | Fault::MisplacedObject { .. }
            | Fault::End => GlobalErrorCode::MALFORMED_DECISION.into(),
        }
    }
}

/// Contents of GPERR (RFC 3084 section 4.4): an error of a whole decision, or a warning of the whole PEP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct GlobalError {
    /// What is wrong.
    pub code: GlobalErrorCode,
    /// What the code says of it: the tag (code 3), S-Num and S-Type (code 10), else 0.
    pub sub_code: u16,
}

impl From<GlobalErrorCode> for GlobalError {
    fn from(code: GlobalErrorCode) -> Self {
        Self { code, sub_code: 0 }
    }
}

/// Contents of CPERR (RFC 3084 section 4.5): an error of the instance that the ErrorPRID before it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClassError {
    /// What is wrong.
    pub code: ClassErrorCode,
    /// Number of the attribute (codes 3 to 7), the class's own code (13), else 0.
    pub sub_code: u16,
}

impl From<ClassErrorCode> for ClassError {
    fn from(code: ClassErrorCode) -> Self {
        Self { code, sub_code: 0 }
    }
}

/// A number with names; numbers without one are kept as they came.
macro_rules! error_code {
    ($(#[$doc:meta])* $Code:ident { $($(#[$entry_doc:meta])* $NAME:ident = $number:literal, $label:literal;)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $Code(pub u16);

        impl $Code {
            $($(#[$entry_doc])* pub const $NAME: Self = Self($number);)*

            /// The RFC's name of the code; `None` for a number that it does not define.
            pub const fn label(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some($label),)*
                    _ => None,
                }
            }
        }

        impl fmt::Display for $Code {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.label() {
                    Some(label) => write!(f, "{label}({})", self.0),
                    None => write!(f, "unknown({})", self.0),
                }
            }
        }
    };
}

error_code! {
    /// Error-Code of GPERR.
    GlobalErrorCode {
        /// Memory runs low.
        AVAIL_MEM_LOW = 1, "availMemLow";
        /// No memory is left.
        AVAIL_MEM_EXHAUSTED = 2, "availMemExhausted";
        /// A BER tag that is not known; the sub-code holds it.
        UNKNOWN_ASN1_TAG = 3, "unknownASN.1Tag";
        /// The message, or the transaction, is too big.
        MAX_MSG_SIZE_EXCEEDED = 4, "maxMsgSizeExceeded";
        /// None of the others.
        UNKNOWN_ERROR = 5, "unknownError";
        /// No further request-state can be opened.
        MAX_REQUEST_STATES_OPEN = 6, "maxRequestStatesOpen";
        /// A BER length is wrong.
        INVALID_ASN1_LENGTH = 7, "invalidASN.1Length";
        /// Padding is wrong.
        INVALID_OBJECT_PAD = 8, "invalidObjectPad";
        /// Data that is well formed but unknown; CPERR tells more.
        UNKNOWN_PIB_DATA = 9, "unknownPIBData";
        /// An inner object that is not known; the sub-code holds S-Num and S-Type.
        UNKNOWN_COPS_PR_OBJECT = 10, "unknownCOPSPRObject";
        /// The decision cannot be parsed.
        MALFORMED_DECISION = 11, "malformedDecision";
    }
}

error_code! {
    /// Error-Code of CPERR.
    ClassErrorCode {
        /// No more instances of the class can be taken.
        PRI_SPACE_EXHAUSTED = 1, "priSpaceExhausted";
        /// The instance cannot be installed or removed as things are.
        PRI_INSTANCE_INVALID = 2, "priInstanceInvalid";
        /// The value of the attribute is not legal.
        ATTR_VALUE_INVALID = 3, "attrValueInvalid";
        /// The value is legal but not supported now.
        ATTR_VALUE_SUP_LIMITED = 4, "attrValueSupLimited";
        /// The enumeration is legal but not supported now.
        ATTR_ENUM_SUP_LIMITED = 5, "attrEnumSupLimited";
        /// The value is too long.
        ATTR_MAX_LENGTH_EXCEEDED = 6, "attrMaxLengthExceeded";
        /// The instance that the attribute refers to does not exist.
        ATTR_REFERENCE_UNKNOWN = 7, "attrReferenceUnknown";
        /// The class is only for requests and reports.
        PRI_NOTIFY_ONLY = 8, "priNotifyOnly";
        /// The class is not known.
        UNKNOWN_PRC = 9, "unknownPrc";
        /// Attributes are missing that have no default.
        TOO_FEW_ATTRS = 10, "tooFewAttrs";
        /// An attribute is of another type.
        INVALID_ATTR_TYPE = 11, "invalidAttrType";
        /// The removed instance is still referred to.
        DELETED_IN_REF = 12, "deletedInRef";
        /// The class's own error; the sub-code holds its number.
        PRI_SPECIFIC_ERROR = 13, "priSpecificError";
    }
}
