//! The plant that simulates some of the file's things.

use std::collections::BTreeSet;
use std::path::Path;

use power_policy::model::{Changeover, Chemistry, LineMode, Name};
use power_policy::plant;

use super::check::Place;
use super::check::permille;
use super::form::{self, Form};
use super::{LineEntry, LineSource, PlantEntry, ReserveEntry, ReserveSource, ServerEntry};
use crate::engine::facts::Witness;
use crate::io::toml_file::{TomlError, TomlFile};

/// The plant behind a socket, or one made of the simulated things of the file.
#[allow(clippy::too_many_arguments)]
pub(super) fn plant(
    text: &TomlFile,
    form: &Form,
    folder: &Path,
    servers: &[ServerEntry],
    reserves: &[ReserveEntry],
    lines: &[LineEntry],
    domains: &[(Name, Witness)],
) -> Result<PlantEntry, TomlError> {
    if let Some(shared) = &form.plant {
        return Ok(PlantEntry::Shared(folder.join(&shared.socket)));
    }
    let is_simulated = |reserve: &&ReserveEntry| reserve.source == ReserveSource::Simulated;
    let any = servers.iter().any(|server| server.simulated)
        || reserves.iter().any(|reserve| is_simulated(&reserve))
        || lines.iter().any(|line| line.source == LineSource::Simulated)
        || form
            .activity
            .iter()
            .any(|activity| activity.driver == form::ActivityDriver::Simulated);
    if !any {
        return match domains.first() {
            None => Ok(PlantEntry::None),
            Some(_) => Err(text.error_at(
                Some(("domain", 0)),
                "name",
                "has no place here: without a plant a reserve says what its mains is".to_owned(),
            )),
        };
    }
    let simulated = || servers.iter().filter(|server| server.simulated);
    let supplies = |server: &Name| {
        let feeding = reserves.iter().filter(is_simulated);
        let feeding = feeding.filter(|r| r.facts.as_ref().is_some_and(|facts| facts.feeds.contains(server)));
        feeding.map(|reserve| reserve.name.to_string()).collect()
    };
    let mut names: BTreeSet<&Name> = domains.iter().map(|(name, _)| name).collect();
    let mut config = plant::PlantConfig::default();
    for server in simulated() {
        let Some(facts) = &server.facts else { continue };
        names.extend(facts.inlets.iter().map(|inlet| &inlet.domain));
        config.servers.push(plant::ServerConfig {
            name: server.name.to_string(),
            idle_milliwatts: u64::from(facts.idle_milliwatts),
            peak_milliwatts: u64::from(facts.peak_milliwatts),
            boot_millis: u64::from(facts.boot_millis),
            halt_millis: u64::from(facts.halt_millis),
            inlets: facts
                .inlets
                .iter()
                .map(|inlet| plant::InletConfig {
                    domain: inlet.domain.to_string(),
                    max_milliwatts: u64::from(inlet.max_milliwatts),
                })
                .collect(),
            supplies: supplies(&server.name),
            starter: facts.starter.as_ref().map(ToString::to_string),
            starts_with_mains: true,
            fan_in: facts.fan_in,
            initial: plant::InitialPower::On,
        });
    }
    for (index, reserve) in reserves
        .iter()
        .enumerate()
        .filter(|(_, reserve)| is_simulated(reserve))
    {
        let (Some(facts), Some(form)) = (&reserve.facts, form.reserve.get(index)) else {
            continue;
        };
        let place = Place::of(text, "reserve", index);
        let charge = u64::from(permille(&place, "charge_percent", form.charge_percent, 1_000)?);
        let domain = facts.mains.as_ref().map(|(domain, _)| domain);
        names.extend(domain);
        config.reserves.push(plant::ReserveConfig {
            name: reserve.name.to_string(),
            chemistry: match facts.chemistry {
                Chemistry::LeadAcid => plant::Chemistry::LeadAcid,
                Chemistry::Lithium => plant::Chemistry::Lithium,
                Chemistry::Nickel => plant::Chemistry::Nickel,
                Chemistry::Supercapacitor => plant::Chemistry::Supercapacitor,
                Chemistry::Other => plant::Chemistry::Other,
            },
            capacity_millijoules: facts.capacity_joules * 1_000,
            charge_millijoules: facts.capacity_joules * charge,
            cutoff_millijoules: facts.cutoff_joules * 1_000,
            max_discharge_milliwatts: u64::from(facts.max_discharge_milliwatts),
            efficiency_permille: u64::from(facts.efficiency_permille),
            peukert_permille: u64::from(facts.peukert_permille),
            reference_milliwatts: u64::from(place.milliwatts("reference_watts", form.reference_watts, 0)?),
            recharge_milliwatts: match domain {
                Some(_) => u64::from(place.milliwatts("recharge_watts", form.recharge_watts, 0)?),
                None => 0,
            },
            recharge_domain: domain.map(ToString::to_string),
            fan_out: facts.fan_out,
        });
    }
    for line in lines.iter().filter(|line| line.source == LineSource::Simulated) {
        let Some(facts) = &line.facts else { continue };
        config.lines.push(plant::LineConfig {
            name: line.name.to_string(),
            reserves: facts.reserves.iter().map(ToString::to_string).collect(),
            servers: facts.servers.iter().map(ToString::to_string).collect(),
            max_milliwatts: u64::from(facts.milliwatts),
            efficiency_permille: u64::from(facts.efficiency_permille),
            switch_millis: u64::from(facts.switch_millis),
            mode: match facts.mode {
                LineMode::Shared => plant::LineMode::Shared,
                LineMode::Exclusive => plant::LineMode::Exclusive,
            },
            changeover: match facts.changeover {
                Changeover::Parallel => plant::Changeover::Parallel,
                Changeover::Ats => plant::Changeover::Ats,
                Changeover::Bridge => plant::Changeover::Bridge,
            },
        });
    }
    config.domains = names
        .into_iter()
        .map(|name| plant::DomainConfig {
            name: name.to_string(),
            present: true,
        })
        .collect();
    config
        .validate()
        .map_err(|error| plant_error(text, &error, servers, reserves, lines))?;
    Ok(PlantEntry::Private(Box::new(config)))
}

/// What is wrong with the private plant, at the table of the file that it came from.
fn plant_error(
    text: &TomlFile,
    error: &plant::ConfigError,
    servers: &[ServerEntry],
    reserves: &[ReserveEntry],
    lines: &[LineEntry],
) -> TomlError {
    let nth = |mut positions: Box<dyn Iterator<Item = usize> + '_>| positions.nth(error.index);
    let place = match error.list {
        "servers" => {
            let simulated = servers.iter().enumerate().filter(|(_, server)| server.simulated);
            nth(Box::new(simulated.map(|(at, _)| at))).map(|at| ("server", at))
        }
        "reserves" => {
            let simulated = reserves.iter().enumerate();
            let simulated = simulated.filter(|(_, reserve)| reserve.source == ReserveSource::Simulated);
            nth(Box::new(simulated.map(|(at, _)| at))).map(|at| ("reserve", at))
        }
        "lines" => {
            let simulated = lines.iter().enumerate();
            let simulated = simulated.filter(|(_, line)| line.source == LineSource::Simulated);
            nth(Box::new(simulated.map(|(at, _)| at))).map(|at| ("line", at))
        }
        _ => None,
    };
    text.error_at(place, error.key, error.problem.clone())
}
