//! The declaration of a class: one list of attributes, from which struct, codec and table all follow.

/// Declares a class: the struct, its place in the tree, and the codec of its attributes.
///
/// ```text
/// row_class! {
///     /// What the class is.
///     Name = "moduleName", [ARC of its entry...], Access, unique [field, ...];
///     /// What the attribute is.
///     2 field: Type,                        the attribute's number, its name without the class's prefix
///     3 field: Type => Class,               a ReferenceId of that class
///     4 field: Type = default,              DEFVAL: stands for NULL and for an attribute that is missing at the end
/// }
/// ```
macro_rules! row_class {
    (
        $(#[$doc:meta])*
        $Class:ident = $name:literal, $arcs:expr, $Access:ident, unique [$($unique:ident),*];
        $(
            $(#[$attribute_doc:meta])*
            $number:literal $field:ident : $Type:ty $(=> $Target:ident)? $(= $default:expr)?
        ),+ $(,)?
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub struct $Class {
            /// Number of the instance, given by its sender and kept for its life; attribute 1.
            pub instance: $crate::provisioning::InstanceId,
            $($(#[$attribute_doc])* pub $field: $Type,)+
        }

        impl $crate::client_type::row::RowClass for $Class {
            const NAME: &'static str = $name;
            const ENTRY: &'static [u32] = &$arcs;
            const ACCESS: $crate::client_type::Access = $crate::client_type::Access::$Access;
            const UNIQUENESS: &'static [&'static str] = &[$(stringify!($unique)),*];
            const ATTRIBUTES: &'static [$crate::client_type::AttributeInfo] = &[
                $crate::client_type::AttributeInfo {
                    number: 1,
                    field: "instance",
                    syntax: $crate::client_type::Syntax::InstanceId,
                    has_default: false,
                    references: None,
                },
                $($crate::client_type::AttributeInfo {
                    number: $number,
                    field: stringify!($field),
                    syntax: <$Type as $crate::client_type::attribute::Attribute>::SYNTAX,
                    has_default: row_class!(@has_default $($default)?),
                    references: row_class!(@references $($Target)?),
                }),+
            ];
            const MAX_VALUES_OCTETS: usize =
                7 $(+ <$Type as $crate::client_type::attribute::Attribute>::MAX_OCTETS)+;

            fn instance(&self) -> $crate::provisioning::InstanceId {
                self.instance
            }

            fn encode_values(&self, out: &mut Vec<u8>) {
                use $crate::client_type::attribute::Attribute;
                // Here, so that it is checked for each class when the crate is built.
                const { assert!($Class::FITS, "the class is larger than an EPD") };
                self.instance.encode(out);
                $(self.$field.encode(out);)+
            }

            fn decode_values(
                instance: $crate::provisioning::InstanceId,
                values: &mut $crate::client_type::row::Values<'_>,
            ) -> Result<Self, $crate::client_type::RowFault> {
                Ok(Self {
                    instance,
                    $($field: values.next($number, row_class!(@default $($default)?))?,)+
                })
            }

            fn unique_key(&self) -> Option<Vec<u8>> {
                row_class!(@unique self $($unique)*)
            }

            fn references(&self) -> Vec<$crate::client_type::row::Reference> {
                use $crate::client_type::attribute::Attribute;
                let mut references = Vec::new();
                $(row_class!(@reference self references $number $field $($Target)?);)+
                // Not every class has one.
                let _ = (&mut references, <u32 as Attribute>::MAX_OCTETS);
                references
            }
        }

        impl $Class {
            /// A quarter of what an EPD can hold: no row comes near the bounds of inner objects or of the objects around
            /// them.
            const FITS: bool = <Self as $crate::client_type::row::RowClass>::MAX_VALUES_OCTETS
                <= $crate::provisioning::object::MAX_CONTENTS_OCTETS / 4;
        }

        impl $crate::client_type::row::Sealed for $Class {}

        impl $crate::client_type::TypedRow for $Class {
            const CLASS: $crate::client_type::Class = $crate::client_type::Class::$Class;

            fn from_row(row: &$crate::client_type::Row) -> Option<&Self> {
                match row {
                    $crate::client_type::Row::$Class(row) => Some(row),
                    _ => None,
                }
            }
        }

        impl From<$Class> for $crate::client_type::Row {
            fn from(row: $Class) -> Self {
                Self::$Class(row)
            }
        }
    };
    (@has_default) => { false };
    (@has_default $default:expr) => { true };
    (@default) => { None };
    (@default $default:expr) => { Some($default) };
    (@references) => { None };
    (@references $Target:ident) => { Some($crate::client_type::Class::$Target) };
    (@unique $self:ident) => { None };
    (@unique $self:ident $($unique:ident)+) => {{
        use $crate::client_type::attribute::Attribute;
        let mut key = Vec::new();
        $($self.$unique.encode(&mut key);)+
        Some(key)
    }};
    (@reference $self:ident $references:ident $number:literal $field:ident) => {};
    (@reference $self:ident $references:ident $number:literal $field:ident $Target:ident) => {
        if let Some(instance) = $self.$field.reference() {
            $references.push($crate::client_type::row::Reference {
                attribute: $number,
                target: $crate::client_type::RowId { class: $crate::client_type::Class::$Target, instance },
            });
        }
    };
}

/// Declares an enumeration of the module.
macro_rules! enumeration {
    ($(#[$doc:meta])* $Name:ident { $($(#[$variant_doc:meta])* $Variant:ident = $number:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $Name { $($(#[$variant_doc])* $Variant = $number),+ }

        impl $Name {
            /// All values, by number.
            pub const ALL: &'static [Self] = &[$(Self::$Variant),+];

            /// The number on the wire.
            pub const fn number(self) -> i32 {
                self as i32
            }

            /// `None` for a number that the module does not give.
            pub const fn from_number(number: i32) -> Option<Self> {
                match number {
                    $($number => Some(Self::$Variant),)+
                    _ => None,
                }
            }
        }

        impl $crate::client_type::attribute::Attribute for $Name {
            const SYNTAX: $crate::client_type::Syntax =
                $crate::client_type::Syntax::Enumeration(&[$((stringify!($Variant), $number)),+]);
            const EXPECTED: &'static str = concat!("a number of ", stringify!($Name));
            const MAX_OCTETS: usize = 6;

            fn encode(&self, out: &mut Vec<u8>) {
                self.number().encode(out);
            }

            fn decode(
                value: $crate::provisioning::ber::Value<'_>,
            ) -> Result<Self, $crate::client_type::attribute::AttributeFault> {
                let number = i32::decode(value)?;
                Self::from_number(number).ok_or_else(|| {
                    $crate::client_type::attribute::AttributeFault::Value(number.to_string())
                })
            }
        }
    };
}

/// Declares the errors of a class's INSTALL-ERRORS clause: sub-codes of CPERR 13.
macro_rules! install_errors {
    ($(#[$doc:meta])* $Name:ident { $($(#[$variant_doc:meta])* $Variant:ident = $number:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $Name { $($(#[$variant_doc])* $Variant = $number),+ }

        impl $Name {
            /// Names and numbers of all.
            pub const ALL: &'static [(&'static str, u16)] = &[$((stringify!($Variant), $number)),+];

            /// Sub-code of the CPERR.
            pub const fn number(self) -> u16 {
                self as u16
            }

            /// The CPERR: priSpecificError with the number as sub-code.
            pub const fn class_error(self) -> $crate::provisioning::ClassError {
                $crate::provisioning::ClassError {
                    code: $crate::provisioning::ClassErrorCode::PRI_SPECIFIC_ERROR,
                    sub_code: self.number(),
                }
            }
        }
    };
}

pub(super) use {enumeration, install_errors, row_class};
