//! Commands that change something: each says what it will do, and asks, unless it is told `--yes`.

use std::collections::BTreeSet;
use std::io::{BufRead, IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use power_policy::model::{Cause, Phase};
use power_policy::plan::text;
use power_policy::plan::{HostState, Plan, StepKind, Verb};

use super::{CommandId, OfClientType, Place, ask, print_as};
use crate::api::{
    Availability, CommandAnswer, CommandScope, DrillOutcome, DrillReport, DrillStep, Outlook, PlanInForce,
    Status,
};
use crate::io::admin::AdminClient;
use crate::what_if::{self, Question, Supposition, SuppositionError, Uncertainty};

/// How often a drill is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Whether to ask.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(super) struct Consent {
    /// Do not ask. Needed where nobody can be asked: standard input is no terminal.
    #[arg(long, short = 'y')]
    yes: bool,
}

/// Nobody agreed.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoConsent {
    /// There is nobody to ask.
    #[error("expected --yes: this changes the cluster, and standard input is no terminal on which to ask")]
    Nobody,
    /// Somebody said no.
    #[error("not done: expected 'yes'")]
    No,
}

impl Consent {
    /// Says what will be done, and asks.
    fn ask(self, what: &str) -> Result<()> {
        eprintln!("{what}");
        if self.yes {
            return Ok(());
        }
        let input = std::io::stdin();
        if !input.is_terminal() {
            return Err(NoConsent::Nobody.into());
        }
        eprint!("Go on? Type yes: ");
        std::io::stderr().flush().context("asking")?;
        let mut line = String::new();
        input.lock().read_line(&mut line).context("the answer")?;
        if matches!(line.trim(), "yes" | "y" | "YES" | "Yes") {
            return Ok(());
        }
        Err(NoConsent::No.into())
    }
}

fn answer(answer: &CommandAnswer) -> ExitCode {
    let again = if answer.repeated { " (done before)" } else { "" };
    if answer.done {
        println!("{}{again}", answer.text);
        return ExitCode::SUCCESS;
    }
    eprintln!("refused: {}{again}", answer.text);
    ExitCode::FAILURE
}

/// What an interruption of this scope would do, planned here from what the PDP sees.
async fn planned(client: &AdminClient, scope: &CommandScope) -> Result<Outlook> {
    let input = client.snapshot().await?;
    let supposition = Supposition {
        scopes: vec![scope.clone()],
        ..Supposition::default()
    };
    let question = Question {
        supposition: Some(&supposition),
        uncertainty: Uncertainty::default(),
        max_trials: 0,
        go_on: &|| true,
    };
    Ok(what_if::outlook(&input, &question)?)
}

/// What a plan stops and switches off, in one or two lines.
fn consequences(plan: &Plan) -> String {
    const SHOWN: usize = 8;
    let list = |names: &BTreeSet<&str>| {
        let shown: Vec<&str> = names.iter().copied().take(SHOWN).collect();
        let more = match names.len().saturating_sub(SHOWN) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!("{}{more}", shown.join(", "))
    };
    let (mut stopped, mut moved, mut off) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for step in plan.central_stages().flat_map(|stage| &stage.steps) {
        match &step.kind {
            StepKind::Activity { activity, verb, .. } => match verb {
                Verb::Stop => drop(stopped.insert(activity.as_str())),
                Verb::MoveOut => drop(moved.insert(activity.as_str())),
                Verb::Run | Verb::Cap | Verb::Start | Verb::TakeIn => {}
            },
            StepKind::Host { server, state } if *state != HostState::On => drop(off.insert(server.as_str())),
            _ => {}
        }
    }
    let mut words = Vec::new();
    for (what, names) in [
        ("are stopped, sooner or later", &stopped),
        ("are moved", &moved),
        ("stand by or are switched off", &off),
    ] {
        if !names.is_empty() {
            words.push(format!("  {}: {what}", list(names)));
        }
    }
    if words.is_empty() {
        words.push("  nothing is stopped, moved or switched off".to_owned());
    }
    for class in plan.classes.iter().filter(|c| c.ride_through_millis.is_some()) {
        let end = class.ride_through_millis.unwrap_or_default();
        words.push(format!(
            "  class {} runs whole for {}",
            class.priority,
            text::Duration(end)
        ));
    }
    words.join("\n")
}

/// Runs `pdp-server interrupt`.
pub(super) fn interrupt(
    place: Place,
    scope: CommandScope,
    id: CommandId,
    consent: Consent,
) -> Result<ExitCode> {
    ask(place, async move |client| {
        let said = match planned(&client, &scope).await {
            Ok(outlook) => consequences(&outlook.plan),
            // The PDP has the last word on what there is.
            Err(error) if error.downcast_ref::<SuppositionError>().is_some() => format!("  {error}"),
            Err(error) => return Err(error),
        };
        consent.ask(&format!(
            "This treats {scope} as if its mains were lost: reserves are diverted and work is stopped, until `restore`.\n\
             As planned from what the PDP sees now:\n{said}"
        ))?;
        Ok(answer(&client.interrupt(&id.text(), scope).await?))
    })
}

/// Runs `pdp-server restore`.
pub(super) fn restore(place: Place, id: CommandId, consent: Consent) -> Result<ExitCode> {
    ask(place, async move |client| {
        let status = client.status().await?;
        consent.ask(&on_restore(&status))?;
        Ok(answer(&client.restore(&id.text()).await?))
    })
}

