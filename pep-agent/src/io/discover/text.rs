//! The file: TOML with comments. What is guessed says so, and what would act is for the operator to read first.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use power_policy::model::Name;

use super::DiscoverArgs;
use super::found::Found;
use super::load::{Group, Kind};

/// The agent's file for what was found.
pub(super) fn write(args: &DiscoverArgs, found: &Found, groups: &[Group]) -> String {
    let name = args.name.clone().unwrap_or_else(host_name);
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = head(&mut text, args, &name)
        .and_then(|()| server(&mut text, &name, found))
        .and_then(|()| reserves(&mut text, args, found))
        .and_then(|()| outlets(&mut text, args, found))
        .and_then(|()| activities(&mut text, groups));
    text
}

fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    match Name::new(&name) {
        Ok(_) => name,
        Err(_) => "node1".to_owned(),
    }
}

/// A string as TOML has it.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn head(text: &mut String, args: &DiscoverArgs, name: &str) -> std::fmt::Result {
    writeln!(
        text,
        "\
# A first file for this node, written by `pep-agent discover`. Read all of it before you arm the agent: until then it
# observes and reports, and touches nothing. Guesses are marked with GUESS; `pep-agent check-config --config FILE` says
# what the file means and reads everything in it once.

[agent]
name = {}
state_dir = \"/var/lib/pep-agent\"
mode = \"observe\"

[pdp]
address = {}
",
        quoted(name),
        quoted(&args.pdp)
    )
}

