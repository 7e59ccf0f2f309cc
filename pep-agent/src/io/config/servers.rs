//! `[[server]]`.

use super::ServerEntry;
use super::check::{Place, role};
use super::form::{self, Form};
use super::reserves::PLANT_KNOWS;
use crate::engine::facts::{InletFacts, Role, ServerFacts};
use crate::io::toml_file::{TomlError, TomlFile};

/// Where the kernel shows its counters of power.
const POWERCAP_CLASS: &str = "/sys/class/powercap";

pub(super) fn servers(text: &TomlFile, form: &Form) -> Result<Vec<ServerEntry>, TomlError> {
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
        if server.driver != form::HostDriver::Real || role(server.role) != Role::Custodian {
            let given = [
                ("halt", server.halt.is_some()),
                ("rapl_rest_watts", server.rapl_rest_watts.is_some()),
                ("powercap_dir", server.powercap_dir.is_some()),
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
            Some(server_facts(&place, server, simulated || program.is_some())?)
        };
        servers.push(ServerEntry {
            name,
            simulated,
            halt,
            rapl,
            program,
            role: role(server.role),
            cpu_millicores: server.cpu_millicores.unwrap_or(0),
            memory_mebibytes: server.memory_mebibytes.unwrap_or(0),
            facts,
        });
    }
    Ok(servers)
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
