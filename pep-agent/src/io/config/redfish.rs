//! Keys of a Redfish service, and of what stands behind it.

use std::path::Path;

use super::check::Place;
use crate::drivers::redfish::RedfishAccess;
use crate::drivers::trust::Trust;
use crate::io::toml_file::TomlError;

/// The keys of a service, wherever they stand.
pub(super) struct Keys<'a> {
    pub(super) url: Option<&'a String>,
    pub(super) authorities: Option<&'a String>,
    pub(super) fingerprint: Option<&'a String>,
    pub(super) user: Option<&'a String>,
    pub(super) password_file: Option<&'a String>,
}

/// A service.
pub(super) fn access(place: &Place<'_>, keys: &Keys<'_>, folder: &Path) -> Result<RedfishAccess, TomlError> {
    let url = place.needs(
        "url",
        keys.url,
        "the URL of the Redfish service, as in \"https://pdu1\"",
    )?;
    let expected = |problem: &str| {
        place.fail(
            "url",
            format!("is {url:?}, {problem}, expected https://host or https://host:port"),
        )
    };
    let Some((scheme, rest)) = url.split_once("://") else {
        return expected("without a scheme");
    };
    let authority = rest.trim_end_matches('/');
    if authority.is_empty() || authority.contains(['/', '?', '#', '@']) {
        return expected("with more than a host");
    }
    let (host, port) = match authority.rsplit_once(':') {
        // An IPv6 address in brackets has colons of its own.
        Some((host, port)) if !port.ends_with(']') => match port.parse::<u16>() {
            Ok(port) if port != 0 && !host.is_empty() => (host, Some(port)),
            _ => return expected("with a port that is none"),
        },
        _ => (authority, None),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let trust = match scheme {
        "https" => match trust(place, keys.authorities, keys.fingerprint, folder)? {
            None => {
                return place.fail(
                    "authorities",
                    "is missing, expected a file of authorities (PEM), or fingerprint, the SHA-256 of its certificate",
                );
            }
            trust => trust,
        },
        "http" if host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback()) => {
            let given = [
                ("authorities", keys.authorities.is_some()),
                ("fingerprint", keys.fingerprint.is_some()),
            ];
            place.refuse(&given, "it is for https")?;
            None
        }
        "http" => return expected("in plain, which carries the password, to another machine"),
        _ => return expected("with another scheme"),
    };
    let user = place.needs("user", keys.user, "a user of the Redfish service")?;
    let file = place.needs(
        "password_file",
        keys.password_file,
        "the file of the user's password",
    )?;
    Ok(RedfishAccess {
        port: port.unwrap_or(if trust.is_none() { 80 } else { 443 }),
        host,
        trust,
        login: (user.clone(), folder.join(file)),
    })
}

/// The path of a resource.
pub(super) fn resource(place: &Place<'_>, path: Option<&String>, example: &str) -> Result<String, TomlError> {
    let path = place.needs("resource", path, &format!("its path, as in \"{example}\""))?;
    let is_path = |c: char| c.is_ascii_alphanumeric() || "/-_.~%:()".contains(c);
    if !path.starts_with("/redfish/") || !path.chars().all(is_path) {
        return place.fail(
            "resource",
            format!("is {path:?}, expected a path as in {example:?}"),
        );
    }
    Ok(path.trim_end_matches('/').to_owned())
}

/// What a device's certificate is held against; `None` where the file says nothing of it.
pub(super) fn trust(
    place: &Place<'_>,
    authorities: Option<&String>,
    digits: Option<&String>,
    folder: &Path,
) -> Result<Option<Trust>, TomlError> {
    match (authorities, digits) {
        (None, None) => Ok(None),
        (Some(file), None) => Ok(Some(Trust::Authorities(folder.join(file)))),
        (None, Some(digits)) => Ok(Some(Trust::Fingerprint(fingerprint(place, digits)?))),
        (Some(_), Some(_)) => place.fail("fingerprint", "has no place here: authorities are given"),
    }
}

/// 64 hexadecimal digits, with or without colons, as `openssl x509 -fingerprint -sha256` prints them.
fn fingerprint(place: &Place<'_>, text: &str) -> Result<[u8; 32], TomlError> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|c| *c != ':')
        .filter_map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    let is_whole = text.chars().filter(|c| *c != ':').count() == digits.len();
    let octets: Vec<u8> = digits
        .chunks(2)
        .map(|pair| pair.iter().fold(0, |all, digit| all << 4 | digit))
        .collect();
    match <[u8; 32]>::try_from(octets) {
        Ok(digest) if is_whole && digits.len() == 64 => Ok(digest),
        _ => place.fail(
            "fingerprint",
            format!("is {text:?}, expected the SHA-256 of the certificate, 64 hexadecimal digits"),
        ),
    }
}
