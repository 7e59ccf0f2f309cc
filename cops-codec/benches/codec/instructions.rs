//! Instructions of each case, counted by valgrind.
//!
//! A case runs in a process of its own, once this often and once that often: the difference is the case's, without the
//! process's start. The counts depend on compiler and processor (which `memcpy` is taken), on nothing else.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

/// Growth that counts as a regression.
pub(crate) const TOLERANCE_PERCENT: f64 = 5.0;
/// How often a case runs in either process.
const TIMES: [u64; 2] = [200, 1_200];

/// Counts, and compares with what is kept. False where valgrind is missing, or a case has become dearer.
pub(crate) fn count(names: &[String], bless: bool) -> (String, String, bool) {
    if Command::new("valgrind").arg("--version").output().is_err() {
        let text =
            "MISSING: valgrind, with which instructions are counted (Debian: apt-get install valgrind)\n";
        return (text.to_owned(), "{\"missing\":\"valgrind\"}\n".to_owned(), false);
    }
    let kept = read();
    let mut text = format!(
        "{:<20} {:>12} {:>12} {:>8}\n",
        "case", "instructions", "kept", "change"
    );
    let mut is_fine = true;
    let mut counts = BTreeMap::new();
    for name in names {
        let [few, many] = TIMES.map(|times| count_one(name, times));
        let each = (many - few) / (TIMES[1] - TIMES[0]);
        counts.insert(name.clone(), each);
        let before = kept.get(name).copied();
        let change = before.map(|before| (each as f64 / before as f64 - 1.0) * 100.0);
        let is_regression = change.is_none_or(|change| change > TOLERANCE_PERCENT);
        is_fine &= !is_regression;
        text += &format!(
            "{name:<20} {each:>12} {:>12} {:>8}{}\n",
            before.map_or("-".to_owned(), |n| n.to_string()),
            change.map_or("-".to_owned(), |c| format!("{c:+.1} %")),
            if is_regression { "  REGRESSION" } else { "" },
        );
    }
    let lines: Vec<_> = counts
        .iter()
        .map(|(name, count)| format!("  \"{name}\": {count}"))
        .collect();
    let json = format!("{{\n{}\n}}\n", lines.join(",\n"));
    if bless {
        std::fs::write(file(), &json).expect("benches/instructions.json can be written");
        text += "kept from now on\n";
        is_fine = true;
    }
    (text, json, is_fine)
}

fn count_one(name: &str, times: u64) -> u64 {
    let own = std::env::current_exe().expect("path of this program");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(own)
        .args(["--case", name, "--times", &times.to_string()])
        .output()
        .expect("valgrind runs");
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    log.lines()
        .find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok())
        .unwrap_or_else(|| panic!("valgrind counts {name}, found: {log}"))
}

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/instructions.json")
}

/// The counts that are kept: one flat object of names and numbers.
fn read() -> BTreeMap<String, u64> {
    let text = std::fs::read_to_string(file()).unwrap_or_default();
    text.lines()
        .filter_map(|line| {
            let (name, count) = line.trim().trim_end_matches(',').split_once("\": ")?;
            Some((name.trim_start_matches('"').to_owned(), count.parse().ok()?))
        })
        .collect()
}
