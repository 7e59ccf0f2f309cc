//! TOML files whose errors name the file, the line and the key.

use crate::limits;
use serde::de::DeserializeOwned;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue};

/// What is wrong in a file, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{}{}: {problem}", file.display(), colon(line.as_ref()), colon(key.as_ref()))]
pub struct TomlError {
    /// The file.
    pub file: PathBuf,
    /// Line in it, from 1.
    pub line: Option<usize>,
    /// The key, with the tables it stands in: `server[2].idle_watts`.
    pub key: Option<String>,
    /// What is wrong, and what was expected.
    pub problem: String,
}

fn colon<T: std::fmt::Display>(part: Option<&T>) -> String {
    part.map_or_else(String::new, |part| format!(":{part}"))
}

/// A TOML file's text, and its name for errors.
#[derive(Clone, Debug)]
pub struct TomlFile {
    file: PathBuf,
    text: String,
}

impl TomlFile {
    /// Reads a file of at most [`limits::MAX_CONFIG_OCTETS`].
    ///
    /// # Errors
    /// It cannot be read, or is too long.
    pub fn read(file: &Path) -> Result<Self, TomlError> {
        let mut this = TomlFile {
            file: file.to_owned(),
            text: String::new(),
        };
        let read = std::fs::File::open(file).and_then(|open| {
            open.take(limits::MAX_CONFIG_OCTETS + 1)
                .read_to_string(&mut this.text)
        });
        match read {
            Err(error) => Err(this.error(None, format!("cannot be read: {error}"))),
            Ok(octets) if octets as u64 > limits::MAX_CONFIG_OCTETS => {
                let most = limits::MAX_CONFIG_OCTETS;
                Err(this.error(None, format!("is longer than {most} octets")))
            }
            Ok(_) => Ok(this),
        }
    }

    /// A text that stands in no file, under a name for errors.
    pub fn from_text(file: &Path, text: &str) -> Self {
        TomlFile {
            file: file.to_owned(),
            text: text.to_owned(),
        }
    }

    /// Decodes the text.
    ///
    /// # Errors
    /// Its first fault, with the line and the key it is at.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, TomlError> {
        toml::from_str(&self.text).map_err(|error| {
            let problem = error.message().trim_end().replace('\n', ", ");
            self.error(error.span(), problem)
        })
    }

    /// An error at a key. `list` is the name of an array of tables and an index in it, if the key stands in one; a key
    /// that is not in the file is reported at its table. `key` may leave out its unit: `idle` finds `idle_watts`.
    pub fn error_at(&self, list: Option<(&str, usize)>, key: &str, problem: String) -> TomlError {
        let place = match list {
            Some((list, index)) => format!("{list}[{index}].{key}"),
            None => key.to_owned(),
        };
        let Ok(root) = DeTable::parse(&self.text) else {
            return self.error(None, problem);
        };
        let (table, span) = match list.and_then(|(list, index)| entry(root.get_ref(), list, index)) {
            Some((table, span)) => (table, Some(span)),
            None => (root.get_ref(), None),
        };
        let with_unit = format!("{key}_");
        let found = table.iter().find(|(name, _)| *name.get_ref() == key);
        let found = found.or_else(|| {
            table
                .iter()
                .find(|(name, _)| name.get_ref().starts_with(&with_unit))
        });
        match found {
            Some((name, value)) => {
                let place = place.strip_suffix(key).unwrap_or(&place);
                TomlError {
                    file: self.file.clone(),
                    line: Some(self.line(value.span().start)),
                    key: Some(format!("{place}{}", name.get_ref())),
                    problem,
                }
            }
            None => TomlError {
                file: self.file.clone(),
                line: span.map(|span| self.line(span.start)),
                key: Some(place),
                problem,
            },
        }
    }

    /// An error at a key of a plain table, such as `address` of `[pdp]`; a key that is not there is reported at its table.
    pub fn error_in(&self, table: &str, key: &str, problem: String) -> TomlError {
        let found = DeTable::parse(&self.text).ok().and_then(|root| {
            let (_, value) = root.get_ref().iter().find(|(name, _)| *name.get_ref() == table)?;
            let inner = value.get_ref().as_table()?;
            let key = inner.iter().find(|(name, _)| *name.get_ref() == key);
            Some(key.map_or_else(|| value.span().start, |(_, value)| value.span().start))
        });
        TomlError {
            file: self.file.clone(),
            line: found.map(|offset| self.line(offset)),
            key: Some(format!("{table}.{key}")),
            problem,
        }
    }

    fn error(&self, span: Option<Range<usize>>, problem: String) -> TomlError {
        let key = span.as_ref().and_then(|span| {
            let root = DeTable::parse(&self.text).ok()?;
            key_at(root.get_ref(), span).filter(|key| !key.is_empty())
        });
        TomlError {
            file: self.file.clone(),
            line: span.map(|span| self.line(span.start)),
            key,
            problem,
        }
    }

    fn line(&self, offset: usize) -> usize {
        self.text
            .as_bytes()
            .iter()
            .take(offset)
            .filter(|octet| **octet == b'\n')
            .count()
            + 1
    }
}

