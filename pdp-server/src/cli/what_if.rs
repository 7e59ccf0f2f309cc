//! `plan`, `explain` and `snapshot`: what is planned, what would be, and what both are worth. A running PDP only tells what
//! it sees; planning is done here.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use power_policy::grouping::{Glob, Grouping};
use power_policy::plan::text;

use super::{Place, UnreadableFile, ask, print_as, read_config, read_text};
use crate::api::{CommandScope, Explained, Outlook, PlanInForce, PlanningInput};
use crate::config::Config;
use crate::limits;
use crate::what_if::{self, Question, Supposition, Uncertainty, described, plot};

/// `pdp-server plan`.
#[derive(Debug, Args)]
pub(super) struct PlanArguments {
    /// Admin socket of the PDP whose cluster is meant.
    #[arg(long, value_name = "PATH", required_unless_present_any = ["config", "cluster"])]
    socket: Option<PathBuf>,
    /// Configuration file of the PDP, which names its socket; with --cluster: policy, sets and rules are taken from it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Take a cluster that was recorded (`pdp-server snapshot`) or described (TOML) instead of asking a PDP.
    #[arg(long, value_name = "FILE", conflicts_with = "socket", requires = "what_if")]
    cluster: Option<PathBuf>,
    /// Suppose that this loses its mains: `cluster`, `domain=NAME` or `server=NAME`; can be given several times.
    #[arg(long, value_name = "SCOPE")]
    what_if: Vec<CommandScope>,
    /// Suppose that mains is away for so long ("90s", "25m", "2h"), and say which class lives through.
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration, requires = "what_if")]
    lasts: Option<Duration>,
    /// Suppose that these reserves have only PERCENT of their capacity left; NAME may have `*` and `?`.
    #[arg(long, value_name = "NAME=PERCENT", value_parser = of_reserve, requires = "what_if")]
    aged: Vec<(Glob, u32)>,
    /// Suppose that these reserves are charged to PERCENT.
    #[arg(long, value_name = "NAME=PERCENT", value_parser = of_reserve, requires = "what_if")]
    charge: Vec<(Glob, u32)>,
    /// Suppose that these reserves and lines are not there.
    #[arg(long, value_name = "NAME", value_parser = glob, requires = "what_if")]
    missing: Vec<Glob>,
    #[command(flatten)]
    questions: Questions,
    /// As JSON (docs/json.md).
    #[arg(long)]
    json: bool,
}

/// How a plan is questioned.
#[derive(Debug, Args)]
pub(super) struct Questions {
    /// How wrong charges may be, in percent of what is above the cut-off. Without it: 5 where they are measured, 10 where
    /// estimated, 20 where configured, 5 more where they are old.
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(0..=100))]
    uncertainty: Option<u32>,
    /// Most plans that are made to find which watt or joule is missing most; 0: none.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    trials: u32,
    /// Begin none of these after so long.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    trial_time: Duration,
    /// Draw the plan into this file: expected charges, stages, and how long each class runs.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

fn glob(text: &str) -> Result<Glob, String> {
    Glob::new(text).map_err(|error| error.to_string())
}

fn of_reserve(text: &str) -> Result<(Glob, u32), String> {
    let (name, percent) = text
        .rsplit_once('=')
        .ok_or_else(|| format!("expected NAME=PERCENT, found '{text}'"))?;
    let percent = percent
        .parse()
        .ok()
        .filter(|percent| *percent <= 100)
        .ok_or_else(|| format!("expected 0 to 100 percent, found '{percent}'"))?;
    Ok((glob(name)?, percent))
}

/// The plan in force, or none.
fn in_force(plan: &Option<PlanInForce>) -> String {
    let Some(in_force) = plan else {
        return "no plan is in force\n".to_owned();
    };
    let mut out = format!(
        "generation {}, {} old: {}",
        in_force.generation,
        text::Duration(in_force.age_millis),
        in_force.plan
    );
    if !in_force.steps.is_empty() {
        out.push_str("\nprogress:\n");
    }
    for step in &in_force.steps {
        out.push_str(&format!(
            "  stage {}, {}: {}: {}\n",
            step.stage, step.pep, step.step, step.outcome
        ));
    }
    out
}

