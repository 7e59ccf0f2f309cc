//! The lines of the protocol (RFC 9271 section 4.2).

/// Why an answer is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// upsd refuses, with its code: `DATA-STALE`, `DRIVER-NOT-CONNECTED`, `UNKNOWN-UPS`, ...
    #[error("upsd says {0}")]
    Refused(String),
    /// Something that is no answer to the question.
    #[error("upsd answered {found:?}, expected {expected}")]
    Unexpected {
        /// What came, cut short.
        found: String,
        /// What would have been an answer.
        expected: &'static str,
    },
}

/// How much of a line that was not understood an error shows, in characters.
const SHOWN: usize = 60;

impl Fault {
    fn unexpected(line: &str, expected: &'static str) -> Self {
        Self::Unexpected {
            found: line.chars().take(SHOWN).collect(),
            expected,
        }
    }
}

/// Where a listing stands after a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// The listing has begun.
    Begun,
    /// A variable.
    Variable {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
    /// The listing has ended.
    Ended,
}

/// The question for all variables of a UPS.
pub fn list_variables(ups: &str) -> String {
    format!("LIST VAR {ups}")
}

/// Reads one line of the answer to [`list_variables`].
///
/// # Errors
/// A refusal, or a line that does not belong there. Either way what was listed so far is worth nothing.
pub fn listing(ups: &str, line: &str) -> Result<Progress, Fault> {
    let words = split(line).ok_or_else(|| Fault::unexpected(line, "words, quoted where they hold blanks"))?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["ERR", code, ..] => Err(Fault::Refused((*code).to_owned())),
        ["BEGIN", "LIST", "VAR", name] if *name == ups => Ok(Progress::Begun),
        ["END", "LIST", "VAR", name] if *name == ups => Ok(Progress::Ended),
        ["VAR", of, name, value] if *of == ups => Ok(Progress::Variable {
            name: (*name).to_owned(),
            value: (*value).to_owned(),
        }),
        _ => Err(Fault::unexpected(line, "a line of LIST VAR")),
    }
}

/// Splits a line into words. A word in quotes may hold blanks, and `\` before a quote or a `\`.
fn split(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut characters = line.trim_end().chars().peekable();
    loop {
        while characters.next_if_eq(&' ').is_some() {}
        match characters.peek() {
            None => return Some(words),
            Some('"') => {
                characters.next();
                let mut word = String::new();
                loop {
                    match characters.next()? {
                        '"' => break,
                        '\\' => word.push(characters.next()?),
                        other => word.push(other),
                    }
                }
                words.push(word);
            }
            Some(_) => {
                let mut word = String::new();
                while let Some(character) = characters.next_if(|c| *c != ' ') {
                    word.push(character);
                }
                words.push(word);
            }
        }
    }
}