fn entry<'a>(root: &'a DeTable<'a>, list: &str, index: usize) -> Option<(&'a DeTable<'a>, Range<usize>)> {
    let array = root.iter().find(|(name, _)| *name.get_ref() == list)?.1;
    let item = array.get_ref().as_array()?.get(index)?;
    Some((item.get_ref().as_table()?, item.span()))
}

/// The dotted path of the innermost key whose name or value holds `span`.
fn key_at(table: &DeTable<'_>, span: &Range<usize>) -> Option<String> {
    let inside = |outer: Range<usize>| outer.start <= span.start && span.end <= outer.end;
    for (name, value) in table {
        if inside(name.span()) {
            return Some(name.get_ref().to_string());
        }
        if let Some(rest) = key_in(value.get_ref(), span) {
            return Some(format!("{}{rest}", name.get_ref()));
        }
        if inside(value.span()) {
            return Some(name.get_ref().to_string());
        }
    }
    None
}

/// What follows a key's name on the way to `span`: `[2].idle_watts`.
fn key_in(value: &DeValue<'_>, span: &Range<usize>) -> Option<String> {
    match value {
        DeValue::Table(table) => key_at(table, span).map(|rest| format!(".{rest}")),
        DeValue::Array(array) => array.iter().enumerate().find_map(|(index, item)| {
            if let Some(rest) = key_in(item.get_ref(), span) {
                return Some(format!("[{index}]{rest}"));
            }
            let outer = item.span();
            (outer.start <= span.start && span.end <= outer.end).then(|| format!("[{index}]"))
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Form {
        top: u32,
        #[serde(default)]
        server: Vec<Server>,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Server {
        idle_watts: u32,
        #[serde(default)]
        inlets: Vec<std::collections::BTreeMap<String, u32>>,
    }

    fn fault(text: &str) -> String {
        TomlFile::from_text(Path::new("f.toml"), text)
            .decode::<Form>()
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn an_error_names_file_line_key_and_what_was_expected() {
        assert_eq!(
            fault("top = 'x'"),
            "f.toml:1:top: invalid type: string \"x\", expected u32"
        );
        let nested = fault("top = 1\n[[server]]\nidle_watts = 1\n[[server]]\nidle_watts = -1\n");
        assert!(
            nested.starts_with("f.toml:5:server[1].idle_watts: invalid value"),
            "{nested}"
        );
        let unknown = fault("top = 1\n\n[[server]]\nidle = 1\n");
        assert!(
            unknown.starts_with("f.toml:4:server[0].idle: unknown field `idle`, expected"),
            "{unknown}"
        );
        let inline = fault("top = 1\n[[server]]\nidle_watts = 1\ninlets = [{ a = 1 }, { b = true }]\n");
        assert!(
            inline.starts_with("f.toml:4:server[0].inlets[1].b: invalid type: boolean"),
            "{inline}"
        );
        let missing = fault("top = 1\n[[server]]\n");
        assert_eq!(missing, "f.toml:2:server[0]: missing field `idle_watts`");
        let broken = fault("top = 1\nother =\n");
        assert!(broken.starts_with("f.toml:2: "), "{broken}");
    }

    #[test]
    fn an_error_of_meaning_is_placed_at_its_key_or_its_table() {
        let text = "top = 1\n[[server]]\nidle_watts = 1\n[[server]]\nidle_watts = 2\n";
        let file = TomlFile::from_text(Path::new("f.toml"), text);
        let at = |list, key| file.error_at(list, key, "no".into()).to_string();
        assert_eq!(
            at(Some(("server", 1)), "idle"),
            "f.toml:5:server[1].idle_watts: no"
        );
        assert_eq!(at(Some(("server", 1)), "peak"), "f.toml:4:server[1].peak: no");
        assert_eq!(at(None, "top"), "f.toml:1:top: no");
        assert_eq!(at(None, "bottom"), "f.toml:bottom: no");
    }

    #[test]
    fn a_file_that_is_not_there_or_too_long_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("f.toml");
        let missing = TomlFile::read(&file).unwrap_err().to_string();
        assert!(
            missing.starts_with(&format!("{}: cannot be read: ", file.display())),
            "{missing}"
        );
        std::fs::write(&file, vec![b' '; limits::MAX_CONFIG_OCTETS as usize + 1]).unwrap();
        assert!(
            TomlFile::read(&file)
                .unwrap_err()
                .to_string()
                .ends_with("is longer than 1048576 octets")
        );
    }
}
