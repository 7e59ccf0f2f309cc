//! `[[reserve]]`.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use power_policy::model::{Chemistry, Name};

use super::check::{Place, permille, role, witness};
use super::form::{self, Form};
use super::nut;
use super::{ReserveEntry, ReserveSource, ServerEntry};
use crate::drivers::nut::NutFigures;
use crate::drivers::power_supply::PowerSupplyFigures;
use crate::engine::facts::{ReserveFacts, Witness};
use crate::io::toml_file::{TomlError, TomlFile};

/// How often a UPS or battery is read; NUT's own drivers poll every 2 s.
const DEVICE_POLL: Duration = Duration::from_secs(2);
/// NUT's MAXAGE: upsd itself calls data stale after 15 s.
const DEVICE_STALE: Duration = Duration::from_secs(15);
/// How often the plant is read, in real time.
const PLANT_POLL: Duration = Duration::from_millis(200);
/// Five seconds without an answer of the plant, in real time.
const PLANT_STALE: Duration = Duration::from_secs(5);
/// Largest battery, in watt-hours (1 MWh).
const MAX_WH: f64 = 1e6;
/// Where the kernel shows power supplies.
const POWER_SUPPLY_CLASS: &str = "/sys/class/power_supply";

pub(super) const PLANT_KNOWS: &str = "the plant knows its figures";
const NOT_SIMULATED: &str = "it is for what is simulated";

pub(super) fn reserves(
    text: &TomlFile,
    form: &Form,
    servers: &[ServerEntry],
    folder: &Path,
) -> Result<Vec<ReserveEntry>, TomlError> {
    let mut reserves: Vec<ReserveEntry> = Vec::new();
    for (index, reserve) in form.reserve.iter().enumerate() {
        let place = Place::of(text, "reserve", index);
        if reserve.driver != form::ReserveDriver::Exec {
            place.refuse_program(reserve.program.as_ref(), reserve.limit_seconds)?;
        }
        if reserve.driver != form::ReserveDriver::Nut {
            let given = [
                ("user", reserve.user.is_some()),
                ("password_file", reserve.password_file.is_some()),
                ("authorities", reserve.authorities.is_some()),
                ("fingerprint", reserve.fingerprint.is_some()),
            ];
            place.refuse(&given, "it is for a NUT reserve")?;
        }
        let entry = match reserve.driver {
            form::ReserveDriver::Nut => nut_reserve(&place, reserve, servers, folder)?,
            form::ReserveDriver::PowerSupply => power_supply_reserve(&place, reserve, servers)?,
            form::ReserveDriver::Exec => exec_reserve(&place, reserve, servers)?,
            form::ReserveDriver::Simulated => {
                simulated_reserve(&place, reserve, servers, form.plant.is_some())?
            }
        };
        if reserves.iter().any(|known| known.name == entry.name) {
            return place.fail("name", format!("{:?} is taken already", entry.name));
        }
        reserves.push(entry);
    }
    Ok(reserves)
}

fn nut_reserve(
    place: &Place<'_>,
    reserve: &form::Reserve,
    servers: &[ServerEntry],
    folder: &Path,
) -> Result<ReserveEntry, TomlError> {
    let given = [
        ("charge_percent", reserve.charge_percent.is_some()),
        ("recharge_watts", reserve.recharge_watts.is_some()),
        ("reference_watts", reserve.reference_watts.is_some()),
    ];
    place.refuse(&given, NOT_SIMULATED)?;
    refuse_power_supply_keys(place, reserve)?;
    let ups = nut::device(place, reserve.ups.as_ref())?;
    let keys = nut::Keys {
        address: reserve.address.as_ref(),
        user: reserve.user.as_ref(),
        password_file: reserve.password_file.as_ref(),
        authorities: reserve.authorities.as_ref(),
        fingerprint: reserve.fingerprint.as_ref(),
    };
    let server = nut::server(place, &keys, folder)?;
    let name = reserve
        .name
        .clone()
        .unwrap_or_else(|| format!("{ups}@{}", server.address));
    let facts = reserve_facts(place, reserve, servers, false)?;
    let figures = NutFigures {
        capacity_joules: facts.capacity_joules,
        health_permille: permille(place, "health_percent", reserve.health_percent, 1_000)?,
        cutoff_joules: facts.cutoff_joules,
        nominal_milliwatts: optional_milliwatts(place, "nominal_watts", reserve.nominal_watts)?,
        load_milliwatts: optional_milliwatts(place, "load_watts", reserve.load_watts)?,
    };
    Ok(ReserveEntry {
        name: place.name("name", &name)?,
        source: ReserveSource::Nut { server, ups, figures },
        role: facts.role,
        mains: facts.mains.clone(),
        poll: place.duration("poll_seconds", reserve.poll_seconds, DEVICE_POLL, 0.1)?,
        stale: place.duration("stale_seconds", reserve.stale_seconds, DEVICE_STALE, 1.0)?,
        facts: Some(facts),
    })
}

