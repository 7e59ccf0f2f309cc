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

/// The question for all devices.
pub fn list_devices() -> String {
    "LIST UPS".to_owned()
}

/// Reads one line of the answer to [`list_devices`]: a device's name is in [`Progress::Variable`], its description its
/// value.
///
/// # Errors
/// A refusal, or a line that does not belong there.
pub fn device_listing(line: &str) -> Result<Progress, Fault> {
    let words = words(line)?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["ERR", code, ..] => Err(Fault::Refused((*code).to_owned())),
        ["BEGIN", "LIST", "UPS"] => Ok(Progress::Begun),
        ["END", "LIST", "UPS"] => Ok(Progress::Ended),
        ["UPS", name, description] => Ok(Progress::Variable {
            name: (*name).to_owned(),
            value: (*description).to_owned(),
        }),
        _ => Err(Fault::unexpected(line, "a line of LIST UPS")),
    }
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
    let words = words(line)?;
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

/// The question for one variable of a UPS.
pub fn get_variable(ups: &str, variable: &str) -> String {
    format!("GET VAR {ups} {variable}")
}

/// Reads the answer to [`get_variable`].
///
/// # Errors
/// A refusal, or a line that does not belong there.
pub fn variable(ups: &str, variable: &str, line: &str) -> Result<String, Fault> {
    match words(line)?.as_slice() {
        [said, code, ..] if said == "ERR" => Err(Fault::Refused(code.clone())),
        [said, of, name, value] if said == "VAR" && of == ups && name == variable => Ok(value.clone()),
        _ => Err(Fault::unexpected(
            line,
            "VAR with the variable that was asked for",
        )),
    }
}

/// Tells upsd who asks.
pub fn username(user: &str) -> String {
    format!("USERNAME {}", quoted(user))
}

/// Tells upsd the password of who asks.
pub fn password(password: &str) -> String {
    format!("PASSWORD {}", quoted(password))
}

/// Asks that commands be given an identifier by which their result can be asked for.
pub fn tracking_on() -> String {
    "SET TRACKING ON".to_owned()
}

/// An instant command of a UPS.
pub fn instant_command(ups: &str, command: &str) -> String {
    format!("INSTCMD {ups} {command}")
}

/// A new value of a variable of a UPS.
pub fn set_variable(ups: &str, variable: &str, value: &str) -> String {
    format!("SET VAR {ups} {variable} {}", quoted(value))
}

/// Reads the answer to a command: what follows its `OK`.
///
/// # Errors
/// A refusal, or a line that does not belong there.
pub fn accepted(line: &str) -> Result<Vec<String>, Fault> {
    match words(line)?.as_slice() {
        [said, code, ..] if said == "ERR" => Err(Fault::Refused(code.clone())),
        [said, rest @ ..] if said == "OK" => Ok(rest.to_vec()),
        _ => Err(Fault::unexpected(line, "OK")),
    }
}

/// What begins TLS.
pub fn start_tls() -> String {
    "STARTTLS".to_owned()
}

/// The question for the result of a command.
pub fn get_tracking(id: &str) -> String {
    format!("GET TRACKING {id}")
}

/// Where a command stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tracking {
    /// Its driver has not answered yet.
    Pending,
    /// Its driver has carried it out.
    Succeeded,
}

/// Reads the answer to [`get_tracking`].
///
/// # Errors
/// The driver refused or failed, or a line that does not belong there.
pub fn tracking(line: &str) -> Result<Tracking, Fault> {
    match words(line)?.as_slice() {
        [said, code, ..] if said == "ERR" => Err(Fault::Refused(code.clone())),
        [said] if said == "PENDING" => Ok(Tracking::Pending),
        [said] if said == "SUCCESS" => Ok(Tracking::Succeeded),
        _ => Err(Fault::unexpected(line, "PENDING, SUCCESS or ERR")),
    }
}

/// A word in quotes. What ends a line does not get here: names and passwords are checked where they come from.
fn quoted(word: &str) -> String {
    format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
}

fn words(line: &str) -> Result<Vec<String>, Fault> {
    split(line).ok_or_else(|| Fault::unexpected(line, "words, quoted where they hold blanks"))
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
