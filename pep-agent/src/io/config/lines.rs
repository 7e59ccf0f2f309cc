//! `[[line]]`.

use std::time::Duration;

use power_policy::model::{Changeover, LineMode, Name};

use super::check::{Place, permille, role};
use super::form::{self, Form};
use super::reserves::PLANT_KNOWS;
use super::{LineEntry, LineSource};
use crate::engine::facts::LineFacts;
use crate::io::toml_file::{TomlError, TomlFile};

/// How often a real line is read where the file says nothing.
const LINE_POLL: Duration = Duration::from_secs(5);

pub(super) fn lines(text: &TomlFile, form: &Form) -> Result<Vec<LineEntry>, TomlError> {
    let mut lines: Vec<LineEntry> = Vec::new();
    for (index, line) in form.line.iter().enumerate() {
        let place = Place::of(text, "line", index);
        let name = place.name("name", &line.name)?;
        if lines.iter().any(|known| known.name == name) {
            return place.fail("name", format!("{name:?} is taken already"));
        }
        let source = match line.driver {
            form::LineDriver::Exec => LineSource::Exec(
                place.program(line.program.as_ref(), line.limit_seconds)?,
                place.duration("poll_seconds", line.poll_seconds, LINE_POLL, 0.1)?,
            ),
            form::LineDriver::Simulated => {
                place.refuse_program(line.program.as_ref(), line.limit_seconds)?;
                let given = [("poll_seconds", line.poll_seconds.is_some())];
                place.refuse(&given, "it is for driver = \"exec\"")?;
                LineSource::Simulated
            }
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
            role: role(line.role),
            facts,
        });
    }
    Ok(lines)
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
