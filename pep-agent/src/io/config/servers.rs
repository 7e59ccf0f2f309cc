//! `[[server]]`.

use std::path::Path;
use std::time::Duration;

use super::ServerEntry;
use super::check::{Place, role};
use super::form::{self, Form};
use super::nut::host_and_port;
use super::redfish;
use super::reserves::PLANT_KNOWS;
use crate::drivers::host::wake_on_lan::WakeOnLan;
use crate::drivers::redfish::RedfishAccess;
use crate::engine::facts::{InletFacts, Role, ServerFacts};
use crate::io::toml_file::{TomlError, TomlFile};

/// Where the kernel shows its counters of power.
const POWERCAP_CLASS: &str = "/sys/class/powercap";
/// Where magic packets go where the file says nothing: every interface of the network.
const BROADCAST: &str = "255.255.255.255";
/// The port of magic packets; nothing listens there, the interface looks into every datagram.
const DISCARD_PORT: u16 = 9;
const SSH_PORT: u16 = 22;
/// How long a server that was woken may take to answer, where boot_seconds says less.
const WAKE_LIMIT: Duration = Duration::from_secs(120);

pub(super) fn servers(text: &TomlFile, form: &Form, folder: &Path) -> Result<Vec<ServerEntry>, TomlError> {
    let is_shared = form.plant.is_some();
    let mut servers: Vec<ServerEntry> = Vec::new();
    for (index, server) in form.server.iter().enumerate() {
        let place = Place::of(text, "server", index);
        let name = place.name("name", &server.name)?;
        if servers.iter().any(|known| known.name == name) {
            return place.fail("name", format!("{name:?} is taken already"));
        }
        let simulated = server.driver == form::HostDriver::Simulated;
        let program = if server.driver == form::HostDriver::Exec {
            Some(place.program(server.program.as_ref(), server.limit_seconds)?)
        } else {
            place.refuse_program(server.program.as_ref(), server.limit_seconds)?;
            None
        };
        refuse_keys_of_other_drivers(&place, server)?;
        let redfish = match server.driver {
            form::HostDriver::Redfish => Some(redfish_system(&place, server, folder)?),
            _ => None,
        };
        let wake_on_lan = match server.driver {
            form::HostDriver::WakeOnLan => Some(wake_on_lan(&place, server)?),
            _ => None,
        };
        if server.driver != form::HostDriver::Real || role(server.role) != Role::Custodian {
            let given = [
                ("halt", server.halt.is_some()),
                ("rapl_rest_watts", server.rapl_rest_watts.is_some()),
                ("powercap_dir", server.powercap_dir.is_some()),
                ("measure_draws", server.measure_draws),
            ];
            place.refuse(&given, "it is for the machine that the agent runs on")?;
        }
        let halt = match &server.halt {
            Some(argv) if argv.first().is_none_or(String::is_empty) => {
                return place.fail("halt", "is empty, expected a program and its arguments");
            }
            halt => halt.clone(),
        };
        let rapl = match server.rapl_rest_watts {
            None => {
                let given = [("powercap_dir", server.powercap_dir.is_some())];
                place.refuse(&given, "it needs rapl_rest_watts")?;
                None
            }
            rest => {
                let class = server.powercap_dir.as_deref().unwrap_or(POWERCAP_CLASS);
                Some((class.into(), place.milliwatts("rapl_rest_watts", rest, 0)?))
            }
        };
        let facts = if simulated && is_shared {
            let given = [
                ("idle_watts", server.idle_watts.is_some()),
                ("peak_watts", server.peak_watts.is_some()),
                ("boot_seconds", server.boot_seconds.is_some()),
                ("boot_joules", server.boot_joules.is_some()),
                ("halt_seconds", server.halt_seconds.is_some()),
                ("halt_joules", server.halt_joules.is_some()),
                ("starter", server.starter.is_some()),
                ("fan_in", server.fan_in.is_some()),
                ("inlets", server.inlets.is_some()),
            ];
            place.refuse(&given, PLANT_KNOWS)?;
            None
        } else {
            Some(server_facts(
                &place,
                server,
                simulated || program.is_some() || redfish.is_some() || wake_on_lan.is_some(),
            )?)
        };
        servers.push(ServerEntry {
            name,
            simulated,
            halt,
            rapl,
            measure_draws: server.measure_draws,
            program,
            redfish,
            wake_on_lan,
            role: role(server.role),
            cpu_millicores: server.cpu_millicores.unwrap_or(0),
            memory_mebibytes: server.memory_mebibytes.unwrap_or(0),
            facts,
        });
    }
    Ok(servers)
}

/// Keys that say nothing with the driver that is given.
fn refuse_keys_of_other_drivers(place: &Place<'_>, server: &form::Server) -> Result<(), TomlError> {
    if server.driver != form::HostDriver::Redfish {
        let given = [
            ("url", server.url.is_some()),
            ("resource", server.resource.is_some()),
            ("authorities", server.authorities.is_some()),
            ("fingerprint", server.fingerprint.is_some()),
            ("user", server.user.is_some()),
            ("password_file", server.password_file.is_some()),
        ];
        place.refuse(&given, "it is for driver = \"redfish\"")?;
    }
    if server.driver != form::HostDriver::WakeOnLan {
        let given = [
            ("mac", server.mac.is_some()),
            ("wake_address", server.wake_address.is_some()),
            ("probe", server.probe.is_some()),
        ];
        place.refuse(&given, "it is for driver = \"wake_on_lan\"")?;
    }
    Ok(())
}

