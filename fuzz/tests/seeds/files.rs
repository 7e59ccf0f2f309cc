//! Seeds of the targets that read files: the programs' commented examples, with and without their comments, and damages
//! of a journal.

use crate::Put;

const LONGEST: usize = 4_000;

pub(crate) fn seeds(put: Put<'_>) {
    let pdp = include_str!("../../../pdp-server/examples/pdp.toml");
    for (n, text) in texts(pdp).into_iter().enumerate() {
        put("config_pdp", &format!("example {n}"), text.into_bytes());
    }
    let smallest = "[listen]\naddress = \"127.0.0.1:0\"\n[journal]\npath = \"j\"\n[admin]\nsocket = \"s\"\n";
    put("config_pdp", "the smallest", smallest.into());
    for (n, part) in parts(&uncommented(pdp)).into_iter().enumerate() {
        put(
            "config_pdp",
            &format!("the smallest and table {n}"),
            format!("{smallest}{part}").into_bytes(),
        );
    }
    put(
        "config_pdp",
        "an unknown key",
        format!("{smallest}[policy]\ndebounce_ms = 3\n").into_bytes(),
    );

    for (name, which, text) in [
        (
            "nut node",
            0,
            include_str!("../../../pep-agent/examples/nut-node.toml"),
        ),
        ("rack", 0, include_str!("../../../pep-agent/examples/rack.toml")),
        (
            "simulated node",
            0,
            include_str!("../../../pep-agent/examples/simulated-node.toml"),
        ),
        ("plant", 1, include_str!("../../../pep-agent/examples/plant.toml")),
    ] {
        for (n, text) in texts(text).into_iter().enumerate() {
            put(
                "config_agent",
                &format!("{name} {n}"),
                [&[which], text.as_bytes()].concat(),
            );
        }
    }

    for kind in 0..3 {
        put("journal", &format!("undamaged {kind}"), vec![kind]);
        for (n, place) in [16_u32, 18, 24, 40, 96, 100, 4_099, 9_000]
            .into_iter()
            .enumerate()
        {
            let damage = [&[kind][..], &place.to_be_bytes(), &[1 << (n % 8)]].concat();
            put("journal", &format!("bit {kind} {place}"), damage);
        }
        put(
            "journal",
            &format!("cut {kind}"),
            [&[kind][..], &5_000_u32.to_be_bytes(), &[0]].concat(),
        );
    }
    for (name, json) in [
        (
            "started",
            r#"{"record":"started","term":1,"boot_id":"b","scale":1,"offset_millis":-42}"#,
        ),
        (
            "raised",
            r#"{"record":"raised","term":2,"generation":18446744073709551615}"#,
        ),
        ("forgiven", r#"{"record":"forgiven"}"#),
        (
            "failed",
            r#"{"record":"failed","step":"stop web on s1","times":3}"#,
        ),
        ("off", r#"{"record":"off","server":"s1","off":true,"at":9}"#),
        ("joined", r#"{"record":"joined","line":"bus","pairs":[]}"#),
        (
            "released",
            r#"{"record":"released","generation":1,"stage":2,"at":3}"#,
        ),
        ("track", r#"{"record":"track","activity":"web","track":null}"#),
        ("withdrawn", r#"{"record":"withdrawn","pep":"n1"}"#),
        ("an unknown record", r#"{"record":"lost"}"#),
    ] {
        put(
            "journal",
            &format!("record {name}"),
            [&[9], json.as_bytes()].concat(),
        );
    }
}

/// The text and the text without its comments, each as far as it fits.
fn texts(text: &str) -> Vec<String> {
    let bare: String = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| format!("{line}\n"))
        .collect();
    [bare, uncommented(text), text.to_owned()]
        .into_iter()
        .filter(|text| text.len() <= LONGEST)
        .collect()
}

/// What stands in comments as defaults, as if it were given.
fn uncommented(text: &str) -> String {
    text.lines()
        .filter_map(|line| match line.strip_prefix("# ") {
            Some(rest) if rest.split(' ').nth(1) == Some("=") => Some(rest),
            Some(_) => None,
            None => Some(line),
        })
        .filter(|line| !line.is_empty())
        .map(|line| format!("{}\n", line.split("  #").next().unwrap_or(line).trim_end()))
        .collect()
}

/// Table by table.
fn parts(text: &str) -> Vec<String> {
    let mut parts = Vec::new();
    for line in text.lines() {
        if line.starts_with('[') {
            parts.push(String::new());
        }
        if let Some(part) = parts.last_mut() {
            part.push_str(line);
            part.push('\n');
        }
    }
    parts.retain(|part| {
        !["[listen]", "[journal]", "[admin]"]
            .iter()
            .any(|own| part.starts_with(own))
    });
    parts
}
