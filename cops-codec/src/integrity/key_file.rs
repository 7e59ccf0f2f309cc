//! Keys as TOML (RFC 2748 4.2: "COPS implementations MUST at least provide the ability to manually configure keys and their
//! parameters locally").
//!
//! ```toml
//! [[key]]
//! pep = "node7"                       # the PEPID; in a PDP's file only
//! id = 1                              # Key ID, 0 to 4294967295
//! algorithm = "hmac-md5-96"           # the default, and the only one
//! secret_hex = "00112233445566778899aabbccddeeff"
//!                                     # 16 to 256 octets; `openssl rand -hex 16` makes one
//! not_before = 2026-11-01T00:00:00Z
//! not_after = 2027-02-01T00:00:00Z    # or "never"
//! ```
//!
//! The text is the caller's to read, from a file that nobody else may read, and to overwrite. Errors name file, line and
//! key, and never show a secret.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::value::{Datetime, Offset};
use toml::{Spanned, Value};

use super::{Algorithm, Key, KeyRing, KeyTable, Lifetime, Secret, UnixTime, key::wipe};
use crate::wire::{KeyId, PepId};

/// The most octets of such a file: room for thousands of keys.
pub const MAX_FILE_OCTETS: usize = 4 << 20;

/// What is wrong with a file of keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {what}")]
pub struct KeyFileError {
    /// The file.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
    /// What was expected, and found. Holds no secret.
    pub what: String,
}

/// Reads a PEP's file: the keys that it shares with its PDP.
///
/// # Errors
/// If it is no such file; where, and what was expected.
pub fn read_ring(file: &str, text: &str) -> Result<KeyRing, KeyFileError> {
    let source = Source { file, text };
    let mut keys = Vec::new();
    for entry in source.entries()? {
        if let Some(pep) = &entry.pep {
            return Err(source.error(pep.span().start, "expected no `pep` in the keys of one PEP"));
        }
        keys.push(source.key(entry)?);
    }
    source.ring(keys)
}

/// Reads a PDP's file: the keys that it shares with each PEP.
///
/// # Errors
/// If it is no such file; where, and what was expected.
pub fn read_table(file: &str, text: &str) -> Result<KeyTable, KeyFileError> {
    let source = Source { file, text };
    let mut peps: BTreeMap<PepId, Vec<(usize, Key)>> = BTreeMap::new();
    for entry in source.entries()? {
        let Some(pep) = &entry.pep else {
            return Err(source.error(entry.id.span().start, "expected `pep` with each key of a PDP"));
        };
        let pep_id = PepId::new(pep.get_ref().as_str())
            .map_err(|error| source.error(pep.span().start, format!("pep: {error}")))?;
        let key = source.key(entry)?;
        peps.entry(pep_id).or_default().push(key);
    }
    let rings = peps
        .into_iter()
        .map(|(pep_id, keys)| Ok((pep_id, source.ring(keys)?)))
        .collect::<Result<Vec<_>, KeyFileError>>()?;
    Ok(KeyTable::new(rings))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Root {
    #[serde(default)]
    key: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    pep: Option<Spanned<String>>,
    id: Spanned<u32>,
    algorithm: Option<Spanned<String>>,
    secret_hex: Spanned<String>,
    not_before: Spanned<Value>,
    not_after: Spanned<Value>,
}

struct Source<'a> {
    file: &'a str,
    text: &'a str,
}

