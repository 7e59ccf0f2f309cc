use std::fmt;

use serde::{Deserialize, Serialize};

use crate::limits::{MAX_PATTERN_OCTETS, MAX_SUBJECT_OCTETS};

/// A glob pattern that covers a whole text: `*` any run of characters, `?` one character, `[a-z]` one character of a
/// set, `[!a-z]` one character outside it, `\` takes the next character as it stands. Case counts.
///
/// It is no regular expression on purpose: a pattern that comes over the wire must not be able to cost more than
/// pattern length times text length, both of which are bounded ([`MAX_PATTERN_OCTETS`], [`MAX_SUBJECT_OCTETS`]).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Glob {
    text: String,
    tokens: Vec<Token>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// `*`; several in a row are one.
    AnyRun,
    /// `?`
    AnyOne,
    /// A character as it stands.
    Literal(char),
    /// `[...]`: inclusive ranges, and whether they are excluded.
    Set {
        excluded: bool,
        ranges: Vec<(char, char)>,
    },
}

/// Why a text is no [`Glob`]. Offsets are octets from the start of the pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GlobError {
    /// Nothing at all, which would match only the empty text.
    #[error("a pattern has at least one character")]
    Empty,
    /// More than [`MAX_PATTERN_OCTETS`].
    #[error("a pattern has at most {MAX_PATTERN_OCTETS} octets, this one has {octets}")]
    TooLong {
        /// Octets found.
        octets: usize,
    },
    /// A `[` without its `]`.
    #[error("the '[' at offset {offset} has no ']'")]
    Unclosed {
        /// Where the `[` stands.
        offset: usize,
    },
    /// `[]` or `[!]`.
    #[error("the set at offset {offset} is empty; a ']' of its own is written '\\]'")]
    EmptySet {
        /// Where the `[` stands.
        offset: usize,
    },
    /// A range that runs backwards.
    #[error("the range {first}-{last} at offset {offset} runs backwards")]
    Backwards {
        /// Where the range begins.
        offset: usize,
        /// Its first character.
        first: char,
        /// Its last character.
        last: char,
    },
    /// A `\` at the end.
    #[error("the '\\' at the end takes no character")]
    DanglingEscape,
}

