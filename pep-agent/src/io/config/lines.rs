//! `[[line]]`.

use std::path::Path;
use std::time::Duration;

use power_policy::model::{Changeover, LineMode, Name};

use super::check::{Place, permille, role};
use super::form::{self, Form};
use super::nut;
use super::redfish;
use super::reserves::PLANT_KNOWS;
use super::snmp;
use super::transfer;
use super::{LineEntry, LineSource};
use crate::drivers::nut::{OutletFacts, OutletSwitch};
use crate::drivers::snmp::SnmpTransfer;
use crate::engine::facts::LineFacts;
use crate::io::toml_file::{TomlError, TomlFile};

/// How long an outlet may take to follow: NUT's drivers poll a device every 2 s, some every 30 s.
const OUTLET_LIMIT: Duration = Duration::from_secs(10);
/// How often a real line is read where the file says nothing.
const LINE_POLL: Duration = Duration::from_secs(5);

pub(super) fn lines(text: &TomlFile, form: &Form, folder: &Path) -> Result<Vec<LineEntry>, TomlError> {
    let mut lines: Vec<LineEntry> = Vec::new();
    for (index, line) in form.line.iter().enumerate() {
        let place = Place::of(text, "line", index);
        let name = place.name("name", &line.name)?;
        if lines.iter().any(|known| known.name == name) {
            return place.fail("name", format!("{name:?} is taken already"));
        }
        refuse_keys_of_other_drivers(&place, line)?;
        let source = match line.driver {
            form::LineDriver::Simulated => LineSource::Simulated,
            form::LineDriver::Exec => {
                LineSource::Exec(place.program(line.program.as_ref(), line.limit_seconds)?)
            }
            form::LineDriver::NutOutlet => LineSource::NutOutlet(nut_outlet(&place, line, folder)?),
            form::LineDriver::SnmpOutlet => {
                one_member_each(&place, line)?;
                let limit = outlet_limit(&place, line)?;
                LineSource::SnmpOutlet(Box::new(snmp::outlet(&place, line, folder, limit)?))
            }
            form::LineDriver::SnmpTransfer => LineSource::SnmpTransfer {
                inputs: transfer::inputs(&place, line, Some(&SnmpTransfer::inputs().collect::<Vec<_>>()))?,
                limit: outlet_limit(&place, line)?,
                device: snmp::device(&place, line, folder)?,
            },
            form::LineDriver::RedfishOutlet => {
                one_member_each(&place, line)?;
                LineSource::RedfishOutlet {
                    limit: outlet_limit(&place, line)?,
                    service: redfish::access(&place, &redfish_keys(line), folder)?,
                    path: redfish::resource(
                        &place,
                        line.resource.as_ref(),
                        "/redfish/v1/PowerEquipment/RackPDUs/1/Outlets/A1",
                    )?,
                }
            }
            form::LineDriver::RedfishTransfer => LineSource::RedfishTransfer {
                inputs: transfer::inputs(&place, line, None)?,
                limit: outlet_limit(&place, line)?,
                service: redfish::access(&place, &redfish_keys(line), folder)?,
                path: redfish::resource(
                    &place,
                    line.resource.as_ref(),
                    "/redfish/v1/PowerEquipment/TransferSwitches/1",
                )?,
            },
        };
        let facts = if form.plant.is_some() && source == LineSource::Simulated {
            let given = [
                ("max_watts", line.max_watts.is_some()),
                ("efficiency_percent", line.efficiency_percent.is_some()),
                ("switch_millis", line.switch_millis.is_some()),
                ("mode", line.mode.is_some()),
                ("changeover", line.changeover.is_some()),
                ("reserves", line.reserves.is_some()),
                ("servers", line.servers.is_some()),
            ];
            place.refuse(&given, PLANT_KNOWS)?;
            None
        } else {
            Some(line_facts(&place, line)?)
        };
        lines.push(LineEntry {
            name,
            source,
            poll: place.duration("poll_seconds", line.poll_seconds, LINE_POLL, 0.1)?,
            role: role(line.role),
            facts,
        });
    }
    Ok(lines)
}