fn redfish_system(
    place: &Place<'_>,
    server: &form::Server,
    folder: &Path,
) -> Result<(RedfishAccess, String), TomlError> {
    let keys = redfish::Keys {
        url: server.url.as_ref(),
        authorities: server.authorities.as_ref(),
        fingerprint: server.fingerprint.as_ref(),
        user: server.user.as_ref(),
        password_file: server.password_file.as_ref(),
    };
    Ok((
        redfish::access(place, &keys, folder)?,
        redfish::resource(place, server.resource.as_ref(), "/redfish/v1/Systems/1")?,
    ))
}

fn wake_on_lan(place: &Place<'_>, server: &form::Server) -> Result<WakeOnLan, TomlError> {
    if role(server.role) == Role::Custodian {
        return place.fail(
            "role",
            "must be \"witness\": a server is woken by a neighbour of it",
        );
    }
    let text = place.needs(
        "mac",
        server.mac.as_ref(),
        "the MAC address of its interface, as in \"52:54:00:12:34:56\"",
    )?;
    let octets: Option<Vec<u8>> = text
        .split([':', '-'])
        .map(|octet| (octet.len() == 2).then(|| u8::from_str_radix(octet, 16).ok())?)
        .collect();
    let Some(mac) = octets.and_then(|octets| <[u8; 6]>::try_from(octets).ok()) else {
        return place.fail(
            "mac",
            format!("is {text:?}, expected six octets as in \"52:54:00:12:34:56\""),
        );
    };
    let to = server
        .wake_address
        .as_ref()
        .map_or(BROADCAST, String::as_str)
        .to_owned();
    let to = host_and_port(place, "wake_address", &to, DISCARD_PORT)?;
    let probe = place.needs(
        "probe",
        server.probe.as_ref(),
        "a TCP port of it that answers when it is up, as in \"s2:22\"",
    )?;
    let boot = place.millis("boot_seconds", server.boot_seconds, 0)?;
    Ok(WakeOnLan {
        mac,
        to,
        probe: host_and_port(place, "probe", probe, SSH_PORT)?,
        limit: WAKE_LIMIT.max(2 * Duration::from_millis(u64::from(boot))),
    })
}

fn server_facts(place: &Place<'_>, server: &form::Server, can_power: bool) -> Result<ServerFacts, TomlError> {
    let simulated = server.driver == form::HostDriver::Simulated;
    let idle = place.needs(
        "idle_watts",
        server.idle_watts,
        "its draw with nothing running, in watts",
    )?;
    let peak = place.needs("peak_watts", server.peak_watts, "its largest draw, in watts")?;
    let idle_milliwatts = place.milliwatts("idle_watts", Some(idle), 0)?;
    let peak_milliwatts = place.milliwatts("peak_watts", Some(peak), 0)?;
    if peak_milliwatts < idle_milliwatts {
        return place.fail(
            "peak_watts",
            format!("is {peak}, expected at least the idle draw of {idle}"),
        );
    }
    let inlets = place.needs(
        "inlets",
        server.inlets.as_deref().filter(|inlets| !inlets.is_empty()),
        "its mains feeds, as in [{ domain = \"feedA\", max_watts = 800 }]",
    )?;
    let mut feeds: Vec<InletFacts> = Vec::new();
    for inlet in inlets {
        let domain = place.name("inlets", &inlet.domain)?;
        if feeds.iter().any(|known| known.domain == domain) {
            return place.fail("inlets", format!("domain {domain:?} stands there twice"));
        }
        let max_milliwatts = place.milliwatts("inlets", Some(inlet.max_watts), 0)?;
        feeds.push(InletFacts {
            domain,
            max_milliwatts,
        });
    }
    if simulated {
        let of_plant = [
            ("boot_joules", server.boot_joules.is_some()),
            ("halt_joules", server.halt_joules.is_some()),
        ];
        place.refuse(
            &of_plant,
            "a simulated server's energies follow from its watts and times",
        )?;
    }
    Ok(ServerFacts {
        role: role(server.role),
        idle_milliwatts,
        peak_milliwatts,
        cpu_millicores: server.cpu_millicores.unwrap_or(0),
        memory_mebibytes: server.memory_mebibytes.unwrap_or(0),
        boot_millis: place.millis("boot_seconds", server.boot_seconds, 0)?,
        boot_joules: place.joules("boot_joules", server.boot_joules)?,
        halt_millis: place.millis("halt_seconds", server.halt_seconds, 0)?,
        halt_joules: place.joules("halt_joules", server.halt_joules)?,
        starter: place.optional_name("starter", server.starter.as_ref())?,
        fan_in: server.fan_in.unwrap_or(0),
        simulated,
        inlets: feeds,
        can_power,
    })
}

/// Whether a role actuates.
pub(super) fn is_custodian(role: Role) -> bool {
    role == Role::Custodian
}