impl Glob {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// [`GlobError`] with the offset of what was not understood.
    pub fn new(text: &str) -> Result<Self, GlobError> {
        if text.is_empty() {
            return Err(GlobError::Empty);
        }
        if text.len() > MAX_PATTERN_OCTETS {
            return Err(GlobError::TooLong { octets: text.len() });
        }
        let mut tokens = Vec::new();
        let mut chars = text.char_indices();
        while let Some((offset, c)) = chars.next() {
            let token = match c {
                '*' if tokens.last() == Some(&Token::AnyRun) => continue,
                '*' => Token::AnyRun,
                '?' => Token::AnyOne,
                '[' => set(offset, &mut chars)?,
                '\\' => Token::Literal(chars.next().ok_or(GlobError::DanglingEscape)?.1),
                other => Token::Literal(other),
            };
            tokens.push(token);
        }
        Ok(Self {
            text: text.to_owned(),
            tokens,
        })
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the pattern covers the whole of `subject` (of which [`MAX_SUBJECT_OCTETS`] are looked at).
    pub fn matches(&self, subject: &str) -> bool {
        let mut rest = cut(subject).chars();
        let mut token = 0;
        // The last `*` seen, and what was left of the text when it had swallowed as much as it has now. Going back
        // to the last one alone is enough: what an earlier one could swallow more, the last one can too.
        let mut back: Option<(usize, std::str::Chars<'_>)> = None;
        loop {
            let mut ahead = rest.clone();
            match (self.tokens.get(token), ahead.next()) {
                (Some(Token::AnyRun), _) => {
                    token += 1;
                    back = Some((token, rest.clone()));
                    continue;
                }
                (Some(t), Some(c)) if t.takes(c) => {
                    token += 1;
                    rest = ahead;
                    continue;
                }
                (None, None) => return true,
                _ => {}
            }
            let Some((after, from)) = &mut back else {
                return false;
            };
            if from.next().is_none() {
                return false;
            }
            token = *after;
            rest = from.clone();
        }
    }
}

impl Token {
    fn takes(&self, c: char) -> bool {
        match self {
            Self::AnyRun => false,
            Self::AnyOne => true,
            Self::Literal(l) => *l == c,
            Self::Set { excluded, ranges } => ranges.iter().any(|(a, b)| (*a..=*b).contains(&c)) != *excluded,
        }
    }
}

/// Reads a set whose `[` at `start` has been taken.
fn set(start: usize, chars: &mut std::str::CharIndices<'_>) -> Result<Token, GlobError> {
    let unclosed = GlobError::Unclosed { offset: start };
    let mut ranges: Vec<(char, char)> = Vec::new();
    let excluded = chars.as_str().starts_with('!');
    if excluded {
        chars.next();
    }
    loop {
        let Some((offset, c)) = chars.next() else {
            return Err(unclosed);
        };
        if c == ']' {
            break;
        }
        let first = escaped(c, chars).ok_or_else(|| unclosed.clone())?;
        // A '-' before the closing ']' stands for itself.
        let is_range = chars.as_str().starts_with('-') && !chars.as_str().starts_with("-]");
        if !is_range {
            ranges.push((first, first));
            continue;
        }
        chars.next();
        let Some((_, c)) = chars.next() else {
            return Err(unclosed);
        };
        let last = escaped(c, chars).ok_or_else(|| unclosed.clone())?;
        if last < first {
            return Err(GlobError::Backwards { offset, first, last });
        }
        ranges.push((first, last));
    }
    if ranges.is_empty() {
        return Err(GlobError::EmptySet { offset: start });
    }
    Ok(Token::Set { excluded, ranges })
}

fn escaped(c: char, chars: &mut std::str::CharIndices<'_>) -> Option<char> {
    match c {
        '\\' => chars.next().map(|(_, c)| c),
        other => Some(other),
    }
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(MAX_SUBJECT_OCTETS);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

impl TryFrom<String> for Glob {
    type Error = GlobError;

    fn try_from(text: String) -> Result<Self, GlobError> {
        Self::new(&text)
    }
}

impl From<Glob> for String {
    fn from(glob: Glob) -> Self {
        glob.text
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Debug for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, subject: &str) -> bool {
        Glob::new(pattern).unwrap().matches(subject)
    }

    #[test]
    fn covers_the_whole_text() {
        for (pattern, subject, expected) in [
            ("postgres", "postgres", true),
            ("postgres", "postgresql", false),
            ("postgres", "Postgres", false),
            ("postgres*", "postgres", true),
            ("postgres*", "postgres: writer", true),
            ("*.db", "orders.db", true),
            ("*.db", "orders.db.old", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxaxx", false),
            ("a*a*a", "aa", false),
            ("**", "", true),
            ("*", "", true),
            ("?", "", false),
            ("db-?", "db-1", true),
            ("db-?", "db-é", true),
            ("db-?", "db-12", false),
            ("db-[0-9]", "db-7", true),
            ("db-[0-9]", "db-x", false),
            ("db-[!0-9]", "db-x", true),
            ("db-[!0-9]", "db-7", false),
            ("[a-cx-]", "-", true),
            ("[a-cx-]", "x", true),
            ("[a-cx-]", "d", false),
            (r"[\]]", "]", true),
            (r"a\*", "a*", true),
            (r"a\*", "ab", false),
            ("[*]", "*", true),
            ("*ab", "aab", true),
            ("*[ab]?d", "xxacd", true),
        ] {
            assert_eq!(matches(pattern, subject), expected, "{pattern} on {subject}");
        }
    }

    #[test]
    fn refuses_what_is_no_pattern_and_says_where() {
        assert_eq!(Glob::new(""), Err(GlobError::Empty));
        assert_eq!(
            Glob::new(&"x".repeat(256)),
            Err(GlobError::TooLong { octets: 256 })
        );
        assert!(Glob::new(&"x".repeat(255)).is_ok());
        assert_eq!(Glob::new("ab[cd"), Err(GlobError::Unclosed { offset: 2 }));
        assert_eq!(Glob::new("[a-"), Err(GlobError::Unclosed { offset: 0 }));
        assert_eq!(Glob::new(r"[\"), Err(GlobError::Unclosed { offset: 0 }));
        assert_eq!(Glob::new("x[]"), Err(GlobError::EmptySet { offset: 1 }));
        assert_eq!(Glob::new("x[!]"), Err(GlobError::EmptySet { offset: 1 }));
        assert_eq!(Glob::new("x\\"), Err(GlobError::DanglingEscape));
        assert_eq!(
            Glob::new("[z-a]"),
            Err(GlobError::Backwards {
                offset: 1,
                first: 'z',
                last: 'a'
            })
        );
    }

    #[test]
    fn the_worst_pattern_stays_bounded() {
        // Exponential in a naive matcher, at most 255 * 1024 steps in this one; a hang would be the failure.
        let pattern = Glob::new(&format!("{}b", "a*".repeat(127))).unwrap();
        assert!(!pattern.matches(&"a".repeat(100_000)));
    }

    /// The obvious recursive definition, beside which the real matcher stands.
    fn naive(pattern: &[Token], text: &[char]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (None, Some(_)) => false,
            (Some((Token::AnyRun, rest)), _) => {
                naive(rest, text) || (!text.is_empty() && naive(pattern, &text[1..]))
            }
            (Some((t, rest)), Some((c, tail))) => t.takes(*c) && naive(rest, tail),
            (Some(_), None) => false,
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_recursive_definition(pattern in "[ab*?]{1,8}", text in "[ab]{0,10}") {
            let glob = Glob::new(&pattern).unwrap();
            let chars: Vec<char> = text.chars().collect();
            prop_assert_eq!(glob.matches(&text), naive(&glob.tokens, &chars));
        }

        #[test]
        fn any_text_is_read_or_refused(pattern in "\\PC{0,300}", text in "\\PC{0,64}") {
            if let Ok(glob) = Glob::new(&pattern) {
                glob.matches(&text);
                prop_assert_eq!(Glob::new(glob.as_str()), Ok(glob));
            }
        }
    }
}
