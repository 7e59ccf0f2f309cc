//! Keys of a device that is spoken to by SNMP, and of its outlets.

use std::path::Path;
use std::time::Duration;

use async_snmp::{AuthProtocol, Oid, PrivProtocol};

use super::check::Place;
use super::form;
use super::nut::host_and_port;
use crate::drivers::snmp::{OutletTable, SnmpAccess, SnmpDevice, SnmpOutletFacts, UsmAccess};
use crate::io::toml_file::TomlError;

/// The port of SNMP agents.
const SNMP_PORT: u16 = 161;
/// Longest name of a user of USM (RFC 3414 section 5), in octets.
const MAX_USER_OCTETS: usize = 32;

/// An outlet of a PDU.
pub(super) fn outlet(
    place: &Place<'_>,
    line: &form::Line,
    folder: &Path,
    limit: Duration,
) -> Result<SnmpOutletFacts, TomlError> {
    let outlet = place.needs("outlet", line.outlet, "the number of the outlet at its PDU")?;
    let names = || OutletTable::names().collect::<Vec<_>>().join(", ");
    let table = match (&line.table, &line.objects) {
        (Some(table), None) => match OutletTable::known(table, outlet) {
            Some(table) => table,
            None => return place.fail("table", format!("is {table:?}, expected one of {}", names())),
        },
        (None, Some(objects)) => own_table(place, objects)?,
        (Some(_), Some(_)) => return place.fail("objects", "has no place here: the table is given"),
        (None, None) => {
            return place.fail(
                "table",
                format!("is missing, expected one of {}, or objects of your own", names()),
            );
        }
    };
    Ok(SnmpOutletFacts {
        device: device(place, line, folder)?,
        outlet,
        table,
        limit,
    })
}

/// A device.
pub(super) fn device(place: &Place<'_>, line: &form::Line, folder: &Path) -> Result<SnmpDevice, TomlError> {
    Ok(SnmpDevice {
        address: host_and_port(
            place,
            "address",
            place.needs("address", line.address.as_ref(), "host or host:port")?,
            SNMP_PORT,
        )?,
        access: access(place, line, folder)?,
    })
}

fn own_table(place: &Place<'_>, objects: &form::SnmpObjects) -> Result<OutletTable, TomlError> {
    let oid = |key: &str, text: &str| {
        let parsed = Oid::parse(text).and_then(|oid| oid.validate_for_wire().map(|()| oid));
        match parsed {
            Ok(oid) => Ok(oid),
            Err(_) => place.fail(
                "objects",
                format!("has {key} = {text:?}, expected an object identifier, as in \"1.3.6.1.4.1.318.1.1.4.4.2.1.3.5\""),
            ),
        }
    };
    let distinct = |what: &str, on: i32, off: i32| {
        if on == off {
            return place.fail("objects", format!("has {on} for {what} on and off alike"));
        }
        Ok(())
    };
    distinct("state", objects.state_on, objects.state_off)?;
    distinct("control", objects.control_on, objects.control_off)?;
    Ok(OutletTable {
        name: "objects of the file".to_owned(),
        state: oid("state", &objects.state)?,
        state_on: objects.state_on,
        state_off: objects.state_off,
        control: oid("control", &objects.control)?,
        control_on: objects.control_on,
        control_off: objects.control_off,
        pending: None,
    })
}

/// As whom a device is asked: a community, or a user.
fn access(place: &Place<'_>, line: &form::Line, folder: &Path) -> Result<SnmpAccess, TomlError> {
    if let Some(file) = &line.community_file {
        let given = [
            ("user", line.user.is_some()),
            ("password_file", line.password_file.is_some()),
            ("authentication", line.authentication.is_some()),
            ("privacy", line.privacy.is_some()),
            ("privacy_password_file", line.privacy_password_file.is_some()),
            ("context", line.context.is_some()),
        ];
        place.refuse(&given, "it is for SNMPv3, and the community for SNMPv2c")?;
        return Ok(SnmpAccess::Community(folder.join(file)));
    }
    let user = place.needs(
        "user",
        line.user.as_ref(),
        "a user for SNMPv3, or community_file for SNMPv2c",
    )?;
    if user.is_empty() || user.len() > MAX_USER_OCTETS {
        return place.fail(
            "user",
            format!("is {user:?}, expected 1 to {MAX_USER_OCTETS} octets"),
        );
    }
    let file = place.needs(
        "password_file",
        line.password_file.as_ref(),
        "the file of the user's password",
    )?;
    let authentication: AuthProtocol = match line.authentication.as_deref() {
        None => AuthProtocol::Sha256,
        Some(text) => text.parse().or_else(|_| {
            place.fail(
                "authentication",
                format!("is {text:?}, expected md5, sha, sha-224, sha-256, sha-384 or sha-512"),
            )
        })?,
    };
    let privacy = match (line.privacy.as_deref(), &line.privacy_password_file) {
        // What switches power goes over the wire in plain only if somebody says so.
        (Some("none"), None) => None,
        (Some("none"), Some(_)) => {
            return place.fail("privacy_password_file", "has no place here: privacy is \"none\"");
        }
        (text, Some(file)) => {
            let protocol: PrivProtocol = match text {
                None => PrivProtocol::Aes128,
                Some(text) => text.parse().or_else(|_| {
                    place.fail(
                        "privacy",
                        format!("is {text:?}, expected aes, aes-192-reeder, aes-256-reeder, aes-192-blumenthal, aes-256-blumenthal, des, 3des or none"),
                    )
                })?,
            };
            Some((protocol, folder.join(file)))
        }
        (_, None) => {
            return place.fail(
                "privacy_password_file",
                "is missing, expected the file of the privacy password, or privacy = \"none\"",
            );
        }
    };
    Ok(SnmpAccess::Usm(UsmAccess {
        user: user.clone(),
        authentication: (authentication, folder.join(file)),
        privacy,
        context: line.context.clone().unwrap_or_default(),
    }))
}