fn power_supply_reserve(
    place: &Place<'_>,
    reserve: &form::Reserve,
    servers: &[ServerEntry],
) -> Result<ReserveEntry, TomlError> {
    let of_plant = [
        ("charge_percent", reserve.charge_percent.is_some()),
        ("recharge_watts", reserve.recharge_watts.is_some()),
        ("reference_watts", reserve.reference_watts.is_some()),
    ];
    place.refuse(&of_plant, NOT_SIMULATED)?;
    let of_nut = [
        ("ups", reserve.ups.is_some()),
        ("address", reserve.address.is_some()),
        ("nominal_watts", reserve.nominal_watts.is_some()),
    ];
    place.refuse(&of_nut, "it is for a NUT reserve")?;
    let device = place.needs(
        "device",
        reserve.device.clone(),
        "the name of the battery below /sys/class/power_supply, as in \"BAT0\"",
    )?;
    for (key, given) in [("device", Some(&device)), ("adapter", reserve.adapter.as_ref())] {
        if let Some(name) = given
            && (name.is_empty() || name.starts_with('.') || name.contains('/'))
        {
            return place.fail(key, format!("is {name:?}, expected the name of a folder"));
        }
    }
    // A battery's name is its machine's: others have a BAT0 too.
    let of_machine = servers.first().map(|server| format!("{device}@{}", server.name));
    let name = reserve.name.clone().or(of_machine);
    let name = place.needs("name", name, "the name of the reserve, unique in the cluster")?;
    let facts = reserve_facts(place, reserve, servers, false)?;
    let figures = PowerSupplyFigures {
        capacity_joules: facts.capacity_joules,
        health_permille: permille(place, "health_percent", reserve.health_percent, 1_000)?,
        cutoff_joules: facts.cutoff_joules,
        load_milliwatts: optional_milliwatts(place, "load_watts", reserve.load_watts)?,
    };
    Ok(ReserveEntry {
        name: place.name("name", &name)?,
        source: ReserveSource::PowerSupply {
            class: reserve.class_dir.as_deref().unwrap_or(POWER_SUPPLY_CLASS).into(),
            device,
            adapter: reserve.adapter.clone(),
            figures,
        },
        role: facts.role,
        mains: facts.mains.clone(),
        poll: place.duration("poll_seconds", reserve.poll_seconds, DEVICE_POLL, 0.1)?,
        stale: place.duration("stale_seconds", reserve.stale_seconds, DEVICE_STALE, 1.0)?,
        facts: Some(facts),
    })
}