fn server(text: &mut String, name: &str, found: &Found) -> std::fmt::Result {
    writeln!(text, "[[server]]\nname = {}\ndriver = \"real\"", quoted(name))?;
    match &found.rapl {
        Ok(milliwatts) => writeln!(
            text,
            "# Its processors and memory draw {:.1} W now, by the kernel's RAPL counters.\n\
             rapl_rest_watts = 60  # GUESS: what they do not see (fans, disks, losses of the power supply)",
            f64::from(*milliwatts) / 1_000.0
        )?,
        Err(error) => writeln!(text, "# Its power cannot be measured here: {error}.")?,
    }
    writeln!(
        text,
        "\
idle_watts = 100      # GUESS: measure it with nothing running that is listed below
peak_watts = 300      # GUESS: the largest draw that it can reach
cpu_millicores = {}
memory_mebibytes = {}
inlets = [{{ domain = \"feedA\", max_watts = 500 }}] # GUESS: the mains feed that it hangs on, and what its cord bears
#halt = [\"systemctl\", \"poweroff\"] # as the last stage of a plan; left out: it stands by
",
        found.millicores, found.mebibytes
    )
}

fn number(variables: &BTreeMap<String, String>, name: &str) -> Option<f64> {
    let number: f64 = variables.get(name)?.trim().parse().ok()?;
    (number.is_finite() && number > 0.0).then_some(number)
}

fn reserves(text: &mut String, args: &DiscoverArgs, found: &Found) -> std::fmt::Result {
    let mut any = false;
    match &found.nut {
        Err(error) => writeln!(text, "# No UPS from NUT: {error}.\n")?,
        Ok(devices) => {
            for (ups, variables) in devices.iter().filter(|(_, v)| is_ups(v)) {
                any = true;
                nut_reserve(text, args, ups, variables)?;
            }
        }
    }
    for (device, values) in &found.batteries {
        any = true;
        battery(text, device, values)?;
    }
    if !any {
        writeln!(
            text,
            "# No reserve was found: this node can only report its mains by a [[reserve]], or be fed over lines.\n"
        )?;
    }
    Ok(())
}

fn is_ups(variables: &BTreeMap<String, String>) -> bool {
    variables.contains_key("ups.status")
        && (variables.contains_key("battery.charge") || variables.contains_key("battery.runtime"))
}

fn nut_reserve(
    text: &mut String,
    args: &DiscoverArgs,
    ups: &str,
    variables: &BTreeMap<String, String>,
) -> std::fmt::Result {
    let nominal = number(variables, "ups.realpower.nominal");
    let load = number(variables, "ups.realpower")
        .or_else(|| Some(number(variables, "ups.load")? * nominal? / 100.0));
    let (charge, runtime) = (
        number(variables, "battery.charge"),
        number(variables, "battery.runtime"),
    );
    let model = variables
        .get("device.model")
        .or_else(|| variables.get("ups.model"));
    writeln!(text, "[[reserve]]")?;
    if let Some(model) = model {
        // One line, whatever the device calls itself.
        writeln!(text, "# {}", model.replace(char::is_control, " "))?;
    }
    writeln!(
        text,
        "driver = \"nut\"\nups = {}\naddress = {}",
        quoted(ups),
        quoted(&args.nut)
    )?;
    match (load, charge, runtime) {
        (Some(load), Some(charge), Some(runtime)) => writeln!(
            text,
            "capacity_wh = {:.0}      # from its runtime, load and charge just now; the plate knows better",
            (load * runtime / 3_600.0 * 100.0 / charge).max(1.0)
        )?,
        _ => writeln!(
            text,
            "capacity_wh = 100     # GUESS: it does not say enough to estimate it; see its plate"
        )?,
    }
    match nominal {
        Some(watts) => writeln!(text, "max_watts = {watts:.0}")?,
        None => writeln!(
            text,
            "max_watts = 500       # GUESS: the largest power that it gives"
        )?,
    }
    if load.is_none() {
        writeln!(text, "load_watts = 200      # GUESS: it measures none")?;
    }
    writeln!(
        text,
        "chemistry = \"lead-acid\" # GUESS\ndomain = \"feedA\"       # GUESS: the mains feed that its input hangs on\n"
    )
}

fn battery(text: &mut String, device: &str, values: &BTreeMap<String, String>) -> std::fmt::Result {
    writeln!(
        text,
        "[[reserve]]\ndriver = \"power_supply\"\ndevice = {}",
        quoted(device)
    )?;
    match number(values, "energy_full") {
        Some(microwatt_hours) => writeln!(text, "capacity_wh = {:.1}", microwatt_hours / 1e6)?,
        None => writeln!(text, "capacity_wh = 50      # GUESS: it does not say")?,
    }
    writeln!(
        text,
        "max_watts = 60        # GUESS\nchemistry = \"lithium\" # GUESS\ndomain = \"feedA\"       # GUESS\n"
    )
}

/// Outlets are told, but not taken: what hangs on one, only the operator knows.
fn outlets(text: &mut String, args: &DiscoverArgs, found: &Found) -> std::fmt::Result {
    let Ok(devices) = &found.nut else { return Ok(()) };
    for (device, variables) in devices {
        let outlets: BTreeSet<u32> = variables
            .keys()
            .filter_map(|name| {
                name.strip_prefix("outlet.")?
                    .strip_suffix(".status")?
                    .parse()
                    .ok()
            })
            .collect();
        for outlet in outlets {
            writeln!(
                text,
                "\
# Outlet {outlet} of {device} can be a divert line, if the second cord of a server hangs on it:
#[[line]]
#name = {}
#driver = \"nut_outlet\"
#ups = {}
#address = {}
#outlet = {outlet}
#user = \"pep\"
#password_file = \"nut.password\"
#max_watts = 400
#reserves = [\"the reserve that feeds the device\"]
#servers = [\"the server\"]
",
                quoted(&format!("{device}-{outlet}")),
                quoted(device),
                quoted(&args.nut)
            )?;
        }
    }
    Ok(())
}

fn activities(text: &mut String, groups: &[Group]) -> std::fmt::Result {
    writeln!(
        text,
        "\
# What was seen running, the largest first. Watts follow from processor time at 10 W a core, which is a GUESS for all of
# them; qos is the class that the PDP's rules make a priority of. Take out what must never be stopped."
    )?;
    let mut names = BTreeSet::new();
    for group in groups {
        let (name, service) = match &group.kind {
            Kind::Service(unit) => (unit.trim_end_matches(".service").to_owned(), true),
            Kind::Processes { comm, .. } => (comm.clone(), false),
        };
        // A short name that would be a pattern, or that another group has taken, cannot be told apart by it.
        let is_plain = !name.contains(['*', '?', '[', ']', '\\']) && !name.contains(char::is_control);
        if !is_plain || Name::new(&name).is_err() || !names.insert(name.clone()) {
            continue;
        }
        let (cores, processes) = (group.millicores as f64 / 1_000.0, group.processes);
        writeln!(
            text,
            "\n# {processes} processes, {cores:.2} cores, {} MiB",
            group.mebibytes
        )?;
        if service {
            let unit = quoted(&format!("{name}.service"));
            writeln!(
                text,
                "[[activity]]\nname = {}\ndriver = \"systemd\"\nunit = {unit}\n\
                 stop_seconds = 90      # systemd must not kill it earlier: TimeoutStopSec is 90 s by default",
                quoted(&name)
            )?;
        } else {
            writeln!(
                text,
                "[[manage]]\nname = {}\ncomm = {}\nstop_seconds = 30",
                quoted(&name),
                quoted(&name)
            )?;
            if let Kind::Processes { user, .. } = &group.kind
                && !user.is_empty()
            {
                writeln!(text, "user = {}", quoted(user))?;
            }
            writeln!(
                text,
                "#start = [\"...\"]       # without it the agent can stop it, and nobody can start it again"
            )?;
        }
        writeln!(
            text,
            "qos = \"bronze\"        # GUESS\nwatts = {:.1}\ncpu_millicores = {}\nmemory_mebibytes = {}",
            group.millicores as f64 / 100.0,
            group.millicores,
            group.mebibytes
        )?;
    }
    Ok(())
}