impl Source<'_> {
    fn error(&self, offset: usize, what: impl Into<String>) -> KeyFileError {
        let before = self.text.as_bytes().get(..offset).unwrap_or_default();
        KeyFileError {
            file: self.file.to_owned(),
            line: 1 + before.iter().filter(|octet| **octet == b'\n').count(),
            what: what.into(),
        }
    }

    fn entries(&self) -> Result<Vec<Entry>, KeyFileError> {
        let root: Root = toml::from_str(self.text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            let begin = self
                .text
                .get(..start)
                .and_then(|text| text.rfind('\n'))
                .map_or(0, |at| at + 1);
            let line = self.text.get(begin..).and_then(|text| text.lines().next());
            // What the parser says may quote what it found.
            let what = if line.is_some_and(|line| line.contains("secret")) {
                "expected secret_hex, as text in quotes".to_owned()
            } else {
                error.message().to_owned()
            };
            self.error(start, what)
        })?;
        Ok(root.key)
    }

    fn key(&self, entry: Entry) -> Result<(usize, Key), KeyFileError> {
        let place = entry.id.span().start;
        if let Some(algorithm) = &entry.algorithm
            && algorithm.get_ref() != Algorithm::HmacMd5_96.name()
        {
            let what = format!(
                "algorithm: expected \"{}\", found \"{}\"",
                Algorithm::HmacMd5_96.name(),
                algorithm.get_ref()
            );
            return Err(self.error(algorithm.span().start, what));
        }
        let place_of_secret = entry.secret_hex.span().start;
        let mut text = entry.secret_hex.into_inner().into_bytes();
        let octets = from_hex(&text);
        wipe(&mut text);
        let octets = octets.ok_or_else(|| {
            self.error(
                place_of_secret,
                "secret_hex: expected pairs of hexadecimal digits",
            )
        })?;
        let secret = Secret::new(octets)
            .map_err(|error| self.error(place_of_secret, format!("secret_hex: {error}")))?;
        let not_before = self.time("not_before", &entry.not_before)?;
        let not_after = match entry.not_after.get_ref() {
            Value::String(word) if word == "never" => None,
            _ => Some(self.time("not_after", &entry.not_after)?),
        };
        let lifetime = Lifetime::new(not_before, not_after)
            .map_err(|error| self.error(entry.not_after.span().start, format!("not_after: {error}")))?;
        let key = Key {
            id: KeyId(*entry.id.get_ref()),
            algorithm: Algorithm::HmacMd5_96,
            secret,
            lifetime,
        };
        Ok((place, key))
    }

    fn time(&self, name: &str, value: &Spanned<Value>) -> Result<UnixTime, KeyFileError> {
        let time = match value.get_ref() {
            Value::Datetime(time) => unix_time(time),
            _ => None,
        };
        time.ok_or_else(|| {
            let never = if name == "not_after" { ", or \"never\"" } else { "" };
            self.error(
                value.span().start,
                format!(
                    "{name}: expected a time from 1970 on with its zone, such as 2026-11-01T00:00:00Z{never}"
                ),
            )
        })
    }

    fn ring(&self, keys: Vec<(usize, Key)>) -> Result<KeyRing, KeyFileError> {
        let places: Vec<(usize, KeyId)> = keys.iter().map(|(place, key)| (*place, key.id)).collect();
        KeyRing::new(keys.into_iter().map(|(_, key)| key)).map_err(|error| {
            let place = match error {
                super::KeyRingError::RepeatedId(id) => places
                    .iter()
                    .rfind(|(_, found)| *found == id)
                    .map(|(place, _)| *place),
                super::KeyRingError::TooMany => places.get(KeyRing::MAX_KEYS).map(|(place, _)| *place),
            };
            self.error(place.unwrap_or_default(), error.to_string())
        })
    }
}

/// The octets that pairs of digits stand for.
fn from_hex(digits: &[u8]) -> Option<Vec<u8>> {
    let digit = |digit: u8| {
        char::from(digit)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let (pairs, rest) = digits.as_chunks::<2>();
    let mut octets = Vec::with_capacity(pairs.len());
    for [high, low] in pairs {
        let (Some(high), Some(low)) = (digit(*high), digit(*low)) else {
            wipe(&mut octets);
            return None;
        };
        octets.push(high << 4 | low);
    }
    rest.is_empty().then_some(octets)
}

/// A date with time and zone. TOML's reader has checked that each field is in its range.
fn unix_time(time: &Datetime) -> Option<UnixTime> {
    let (date, clock) = (time.date?, time.time?);
    let zone_minutes = match time.offset? {
        Offset::Z => 0,
        Offset::Custom { minutes } => i64::from(minutes),
    };
    let minutes = days(date.year, date.month, date.day) * 24 * 60
        + i64::from(clock.hour) * 60
        + i64::from(clock.minute)
        - zone_minutes;
    let seconds = minutes * 60 + i64::from(clock.second.unwrap_or_default());
    u64::try_from(seconds).ok().map(UnixTime::from_seconds)
}

/// Days from 1970-01-01 to a day of the Gregorian calendar: whole years before its year, then the days of this one.
fn days(year: u16, month: u8, day: u8) -> i64 {
    const BEFORE_MONTH: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let leap_days = |years: i64| years / 4 - years / 100 + years / 400;
    let year = i64::from(year);
    let is_leap = leap_days(year) > leap_days(year - 1);
    let months_before = BEFORE_MONTH[usize::from(month.clamp(1, 12)) - 1];
    let leap_day = i64::from(is_leap && month > 2);
    (year - 1970) * 365 + leap_days(year - 1) - leap_days(1969) + months_before + leap_day + i64::from(day)
        - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against `date -u -d ... +%s`.
    #[test]
    fn times_of_the_calendar() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1999-12-31T23:59:59Z", 946_684_799),
            ("2000-02-29T12:00:00Z", 951_825_600),
            ("2000-03-01T00:00:00Z", 951_868_800),
            ("2026-11-27T15:00:00Z", 1_795_791_600),
            ("2028-02-29T00:00:00+14:00", 1_835_344_800),
            ("2028-12-31T23:30:00-05:30", 1_861_938_000),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
            ("9999-12-31T23:59:59Z", 253_402_300_799),
        ] {
            let time: Datetime = text.parse().unwrap();
            assert_eq!(unix_time(&time), Some(UnixTime::from_seconds(seconds)), "{text}");
        }
        for text in [
            "1969-12-31T23:59:59Z",
            "2026-11-27T15:00:00",
            "2026-11-27",
            "15:00:00",
        ] {
            assert_eq!(unix_time(&text.parse().unwrap()), None, "{text}");
        }
    }
}