fn exec_reserve(
    place: &Place<'_>,
    reserve: &form::Reserve,
    servers: &[ServerEntry],
) -> Result<ReserveEntry, TomlError> {
    let of_plant = [
        ("charge_percent", reserve.charge_percent.is_some()),
        ("recharge_watts", reserve.recharge_watts.is_some()),
        ("reference_watts", reserve.reference_watts.is_some()),
    ];
    place.refuse(&of_plant, NOT_SIMULATED)?;
    let of_devices = [
        ("ups", reserve.ups.is_some()),
        ("address", reserve.address.is_some()),
        ("nominal_watts", reserve.nominal_watts.is_some()),
        ("load_watts", reserve.load_watts.is_some()),
        ("health_percent", reserve.health_percent.is_some()),
    ];
    place.refuse(&of_devices, "its program says what it has")?;
    refuse_power_supply_keys(place, reserve)?;
    let name = place.needs("name", reserve.name.as_ref(), "the name of the reserve")?;
    let facts = reserve_facts(place, reserve, servers, false)?;
    Ok(ReserveEntry {
        name: place.name("name", name)?,
        source: ReserveSource::Exec(place.program(reserve.program.as_ref(), reserve.limit_seconds)?),
        role: facts.role,
        mains: facts.mains.clone(),
        poll: place.duration("poll_seconds", reserve.poll_seconds, DEVICE_POLL, 0.1)?,
        stale: place.duration("stale_seconds", reserve.stale_seconds, DEVICE_STALE, 1.0)?,
        facts: Some(facts),
    })
}

fn refuse_power_supply_keys(place: &Place<'_>, reserve: &form::Reserve) -> Result<(), TomlError> {
    let given = [
        ("device", reserve.device.is_some()),
        ("adapter", reserve.adapter.is_some()),
        ("class_dir", reserve.class_dir.is_some()),
    ];
    place.refuse(
        &given,
        "it is for a reserve of the kernel (driver = \"power_supply\")",
    )
}

fn simulated_reserve(
    place: &Place<'_>,
    reserve: &form::Reserve,
    servers: &[ServerEntry],
    is_shared: bool,
) -> Result<ReserveEntry, TomlError> {
    let given = [
        ("ups", reserve.ups.is_some()),
        ("address", reserve.address.is_some()),
        ("health_percent", reserve.health_percent.is_some()),
        ("nominal_watts", reserve.nominal_watts.is_some()),
        ("load_watts", reserve.load_watts.is_some()),
    ];
    place.refuse(&given, "it is for a real reserve")?;
    refuse_power_supply_keys(place, reserve)?;
    let name = place.needs("name", reserve.name.as_ref(), "the name of the reserve")?;
    let facts = if is_shared {
        let given = [
            ("chemistry", reserve.chemistry.is_some()),
            ("capacity_wh", reserve.capacity_wh.is_some()),
            ("charge_percent", reserve.charge_percent.is_some()),
            ("cutoff_percent", reserve.cutoff_percent.is_some()),
            ("max_watts", reserve.max_watts.is_some()),
            ("recharge_watts", reserve.recharge_watts.is_some()),
            ("efficiency_percent", reserve.efficiency_percent.is_some()),
            ("peukert_exponent", reserve.peukert_exponent.is_some()),
            ("reference_watts", reserve.reference_watts.is_some()),
            ("fan_out", reserve.fan_out.is_some()),
            ("feeds", reserve.feeds.is_some()),
        ];
        place.refuse(&given, PLANT_KNOWS)?;
        None
    } else {
        Some(reserve_facts(place, reserve, servers, true)?)
    };
    let mains = match &facts {
        Some(facts) => facts.mains.clone(),
        None => given_mains(place, reserve)?,
    };
    Ok(ReserveEntry {
        name: place.name("name", name)?,
        source: ReserveSource::Simulated,
        role: role(reserve.role),
        mains,
        facts,
        poll: place.duration("poll_seconds", reserve.poll_seconds, PLANT_POLL, 0.01)?,
        stale: place.duration("stale_seconds", reserve.stale_seconds, PLANT_STALE, 1.0)?,
    })
}

