//! Keys that name something at a NUT server.

use super::check::Place;
use crate::io::toml_file::TomlError;

/// The port of NUT (RFC 9271).
const NUT_PORT: u16 = 3493;

/// `ups`: the name of a device at its upsd.
pub(super) fn device(place: &Place<'_>, ups: Option<&String>) -> Result<String, TomlError> {
    let ups = place.needs("ups", ups, "the name of the device at its upsd")?;
    word(place, "ups", ups)
}

/// A word of the protocol: what is no word is not sent.
pub(super) fn word(place: &Place<'_>, key: &str, word: &str) -> Result<String, TomlError> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if word.is_empty() || !word.chars().all(is_word) {
        return place.fail(
            key,
            format!("is {word:?}, expected letters, digits, '-', '_' and '.'"),
        );
    }
    Ok(word.to_owned())
}

/// `address`: `host` or `host:port`.
pub(super) fn address(place: &Place<'_>, address: Option<&String>) -> Result<String, TomlError> {
    let address = address.map_or("127.0.0.1", String::as_str);
    match address.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port != 0) => {
            Ok(address.to_owned())
        }
        None if !address.is_empty() => Ok(format!("{address}:{NUT_PORT}")),
        _ => place.fail("address", format!("is {address:?}, expected host or host:port")),
    }
}
