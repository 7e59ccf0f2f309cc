//! Keys that name something at a NUT server, and addresses of devices.

use std::path::Path;

use super::check::Place;
use super::redfish;
use crate::drivers::nut::{NutLogin, NutServer};
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

/// A NUT server, as whom it is asked, and how it is known.
pub(super) fn server(place: &Place<'_>, keys: &Keys<'_>, folder: &Path) -> Result<NutServer, TomlError> {
    let login = match (keys.user, keys.password_file) {
        (Some(user), Some(file)) => Some(NutLogin {
            user: word(place, "user", user)?,
            password_file: folder.join(file),
        }),
        (None, None) => None,
        (Some(_), None) => {
            return place.fail(
                "password_file",
                "is missing, expected the file of the user's password",
            );
        }
        (None, Some(_)) => return place.fail("user", "is missing, expected a user of upsd.users"),
    };
    Ok(NutServer {
        address: address(place, keys.address)?,
        login,
        trust: redfish::trust(place, keys.authorities, keys.fingerprint, folder)?,
    })
}

/// The keys of a NUT server, wherever they stand.
pub(super) struct Keys<'a> {
    pub(super) address: Option<&'a String>,
    pub(super) user: Option<&'a String>,
    pub(super) password_file: Option<&'a String>,
    pub(super) authorities: Option<&'a String>,
    pub(super) fingerprint: Option<&'a String>,
}

/// `address`: `host` or `host:port`; NUT's is this machine's where it is left out.
fn address(place: &Place<'_>, address: Option<&String>) -> Result<String, TomlError> {
    let here = "127.0.0.1".to_owned();
    host_and_port(place, "address", address.unwrap_or(&here), NUT_PORT)
}

/// `host` or `host:port`, with the protocol's own port where it says none.
pub(super) fn host_and_port(
    place: &Place<'_>,
    key: &str,
    address: &str,
    default_port: u16,
) -> Result<String, TomlError> {
    match address.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port != 0) => {
            Ok(address.to_owned())
        }
        None if !address.is_empty() => Ok(format!("{address}:{default_port}")),
        _ => place.fail(key, format!("is {address:?}, expected host or host:port")),
    }
}
