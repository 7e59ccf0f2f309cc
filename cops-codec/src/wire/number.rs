//! Numbers as newtypes: the known values are constants, an unknown one survives.

/// Declares a number of the protocol.
///
/// An `enum` would have to drop or refuse what it does not know; RFC 2748 6 says that values are added later.
macro_rules! number {
    (
        $(#[$doc:meta])*
        pub struct $name:ident($inner:ty) {
            $( $(#[$value_doc:meta])* $constant:ident = $value:literal, $text:literal; )*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl $name {
            $( $(#[$value_doc])* pub const $constant: Self = Self($value); )*

            /// The values that are known here, in rising order.
            pub const KNOWN: &'static [Self] = &[$( Self::$constant ),*];

            /// The name of a known value.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $( $value => Some($text), )*
                    _ => None,
                }
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                match self.name() {
                    Some(name) => f.write_str(name),
                    None => write!(f, "{} {}", stringify!($name), self.0),
                }
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                match self.name() {
                    Some(name) => write!(f, "{}({} {name})", stringify!($name), self.0),
                    None => write!(f, "{}({})", stringify!($name), self.0),
                }
            }
        }

        impl From<$inner> for $name {
            fn from(value: $inner) -> Self {
                Self(value)
            }
        }
    };
}

/// Declares a set of bits of the protocol; unknown bits are kept.
macro_rules! bit_set {
    (
        $(#[$doc:meta])*
        pub struct $name:ident {
            $( $(#[$bit_doc:meta])* $constant:ident = $value:literal, $text:literal; )*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u16);

        impl $name {
            /// No bit set.
            pub const NONE: Self = Self(0);
            $( $(#[$bit_doc])* pub const $constant: Self = Self($value); )*

            /// Whether every bit of `other` is set here.
            #[must_use]
            pub const fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// Whether no bit is set.
            #[must_use]
            pub const fn is_empty(self) -> bool {
                self.0 == 0
            }
        }

        impl core::ops::BitOr for $name {
            type Output = Self;

            fn bitor(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }
        }

        impl core::ops::BitAnd for $name {
            type Output = Self;

            fn bitand(self, other: Self) -> Self {
                Self(self.0 & other.0)
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                let mut rest = self.0;
                let mut separator = "";
                $(
                    if rest & $value != 0 {
                        rest &= !$value;
                        write!(f, "{separator}{}", $text)?;
                        separator = "+";
                    }
                )*
                if rest != 0 {
                    write!(f, "{separator}{rest:#06x}")
                } else if separator.is_empty() {
                    f.write_str("none")
                } else {
                    Ok(())
                }
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
    };
}

pub(crate) use {bit_set, number};