fn reserve_facts(
    place: &Place<'_>,
    reserve: &form::Reserve,
    servers: &[ServerEntry],
    simulated: bool,
) -> Result<ReserveFacts, TomlError> {
    let capacity = place.needs(
        "capacity_wh",
        reserve.capacity_wh,
        "the energy of its full battery, in watt-hours",
    )?;
    // Watt-hours in thousandths are 3.6 J each.
    let capacity_joules = place.thousandths("capacity_wh", Some(capacity), 0, 0.001, MAX_WH)? * 36 / 10;
    let chemistry = reserve.chemistry.unwrap_or_default();
    // A lead-acid battery that is drained below a fifth is hurt (policy defaults: lead-acid 20 %, else 10 %).
    let default_cutoff = if chemistry == form::Chemistry::LeadAcid {
        200
    } else {
        100
    };
    let cutoff = u64::from(permille(
        place,
        "cutoff_percent",
        reserve.cutoff_percent,
        default_cutoff,
    )?);
    let max = place.needs(
        "max_watts",
        reserve.max_watts,
        "the largest power that it gives, in watts",
    )?;
    let feeds = match &reserve.feeds {
        Some(feeds) => feeds
            .iter()
            .map(|fed| place.name("feeds", fed))
            .collect::<Result<Vec<Name>, _>>()?,
        // One server and one UPS: what else would it feed.
        None => match servers {
            [only] => vec![only.name.clone()],
            _ => {
                return place.fail(
                    "feeds",
                    "is missing, expected the names of the servers that it feeds",
                );
            }
        },
    };
    if feeds.iter().collect::<BTreeSet<_>>().len() != feeds.len() {
        return place.fail("feeds", "names a server twice");
    }
    let peukert = place.thousandths("peukert_exponent", reserve.peukert_exponent, 1_000, 1.0, 2.0)?;
    let mains = match given_mains(place, reserve)? {
        Some(mains) => Some(mains),
        // The input of a UPS hangs on the feed that its servers would have without it, if there is only one.
        None => only_domain(&feeds, servers).map(|domain| (domain, Witness::Inlet)),
    };
    if mains.is_none() && !simulated {
        let problem = "is missing, expected the mains domain that its input hangs on";
        return place.fail("domain", problem);
    }
    Ok(ReserveFacts {
        role: role(reserve.role),
        chemistry: match chemistry {
            form::Chemistry::LeadAcid => Chemistry::LeadAcid,
            form::Chemistry::Lithium => Chemistry::Lithium,
            form::Chemistry::Nickel => Chemistry::Nickel,
            form::Chemistry::Supercapacitor => Chemistry::Supercapacitor,
            form::Chemistry::Other => Chemistry::Other,
        },
        capacity_joules,
        cutoff_joules: capacity_joules * cutoff / 1_000,
        max_discharge_milliwatts: place.milliwatts("max_watts", Some(max), 0)?,
        efficiency_permille: permille(place, "efficiency_percent", reserve.efficiency_percent, 900)?,
        peukert_permille: u32::try_from(peukert).unwrap_or(1_000),
        fan_out: reserve.fan_out.unwrap_or(0),
        simulated,
        feeds,
        mains,
        // Set from the real time of the entry, by whoever knows the clock scale.
        stale_after_millis: 0,
    })
}

fn given_mains(place: &Place<'_>, reserve: &form::Reserve) -> Result<Option<(Name, Witness)>, TomlError> {
    match (
        place.optional_name("domain", reserve.domain.as_ref())?,
        reserve.witness,
    ) {
        (Some(domain), given) => Ok(Some((domain, witness(given.unwrap_or_default())))),
        (None, Some(_)) => place.fail("witness", "has no place here: it needs a domain"),
        (None, None) => Ok(None),
    }
}

fn only_domain(feeds: &[Name], servers: &[ServerEntry]) -> Option<Name> {
    let domains: BTreeSet<&Name> = servers
        .iter()
        .filter(|server| feeds.contains(&server.name))
        .flat_map(|server| server.facts.iter().flat_map(|facts| &facts.inlets))
        .map(|inlet| &inlet.domain)
        .collect();
    match domains.first() {
        Some(only) if domains.len() == 1 => Some((*only).clone()),
        _ => None,
    }
}

fn optional_milliwatts(place: &Place<'_>, key: &str, watts: Option<f64>) -> Result<Option<u32>, TomlError> {
    watts
        .map(|watts| place.milliwatts(key, Some(watts), 0))
        .transpose()
}
