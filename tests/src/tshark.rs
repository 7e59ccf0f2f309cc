//! Reads a capture with tshark, somebody else's dissector of COPS.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// What tshark makes of a capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dissection {
    /// COPS messages, by op code, in order.
    pub op_codes: Vec<u8>,
    /// Frames that it calls malformed, with its words.
    pub malformed: Vec<String>,
    /// The whole dissection as text.
    pub text: String,
}

impl Dissection {
    /// The op codes that appear.
    pub fn kinds(&self) -> BTreeSet<u8> {
        self.op_codes.iter().copied().collect()
    }

    /// Whether it reads everything: each message has its op code's name, and none is malformed.
    ///
    /// # Errors
    /// What it does not read.
    pub fn check(&self) -> Result<()> {
        ensure!(self.malformed.is_empty(), "{:#?}", self.malformed);
        let named: Vec<_> = self
            .text
            .lines()
            .filter_map(|line| line.trim().strip_prefix("Op Code: "))
            .collect();
        ensure!(
            named.len() == self.op_codes.len(),
            "{} names of op codes for {} messages",
            named.len(),
            self.op_codes.len()
        );
        let unknown: Vec<_> = named
            .iter()
            .filter(|name| !NAMES.iter().any(|known| name.starts_with(known)))
            .collect();
        ensure!(unknown.is_empty(), "op codes without a name: {unknown:?}");
        Ok(())
    }
}

/// As RFC 2748 2.1 numbers them, in tshark's words.
const NAMES: [&str; 10] = [
    "Request (REQ)",
    "Decision (DEC)",
    "Report State (RPT)",
    "Delete Request State (DRQ)",
    "Synchronize State Req (SSQ)",
    "Client-Open (OPN)",
    "Client-Accept (CAT)",
    "Client-Close (CC)",
    "Keep-Alive (KA)",
    "Synchronize Complete (SSC)",
];

/// Dissects `capture`.
///
/// # Errors
/// If tshark is not there or fails.
pub fn dissect(capture: &Path) -> Result<Dissection> {
    let fields = tshark(
        capture,
        &[
            "-T",
            "fields",
            "-e",
            "cops.op_code",
            "-E",
            "occurrence=a",
            "-E",
            "aggregator=,",
        ],
    )?;
    let mut op_codes = Vec::new();
    for word in fields
        .split([',', '\n'])
        .map(str::trim)
        .filter(|word| !word.is_empty())
    {
        op_codes.push(word.parse().with_context(|| format!("op code {word:?}"))?);
    }
    let text = tshark(capture, &["-V"])?;
    let is_malformed = |line: &&str| line.contains("Malformed") || line.contains("[Dissector bug");
    let malformed = text.lines().filter(is_malformed).map(str::to_owned).collect();
    Ok(Dissection {
        op_codes,
        malformed,
        text,
    })
}

fn tshark(capture: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new("tshark")
        .arg("-r")
        .arg(capture)
        .args(arguments)
        .output()
        .context("starting tshark (Debian package tshark; `make deps`)")?;
    ensure!(
        output.status.success(),
        "tshark: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
