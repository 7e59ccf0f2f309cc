use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Longest name, in octets of UTF-8 (design: "Names UTF-8, at most 64 octets").
pub const MAX_NAME_OCTETS: usize = 64;

/// Name of a server, domain, reserve, line, activity, set or PEP: UTF-8, 1 to 64 octets, no control characters.
///
/// Cheap to clone; ordered by its octets, which is the tie-breaking order of the planner.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(Arc<str>);

/// Why a text is no [`Name`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text is empty.
    #[error("a name has at least one character")]
    Empty,
    /// The text is longer than [`MAX_NAME_OCTETS`].
    #[error("a name has at most {MAX_NAME_OCTETS} octets, this one has {octets}")]
    TooLong {
        /// Octets found.
        octets: usize,
    },
    /// The text holds a control character.
    #[error("a name holds no control characters, this one has U+{code:04X}")]
    Control {
        /// The first offending character.
        code: u32,
    },
}

impl Name {
    /// Checks and keeps `text`.
    pub fn new(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > MAX_NAME_OCTETS {
            return Err(NameError::TooLong { octets: text.len() });
        }
        if let Some(c) = text.chars().find(|c| c.is_control()) {
            return Err(NameError::Control { code: u32::from(c) });
        }
        Ok(Self(Arc::from(text)))
    }

    /// The text of the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        Self::new(&text)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_the_wire_cannot_carry() {
        assert_eq!(Name::new(""), Err(NameError::Empty));
        assert_eq!(Name::new(&"x".repeat(65)), Err(NameError::TooLong { octets: 65 }));
        assert_eq!(Name::new("a\nb"), Err(NameError::Control { code: 10 }));
        assert_eq!(Name::new(&"x".repeat(64)).map(|n| n.as_str().len()), Ok(64));
    }
}