/// Keys that say nothing with the driver that is given.
fn refuse_keys_of_other_drivers(place: &Place<'_>, line: &form::Line) -> Result<(), TomlError> {
    use form::LineDriver::{
        Exec, NutOutlet, RedfishOutlet, RedfishTransfer, Simulated, SnmpOutlet, SnmpTransfer,
    };
    let refuse = |is_for: &[form::LineDriver], given: &[(&str, bool)], why: &str| {
        if is_for.contains(&line.driver) {
            return Ok(());
        }
        place.refuse(given, why)
    };
    refuse(
        &[Exec],
        &[("program", line.program.is_some())],
        "it is for driver = \"exec\"",
    )?;
    let of_nut = [
        ("ups", line.ups.is_some()),
        ("switch_variable", line.switch_variable.is_some()),
    ];
    refuse(&[NutOutlet], &of_nut, "it is for driver = \"nut_outlet\"")?;
    let of_snmp_outlets = [
        ("table", line.table.is_some()),
        ("objects", line.objects.is_some()),
    ];
    refuse(
        &[SnmpOutlet],
        &of_snmp_outlets,
        "it is for driver = \"snmp_outlet\"",
    )?;
    let of_snmp = [
        ("community_file", line.community_file.is_some()),
        ("authentication", line.authentication.is_some()),
        ("privacy", line.privacy.is_some()),
        ("privacy_password_file", line.privacy_password_file.is_some()),
        ("context", line.context.is_some()),
    ];
    refuse(&[SnmpOutlet, SnmpTransfer], &of_snmp, "it is for SNMP")?;
    let of_redfish = [("url", line.url.is_some()), ("resource", line.resource.is_some())];
    refuse(
        &[RedfishOutlet, RedfishTransfer],
        &of_redfish,
        "it is for Redfish",
    )?;
    let of_tls = [
        ("authorities", line.authorities.is_some()),
        ("fingerprint", line.fingerprint.is_some()),
    ];
    refuse(
        &[NutOutlet, RedfishOutlet, RedfishTransfer],
        &of_tls,
        "it is for NUT and Redfish",
    )?;
    let of_transfers = [("inputs", line.inputs.is_some()), ("rest", line.rest.is_some())];
    refuse(
        &[SnmpTransfer, RedfishTransfer],
        &of_transfers,
        "it is for a transfer switch",
    )?;
    refuse(
        &[NutOutlet, SnmpOutlet],
        &[("outlet", line.outlet.is_some())],
        "it is for an outlet with a number",
    )?;
    refuse(
        &[NutOutlet, SnmpOutlet, SnmpTransfer],
        &[("address", line.address.is_some())],
        "it is for NUT and SNMP",
    )?;
    let of_logins = [
        ("user", line.user.is_some()),
        ("password_file", line.password_file.is_some()),
    ];
    refuse(
        &[
            NutOutlet,
            SnmpOutlet,
            SnmpTransfer,
            RedfishOutlet,
            RedfishTransfer,
        ],
        &of_logins,
        "it is for a device that asks who switches it",
    )?;
    if line.driver == Simulated {
        let given = [
            ("limit_seconds", line.limit_seconds.is_some()),
            ("poll_seconds", line.poll_seconds.is_some()),
        ];
        place.refuse(&given, "it is for what is real")?;
    }
    Ok(())
}

fn redfish_keys(line: &form::Line) -> redfish::Keys<'_> {
    redfish::Keys {
        url: line.url.as_ref(),
        authorities: line.authorities.as_ref(),
        fingerprint: line.fingerprint.as_ref(),
        user: line.user.as_ref(),
        password_file: line.password_file.as_ref(),
    }
}

fn one_member_each(place: &Place<'_>, line: &form::Line) -> Result<(), TomlError> {
    let one = |key: &str, names: &Option<Vec<String>>| match names.as_deref() {
        Some([_]) => Ok(()),
        Some(_) => place.fail(
            key,
            "must have one member: an outlet joins one reserve and one server",
        ),
        None => place.fail(key, "is missing, expected the name of its member"),
    };
    one("reserves", &line.reserves)?;
    one("servers", &line.servers)
}

fn outlet_limit(place: &Place<'_>, line: &form::Line) -> Result<Duration, TomlError> {
    place.duration("limit_seconds", line.limit_seconds, OUTLET_LIMIT, 0.1)
}

fn nut_outlet(place: &Place<'_>, line: &form::Line, folder: &Path) -> Result<OutletFacts, TomlError> {
    one_member_each(place, line)?;
    let keys = nut::Keys {
        address: line.address.as_ref(),
        user: line.user.as_ref(),
        password_file: line.password_file.as_ref(),
        authorities: line.authorities.as_ref(),
        fingerprint: line.fingerprint.as_ref(),
    };
    Ok(OutletFacts {
        server: nut::server(place, &keys, folder)?,
        device: nut::device(place, line.ups.as_ref())?,
        outlet: place.needs(
            "outlet",
            line.outlet,
            "the number of the outlet, as in outlet.3.status",
        )?,
        switch: match &line.switch_variable {
            Some(variable) => OutletSwitch::Variable(nut::word(place, "switch_variable", variable)?),
            None => OutletSwitch::Commands,
        },
        limit: outlet_limit(place, line)?,
    })
}

fn line_facts(place: &Place<'_>, line: &form::Line) -> Result<LineFacts, TomlError> {
    let max = place.needs(
        "max_watts",
        line.max_watts,
        "the largest power at its input, in watts",
    )?;
    let members = |key: &str, names: &Option<Vec<String>>| {
        let names = place.needs(key, names.as_deref(), "the names of its members")?;
        names
            .iter()
            .map(|name| place.name(key, name))
            .collect::<Result<Vec<Name>, _>>()
    };
    Ok(LineFacts {
        role: role(line.role),
        milliwatts: place.milliwatts("max_watts", Some(max), 0)?,
        efficiency_permille: permille(place, "efficiency_percent", line.efficiency_percent, 1_000)?,
        switch_millis: line.switch_millis.unwrap_or(0),
        mode: match line.mode.unwrap_or_default() {
            form::LineMode::Shared => LineMode::Shared,
            form::LineMode::Exclusive => LineMode::Exclusive,
        },
        changeover: match line.changeover.unwrap_or_default() {
            form::Changeover::Parallel => Changeover::Parallel,
            form::Changeover::Ats => Changeover::Ats,
            form::Changeover::Bridge => Changeover::Bridge,
        },
        simulated: line.driver == form::LineDriver::Simulated,
        reserves: members("reserves", &line.reserves)?,
        servers: members("servers", &line.servers)?,
    })
}
