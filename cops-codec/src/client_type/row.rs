//! Any row: its class, its name, and its encoding as PRID and EPD.

use super::attribute::{Attribute, AttributeFault};
use super::class::{Access, AttributeInfo, RowId};
use super::row_error::{RowError, RowFault};
use super::{feedback, framework, power};
use crate::provisioning::ber;
use crate::provisioning::object::{self, Epd};
use crate::provisioning::{Binding, InstanceId, OidRef, Prid, ProvisioningError};

/// What a class is; implemented by `row_class!` alone.
pub(super) trait RowClass: Sized {
    const NAME: &'static str;
    const ENTRY: &'static [u32];
    const ACCESS: Access;
    const ATTRIBUTES: &'static [AttributeInfo];
    const UNIQUENESS: &'static [&'static str];
    /// Most octets that its attribute values take.
    const MAX_VALUES_OCTETS: usize;

    fn instance(&self) -> InstanceId;
    fn encode_values(&self, out: &mut Vec<u8>);
    fn decode_values(instance: InstanceId, values: &mut Values<'_>) -> Result<Self, RowFault>;
    fn unique_key(&self) -> Option<Vec<u8>>;
    fn references(&self) -> Vec<Reference>;
}

mod sealed {
    pub trait Sealed {}
}
pub(super) use sealed::Sealed;

/// A row of one class; implemented by the structs of [`framework`], [`feedback`] and [`power`] alone.
pub trait TypedRow: Sealed + Sized + 'static {
    /// The class.
    const CLASS: Class;

    /// The row as this struct, if it is one.
    fn from_row(row: &Row) -> Option<&Self>;
}

/// A ReferenceId that a row holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reference {
    /// Number of the attribute.
    pub attribute: u32,
    /// The row that it names, in the same context.
    pub target: RowId,
}

/// Declares [`Class`], [`Row`] and what dispatches over them, from one list of modules and structs.
macro_rules! classes {
    ($($module:ident::$Class:ident),+ $(,)?) => {
        /// A provisioning class that this crate knows. Sorted by its identifier: FRAMEWORK-PIB, then
        /// FRAMEWORK-FEEDBACK-PIB, then the arcs of POWER-DIVERT-PIB.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Class {
            $(
                #[doc = concat!("[`", stringify!($module), "::", stringify!($Class), "`](super::", stringify!($module), "::", stringify!($Class), ")")]
                $Class,
            )+
        }

        impl Class {
            /// All classes, in the order of their identifiers.
            pub const ALL: &'static [Self] = &[$(Self::$Class),+];

            /// The module's name of the class, such as `pwrServer`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$Class => <$module::$Class as RowClass>::NAME,)+
                }
            }

            /// Sub-identifiers of its entry, below which its instances stand.
            pub const fn entry_arcs(self) -> &'static [u32] {
                match self {
                    $(Self::$Class => <$module::$Class as RowClass>::ENTRY,)+
                }
            }

            /// Who sends it.
            pub const fn access(self) -> Access {
                match self {
                    $(Self::$Class => <$module::$Class as RowClass>::ACCESS,)+
                }
            }

            /// Its attributes, in the order of their numbers.
            pub const fn attributes(self) -> &'static [AttributeInfo] {
                match self {
                    $(Self::$Class => <$module::$Class as RowClass>::ATTRIBUTES,)+
                }
            }

            /// Fields whose values no two instances of a context share; none if they may.
            pub const fn uniqueness(self) -> &'static [&'static str] {
                match self {
                    $(Self::$Class => <$module::$Class as RowClass>::UNIQUENESS,)+
                }
            }
        }

        /// A row of any class.
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub enum Row {
            $(
                #[doc = concat!("[`", stringify!($module), "::", stringify!($Class), "`](super::", stringify!($module), "::", stringify!($Class), ")")]
                $Class($module::$Class),
            )+
        }

        impl Row {
            /// Its class.
            pub const fn class(&self) -> Class {
                match self {
                    $(Self::$Class(_) => Class::$Class,)+
                }
            }

            /// Its number.
            pub fn instance(&self) -> InstanceId {
                match self {
                    $(Self::$Class(row) => row.instance(),)+
                }
            }

            /// Appends the attribute values, without object header and padding.
            pub(crate) fn encode_values(&self, out: &mut Vec<u8>) {
                match self {
                    $(Self::$Class(row) => row.encode_values(out),)+
                }
            }

            /// The values of the attributes that UNIQUENESS names, encoded; `None` if the clause is empty.
            pub(crate) fn unique_key(&self) -> Option<Vec<u8>> {
                match self {
                    $(Self::$Class(row) => row.unique_key(),)+
                }
            }

            /// The rows that it refers to.
            pub fn references(&self) -> Vec<Reference> {
                match self {
                    $(Self::$Class(row) => row.references(),)+
                }
            }

            fn decode_values(id: RowId, values: &mut Values<'_>) -> Result<Self, RowFault> {
                match id.class {
                    $(Class::$Class => $module::$Class::decode_values(id.instance, values).map(Self::$Class),)+
                }
            }
        }
    };
}

