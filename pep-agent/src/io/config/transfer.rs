//! Keys of a transfer switch.

use std::collections::BTreeMap;

use power_policy::model::Name;

use super::check::Place;
use super::form;
use crate::drivers::transfer_switch::Inputs;
use crate::io::toml_file::TomlError;

/// What stands at the inputs of a switch: `inputs`, and `rest`. `known` are its inputs, where they are known.
pub(super) fn inputs(
    place: &Place<'_>,
    line: &form::Line,
    known: Option<&[&str]>,
) -> Result<Inputs, TomlError> {
    let told = place.needs(
        "inputs",
        line.inputs.as_ref(),
        "the input of each reserve, as in { ups-a = \"A\", ups-b = \"B\" }",
    )?;
    if !matches!(line.servers.as_deref(), Some([_])) {
        return place.fail(
            "servers",
            "must have one member: what hangs on a transfer switch is fed as one",
        );
    }
    if line.mode != Some(form::LineMode::Exclusive) {
        return place.fail(
            "mode",
            "must be \"exclusive\": a transfer switch feeds from one input at a time",
        );
    }
    let exists = |key: &str, input: &String| match known {
        Some(known) if !known.contains(&input.as_str()) => place.fail(
            key,
            format!("has input {input:?}, expected one of {}", known.join(", ")),
        ),
        _ => Ok(()),
    };
    let mut reserves: BTreeMap<Name, String> = BTreeMap::new();
    for (reserve, input) in told {
        exists("inputs", input)?;
        if reserves.values().any(|taken| taken == input) {
            return place.fail("inputs", format!("has two reserves at input {input:?}"));
        }
        reserves.insert(place.name("inputs", reserve)?, input.clone());
    }
    for member in line.reserves.iter().flatten() {
        if !told.contains_key(member) {
            return place.fail("inputs", format!("has no input of reserve {member:?}"));
        }
    }
    if reserves.len() != line.reserves.as_ref().map_or(0, Vec::len) {
        return place.fail(
            "reserves",
            "must name what stands at its inputs, and nothing else",
        );
    }
    if let Some(rest) = &line.rest {
        exists("rest", rest)?;
        if reserves.values().any(|taken| taken == rest) {
            return place.fail(
                "rest",
                format!("is {rest:?}, at which a reserve of the line stands"),
            );
        }
    }
    Ok(Inputs {
        reserves,
        rest: line.rest.clone(),
    })
}
