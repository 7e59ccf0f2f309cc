//! Names and texts of the module: UTF-8, bounded, without control characters.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::client_type::attribute::{Attribute, AttributeFault, Syntax, encode_str, utf8};
use crate::provisioning::ber::Value;

/// Why a text is no [`Name`] or no [`Text`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// Nothing in it.
    #[error("a name has at least one octet")]
    Empty,
    /// Too much in it.
    #[error("{octets} octets of UTF-8 where {max} are allowed")]
    TooLong {
        /// Octets of the text.
        octets: usize,
        /// Octets that are allowed.
        max: usize,
    },
    /// Something that would break a line, a log or a terminal.
    #[error("the control character U+{:04X} at octet {at}", u32::from(*.character))]
    ControlCharacter {
        /// The first such character.
        character: char,
        /// Octet at which it stands, from 0.
        at: usize,
    },
}

fn check(text: &str, max: usize) -> Result<(), InvalidName> {
    if text.len() > max {
        return Err(InvalidName::TooLong {
            octets: text.len(),
            max,
        });
    }
    // Nearly all are plain ASCII, of which this is all that is no control character.
    if text.bytes().all(|octet| matches!(octet, b' '..=b'~')) {
        return Ok(());
    }
    match text.char_indices().find(|(_, character)| character.is_control()) {
        Some((at, character)) => Err(InvalidName::ControlCharacter { character, at }),
        None => Ok(()),
    }
}

fn decode(value: Value<'_>, min: usize, max: usize) -> Result<&str, AttributeFault> {
    let text = utf8(value, min, max)?;
    check(text, max).map_err(|error| AttributeFault::Value(error.to_string()))?;
    Ok(text)
}

/// Name of a server, domain, reserve, line, activity or set: `PwrName` of the module, 1 to 64 octets. A clone shares
/// the text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

impl Name {
    /// Most octets.
    pub const MAX_OCTETS: usize = 64;

    /// Checks `text`.
    ///
    /// # Errors
    ///
    /// It is empty, too long, or holds a control character.
    pub fn new(text: &str) -> Result<Self, InvalidName> {
        if text.is_empty() {
            return Err(InvalidName::Empty);
        }
        check(text, Self::MAX_OCTETS)?;
        Ok(Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Text for people, and patterns: `PwrText` of the module, 0 to 255 octets. A clone shares the text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(Arc<str>);

impl Text {
    /// Most octets.
    pub const MAX_OCTETS: usize = 255;

    /// Checks `text`.
    ///
    /// # Errors
    ///
    /// It is too long, or holds a control character.
    pub fn new(text: &str) -> Result<Self, InvalidName> {
        check(text, Self::MAX_OCTETS)?;
        Ok(Self(text.into()))
    }

    /// The nearest text that can be sent: control characters become blanks, and what is too long is cut at a
    /// character. For reasons that come from elsewhere, such as an operating system's message.
    pub fn lossy(text: &str) -> Self {
        let mut kept = String::with_capacity(text.len().min(Self::MAX_OCTETS));
        for character in text
            .chars()
            .map(|character| if character.is_control() { ' ' } else { character })
        {
            if kept.len() + character.len_utf8() > Self::MAX_OCTETS {
                break;
            }
            kept.push(character);
        }
        Self(kept.into())
    }

    /// The empty text.
    pub fn empty() -> Self {
        Self("".into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

macro_rules! as_text {
    ($Type:ident) => {
        impl fmt::Display for $Type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $Type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl AsRef<str> for $Type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $Type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl PartialEq<str> for $Type {
            fn eq(&self, other: &str) -> bool {
                &*self.0 == other
            }
        }

        impl PartialEq<&str> for $Type {
            fn eq(&self, other: &&str) -> bool {
                &*self.0 == *other
            }
        }

        impl FromStr for $Type {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }

        impl TryFrom<&str> for $Type {
            type Error = InvalidName;

            fn try_from(text: &str) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $Type {
            type Error = InvalidName;

            fn try_from(text: String) -> Result<Self, InvalidName> {
                Self::new(&text)
            }
        }
    };
}

as_text!(Name);
as_text!(Text);

impl Attribute for Name {
    const SYNTAX: Syntax = Syntax::OctetString {
        min: 1,
        max: Self::MAX_OCTETS,
        text: true,
    };
    const EXPECTED: &'static str = "a name of 1 to 64 octets of UTF-8 without control characters";
    const MAX_OCTETS: usize = 2 + Self::MAX_OCTETS;

    fn encode(&self, out: &mut Vec<u8>) {
        encode_str(&self.0, out);
    }

    fn decode(value: Value<'_>) -> Result<Self, AttributeFault> {
        decode(value, 1, Self::MAX_OCTETS).map(|text| Self(text.into()))
    }
}

/// `PwrNameOrNone`: the empty string stands for none.
impl Attribute for Option<Name> {
    const SYNTAX: Syntax = Syntax::OctetString {
        min: 0,
        max: Name::MAX_OCTETS,
        text: true,
    };
    const EXPECTED: &'static str = "a name of at most 64 octets of UTF-8 without control characters";
    const MAX_OCTETS: usize = 2 + Name::MAX_OCTETS;

    fn encode(&self, out: &mut Vec<u8>) {
        encode_str(self.as_ref().map_or("", Name::as_str), out);
    }

    fn decode(value: Value<'_>) -> Result<Self, AttributeFault> {
        let text = decode(value, 0, Name::MAX_OCTETS)?;
        Ok((!text.is_empty()).then(|| Name(text.into())))
    }
}

impl Attribute for Text {
    const SYNTAX: Syntax = Syntax::OctetString {
        min: 0,
        max: Self::MAX_OCTETS,
        text: true,
    };
    const EXPECTED: &'static str = "at most 255 octets of UTF-8 without control characters";
    const MAX_OCTETS: usize = 3 + Self::MAX_OCTETS;

    fn encode(&self, out: &mut Vec<u8>) {
        encode_str(&self.0, out);
    }

    fn decode(value: Value<'_>) -> Result<Self, AttributeFault> {
        decode(value, 0, Self::MAX_OCTETS).map(|text| Self(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_to_64_octets_without_control_characters() {
        assert_eq!(Name::new(""), Err(InvalidName::Empty));
        assert!(Name::new(&"a".repeat(64)).is_ok());
        assert_eq!(
            Name::new(&"a".repeat(65)),
            Err(InvalidName::TooLong { octets: 65, max: 64 })
        );
        assert_eq!(
            Name::new(&"ä".repeat(33)),
            Err(InvalidName::TooLong { octets: 66, max: 64 })
        );
        assert_eq!(
            Name::new("a\u{7}b"),
            Err(InvalidName::ControlCharacter {
                character: '\u{7}',
                at: 1
            })
        );
        assert_eq!(
            Name::new("é\u{85}"),
            Err(InvalidName::ControlCharacter {
                character: '\u{85}',
                at: 2
            })
        );
        assert_eq!(
            Name::new("a\nb").unwrap_err().to_string(),
            "the control character U+000A at octet 1"
        );
    }

    #[test]
    fn a_lossy_text_can_always_be_sent() {
        assert_eq!(Text::lossy("a\nb\u{1b}[m"), "a b [m");
        let cut = Text::lossy(&"ä".repeat(200));
        assert_eq!(cut.as_str().len(), 254);
        assert_eq!(Text::new(cut.as_str()), Ok(cut));
    }
}