fn on_restore(status: &Status) -> String {
    let shed = status.activities.iter().filter(|a| a.shed).count();
    let away = status.activities.iter().filter(|a| a.home != a.host).count();
    match &status.outage {
        None => format!("This lets activities move back home now: {away} of them are away."),
        Some(_) => format!(
            "This ends a commanded interruption or drill, and takes mains that nobody reports for good; {shed} activities \
             that were shed are started, the most important first."
        ),
    }
}

/// Runs `pdp-server redirect`, `drain` and `accept`.
pub(super) fn availability(
    place: Place,
    id: CommandId,
    availability: Availability,
    of: OfClientType,
    consent: Consent,
) -> Result<ExitCode> {
    ask(place, async move |client| {
        let status = client.status().await?;
        let peps: usize = status.peers.iter().filter(|p| p.connected).count();
        let until = "until `accept` or a restart; what they do not report cannot be protected";
        match availability {
            Availability::Redirect(to) => {
                consent.ask(&format!(
                    "This sends all PEPs to {to}, {peps} of them now, {until}."
                ))?;
            }
            Availability::Drain => {
                consent.ask(&format!("This sends all PEPs away, {peps} of them now, {until}."))?;
            }
            Availability::Serve => {}
        }
        let done = client
            .availability(&id.text(), availability, of.client_type)
            .await?;
        Ok(answer(&done))
    })
}

/// `pdp-server drill`.
#[derive(Debug, Args)]
pub(super) struct DrillArguments {
    #[command(flatten)]
    place: Place,
    /// `cluster`, `domain=NAME` or `server=NAME`.
    #[arg(long, value_name = "SCOPE")]
    scope: CommandScope,
    /// End it after so long at the latest; it ends sooner when every step has been gone through.
    #[arg(long = "for", value_name = "TIME", default_value = "60s", value_parser = humantime::parse_duration)]
    lasts: Duration,
    #[command(flatten)]
    id: CommandId,
    #[command(flatten)]
    consent: Consent,
    /// As JSON (docs/json.md).
    #[arg(long)]
    json: bool,
}

/// Runs `pdp-server drill`.
pub(super) fn drill(arguments: DrillArguments) -> Result<ExitCode> {
    let DrillArguments {
        place,
        scope,
        lasts,
        id,
        consent,
        json,
    } = arguments;
    ask(place, async move |client| {
        let outlook = planned(&client, &scope).await?;
        consent.ask(&format!(
            "This goes the way of an interruption of {scope} with every actuator held: plans are made and sent, agents check \
             and report what they would do, nothing is switched, stopped or moved. Something real ends it at once."
        ))?;
        let id = id.text();
        let begun = client.drill(&id, scope.clone()).await?;
        if !begun.done {
            return Ok(answer(&begun));
        }
        eprintln!("{}", begun.text);
        // Whatever happens from here on, it is ended.
        let went = follow(&client, lasts).await;
        let ended = client.restore(&format!("{id}-end")).await;
        let (last, is_complete) = went?;
        let ended = ended?;
        let report = report(id, scope, last, is_complete, &ended, outlook);
        print_as(json, &report, DrillReport::to_string)?;
        let failed =
            report.steps.iter().any(|step| step.outcome.is_failure()) || !report.objections.is_empty();
        Ok(if failed {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        })
    })
}

/// Waits until every step has its outcome: in a drill the PDP waits for neither time nor charge. The plan as it was last, and
/// whether it came that far.
async fn follow(client: &AdminClient, lasts: Duration) -> Result<(Option<PlanInForce>, bool)> {
    let begun = Instant::now();
    let mut last = None;
    loop {
        let status = client.status().await?;
        if status.outage.as_ref().is_none_or(|o| o.cause != Cause::Drill) {
            // Something real came, or someone ended it.
            return Ok((last, false));
        }
        let left = lasts.saturating_sub(begun.elapsed());
        if let Some(plan) = client.plan().await?.filter(|p| p.plan.cause == Cause::Drill) {
            let is_settled = status
                .plan
                .as_ref()
                .is_some_and(|p| p.generation == plan.generation && p.outstanding == 0);
            let is_shown = is_settled
                && status.phase == Phase::Interrupted
                && plan.steps.iter().all(|step| step.outcome != "waiting");
            last = Some(plan);
            if is_shown {
                return Ok((last, true));
            }
        }
        if left.is_zero() {
            return Ok((last, false));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// What an agent's outcome means in a drill, in which "done" is "would do".
fn drilled(outcome: &str) -> DrillOutcome {
    match outcome {
        "done" => DrillOutcome::WouldDo,
        "waiting" => DrillOutcome::NotReached,
        "released" => DrillOutcome::NoWord,
        other => DrillOutcome::Failed(other.to_owned()),
    }
}

fn report(
    id: String,
    scope: CommandScope,
    last: Option<PlanInForce>,
    is_complete: bool,
    ended: &CommandAnswer,
    outlook: Outlook,
) -> DrillReport {
    let mut steps = Vec::new();
    let mut generation = 0;
    if let Some(in_force) = &last {
        generation = in_force.generation;
        for step in &in_force.steps {
            let stage = in_force.plan.central_stages().find(|s| s.order == step.stage);
            steps.push(DrillStep {
                stage: step.stage,
                when: stage.map(|s| s.trigger.to_string()).unwrap_or_default(),
                pep: step.pep.clone(),
                step: step.step.clone(),
                outcome: drilled(&step.outcome),
            });
        }
    }
    DrillReport {
        id,
        scope,
        generation,
        is_complete,
        ended: ended.text.clone(),
        steps,
        classes: outlook.classes,
        refusals: outlook
            .plan
            .refusals
            .iter()
            .map(|r| format!("{}: {}", r.subject, r.reason))
            .collect(),
        objections: outlook.objections,
    }
}