/// Runs `pdp-server plan`.
pub(super) fn plan(arguments: PlanArguments) -> Result<ExitCode> {
    let PlanArguments {
        socket,
        config,
        cluster,
        what_if,
        lasts,
        aged,
        charge,
        missing,
        questions,
        json,
    } = arguments;
    if what_if.is_empty() {
        if questions.svg.is_some() {
            anyhow::bail!(
                "--svg: expected --what-if with it, or `pdp-server explain --svg FILE` for the plan in force"
            );
        }
        return ask(Place { socket, config }, async move |client| {
            print_as(json, &client.plan().await?, in_force)
        });
    }
    let supposition = Supposition {
        scopes: what_if,
        lasts_millis: lasts.map(|lasts| u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX)),
        aged,
        charged: charge,
        missing,
    };
    let answer = |input: &PlanningInput| {
        let outlook = questions.put(input, Some(&supposition))?;
        print_as(json, &outlook, Outlook::to_string)
    };
    match cluster {
        Some(file) => answer(&read_cluster(&file, config.as_deref())?),
        None => ask(Place { socket, config }, async move |client| {
            answer(&client.snapshot().await?)
        }),
    }
}

impl Questions {
    /// Plans, questions the plan, and draws it where that was asked for.
    fn put(&self, input: &PlanningInput, supposition: Option<&Supposition>) -> Result<Outlook> {
        let begun = Instant::now();
        let go_on = || begun.elapsed() < self.trial_time;
        let question = Question {
            supposition,
            uncertainty: Uncertainty {
                permille: self.uncertainty.map(|percent| percent * 10),
            },
            max_trials: self.trials as usize,
            go_on: &go_on,
        };
        let outlook = what_if::outlook(input, &question)?;
        if let Some(file) = &self.svg {
            let svg = plot::draw(&outlook)?;
            std::fs::write(file, svg).with_context(|| format!("writing {}", file.display()))?;
        }
        Ok(outlook)
    }
}

/// Runs `pdp-server explain`.
pub(super) fn explain(place: Place, questions: Questions, json: bool) -> Result<ExitCode> {
    ask(place, async move |client| {
        let explanation = client.explain().await?;
        let input = client.snapshot().await?;
        let outlook = match input.snapshot.outage {
            Some(_) => Some(questions.put(&input, None)?),
            None if questions.svg.is_some() => {
                anyhow::bail!(
                    "--svg: there is no interruption to draw; `pdp-server plan --what-if SCOPE --svg FILE` draws a supposed one"
                )
            }
            None => None,
        };
        let explained = Explained { explanation, outlook };
        print_as(json, &explained, |explained| {
            let further = explained
                .outlook
                .as_ref()
                .map(Outlook::further)
                .unwrap_or_default();
            explained.explanation.to_text() + &further
        })
    })
}

/// Runs `pdp-server snapshot`.
pub(super) fn snapshot(place: Place) -> Result<ExitCode> {
    ask(place, async move |client| {
        print_as(true, &client.snapshot().await?, |_| String::new())
    })
}

/// A file that `snapshot` wrote, or a description; the former is JSON.
fn read_cluster(file: &Path, config: Option<&Path>) -> Result<PlanningInput> {
    let name = file.display().to_string();
    let text = read_text(file, limits::MAX_SNAPSHOT_OCTETS)?;
    let config = config.map(read_config).transpose()?;
    if text.trim_start().starts_with('{') {
        let mut input: PlanningInput = serde_json::from_str(&text).map_err(|error| UnreadableFile {
            file: name,
            problem: format!("expected what `pdp-server snapshot` writes: {error}"),
        })?;
        if let Some(config) = &config {
            rule_by(&mut input, config)?;
        }
        return Ok(input);
    }
    let grouping = config.as_ref().map(grouping).transpose()?;
    Ok(PlanningInput {
        snapshot: described::read(&name, &text, grouping.as_ref())?,
        previous: None,
        policy: config.map(|config| config.scaled_policy(1)).unwrap_or_default(),
    })
}

fn grouping(config: &Config) -> Result<Grouping> {
    // It was checked when the file was read.
    Grouping::new(config.grouping.clone()).context("the sets of --config")
}

/// Takes policy and sets from a file; sets are known by their names.
fn rule_by(input: &mut PlanningInput, config: &Config) -> Result<()> {
    input.policy = config.scaled_policy(1);
    let grouping = grouping(config)?;
    for set in &mut input.snapshot.sets {
        if let Some(given) = grouping.sets().iter().find(|given| given.name == set.name) {
            set.clone_from(given);
        }
    }
    Ok(())
}