classes! {
    framework::PrcSupport,
    framework::PibIncarnation,
    framework::DeviceId,
    framework::FrameworkError,
    feedback::FeedbackAction,
    feedback::FeedbackActionList,
    feedback::FeedbackLinkCaps,
    feedback::FeedbackLink,
    power::Server,
    power::Inlet,
    power::Domain,
    power::Reserve,
    power::Supply,
    power::Line,
    power::LineIn,
    power::LineOut,
    power::Activity,
    power::Held,
    power::ActionResult,
    power::ReserveReading,
    power::ServerReading,
    power::Set,
    power::Grouping,
    power::ReadingSel,
    power::Plan,
    power::Stage,
    power::Action,
    power::Divert,
    power::Intake,
    power::Host,
}

/// A row, and what was odd about its encoding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// The row.
    pub row: Row,
    /// Attributes after the last known one; ignored, and worth a warning (RFC 3084 section 2.2.1).
    pub extra_attributes: u32,
}

impl Row {
    /// Its name within the context.
    pub fn id(&self) -> RowId {
        RowId {
            class: self.class(),
            instance: self.instance(),
        }
    }

    /// Its PRID.
    pub fn prid(&self) -> Prid {
        self.id().prid()
    }

    /// Appends PRID and EPD objects.
    pub fn encode(&self, out: &mut Vec<u8>) {
        object::write_instance_prid(out, self.class().entry_ref(), self.instance().get());
        // `row_class!` checks at build time that the longest values of each class fit an EPD.
        #[allow(clippy::expect_used)]
        object::write_epd_with(out, |out| self.encode_values(out))
            .expect("the values of every class fit an EPD");
    }

    /// PRID and EPD objects.
    pub fn to_vec(&self) -> Vec<u8> {
        // Most rows fit.
        let mut out = Vec::with_capacity(128);
        self.encode(&mut out);
        out
    }

    /// Reads the row that a PRID and its EPD say. An empty EPD is a removal (RFC 3318 section 2.3.4) and no row: the
    /// caller looks for it first.
    ///
    /// # Errors
    ///
    /// The class is unknown, the PRID names no instance, or an attribute is missing or not of its type.
    pub fn decode(binding: &Binding<'_>) -> Result<Decoded, RowError> {
        let fail = |offset, fault| RowError {
            prid: Prid(binding.prid.to_oid()),
            offset,
            fault,
        };
        let id = identify(binding.prid).map_err(|fault| fail(binding.offset, fault))?;
        let mut values = Values::new(binding.epd);
        let row = decode_in_full(id, &mut values).map_err(|fault| fail(values.last, fault))?;
        let extra_attributes = values
            .skip_rest()
            .map_err(|error| fail(error.offset, RowFault::Ber(error)))?;
        Ok(Decoded {
            row,
            extra_attributes,
        })
    }
}

/// The row that a PRID names, or what is wrong with the PRID.
pub(crate) fn identify(prid: OidRef<'_>) -> Result<RowId, RowFault> {
    if let Some(id) = RowId::from_prid(prid) {
        return Ok(id);
    }
    let is_known = Class::is_above(prid) || Class::below(prid).next().is_some();
    Err(if is_known {
        RowFault::NotAnInstance
    } else {
        RowFault::UnknownClass
    })
}

/// The index attribute repeats the PRID's last sub-identifier.
fn decode_in_full(id: RowId, values: &mut Values<'_>) -> Result<Row, RowFault> {
    let stated: InstanceId = values.next(1, None)?;
    if stated != id.instance {
        return Err(RowFault::OtherInstance {
            prid: id.instance,
            attribute: stated,
        });
    }
    Row::decode_values(id, values)
}

/// Reads the values of a row's attributes in order.
pub(super) struct Values<'a> {
    reader: ber::Reader<'a>,
    /// Absolute offset of the value read last, or of the end.
    last: usize,
}

impl<'a> Values<'a> {
    fn new(epd: Epd<'a>) -> Self {
        Self {
            reader: epd.values(),
            last: epd.offset,
        }
    }

    /// The value of attribute `number`. `default` stands for NULL and for a value that is missing at the end
    /// (RFC 3084 section 2.2.1).
    pub(super) fn next<T: Attribute>(&mut self, number: u32, default: Option<T>) -> Result<T, RowFault> {
        self.last = self.reader.offset();
        let Some(located) = self.reader.next_value().map_err(RowFault::Ber)? else {
            return default.ok_or(RowFault::TooFew { missing: number });
        };
        if located.value == ber::Value::Null {
            return default.ok_or_else(|| RowFault::Value {
                attribute: number,
                expected: T::EXPECTED,
                found: "NULL, and there is no default".into(),
            });
        }
        T::decode(located.value).map_err(|fault| match fault {
            AttributeFault::WrongType => RowFault::WrongType {
                attribute: number,
                expected: T::EXPECTED,
                tag: located.value.tag().0,
            },
            AttributeFault::Value(found) => RowFault::Value {
                attribute: number,
                expected: T::EXPECTED,
                found,
            },
            AttributeFault::TooLong(octets) => RowFault::TooLong {
                attribute: number,
                octets,
            },
            AttributeFault::NoReference => RowFault::NoReference {
                attribute: number,
                target: None,
            },
        })
    }

    /// Counts the values that no attribute is known for.
    fn skip_rest(&mut self) -> Result<u32, ProvisioningError> {
        let mut count = 0;
        while self.reader.next_value()?.is_some() {
            count += 1;
        }
        Ok(count)
    }
}
