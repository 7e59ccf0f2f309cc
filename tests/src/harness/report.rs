//! The report: tables for people, and one line a case for whoever wants to look closer.

use std::fmt::Write as _;

use super::instance::{Scenario, Shape};
use super::quality::{Case, PLANNER, POLICIES, Spread};
use super::scaling::{SETS_EACH, Timing};

/// The cells that have cases, in order, with these.
fn cells(cases: &[Case]) -> Vec<(String, Vec<&Case>)> {
    let mut cells = Vec::new();
    for scenario in Scenario::ALL {
        for shape in Shape::ALL {
            let of = |c: &&Case| c.instance.scenario == scenario && c.instance.shape == shape;
            let here: Vec<&Case> = cases.iter().filter(of).collect();
            if !here.is_empty() {
                cells.push((format!("{scenario} | {shape} | {}", here.len()), here));
            }
        }
    }
    cells
}

fn row(into: &mut String, cells: impl IntoIterator<Item = String>) {
    let cells: Vec<String> = cells.into_iter().collect();
    // Writing to a String cannot fail.
    let _ = writeln!(into, "| {} |", cells.join(" | "));
}

fn head(into: &mut String, titles: &[&str]) {
    row(into, titles.iter().map(|t| (*t).to_owned()));
    let _ = writeln!(into, "|{}", "---|".repeat(titles.len()));
}

/// Quality in tables.
pub fn quality(cases: &[Case]) -> String {
    let mut text = String::new();
    text.push_str("Median / 5th percentile / worst. LP: the linear program of the policy notes. Tight: the bound that also pays ");
    text.push_str("what no plan can avoid.\n\n## Survival of the top class, all energy spent on it\n\n");
    let columns = ["scenario", "matrix", "n"];
    let policies: Vec<String> = POLICIES.iter().map(|p| format!("{p} / LP")).collect();
    let mut titles: Vec<&str> = columns.to_vec();
    titles.extend(policies.iter().map(String::as_str));
    titles.extend(["P / tight", "tight / LP"]);
    head(&mut text, &titles);
    for (cell, cases) in cells(cases) {
        let mut fields = vec![cell];
        fields.extend((0..POLICIES.len()).map(|p| of(&cases, |c| c.scores[p].survival / c.bounds.survive)));
        fields.push(of(&cases, |c| {
            c.scores[PLANNER].survival / c.bounds.tight_survive
        }));
        fields.push(median(&cases, |c| c.bounds.tight_survive / c.bounds.survive));
        row(&mut text, fields);
    }
    text.push_str("\n## Expected weighted service, length of the outage not known\n\n");
    head(&mut text, &titles);
    for (cell, cases) in cells(cases) {
        let mut fields = vec![cell];
        fields.extend((0..POLICIES.len()).map(|p| of(&cases, |c| c.scores[p].service / c.bounds.weighted)));
        fields.push(of(&cases, |c| {
            c.scores[PLANNER].service / c.bounds.tight_weighted
        }));
        fields.push(median(&cases, |c| c.bounds.tight_weighted / c.bounds.weighted));
        row(&mut text, fields);
    }
    text.push_str("\n## The planner beside the best baseline, and what it stopped dirty\n\n");
    head(
        &mut text,
        &[
            "scenario",
            "matrix",
            "n",
            "survival: not below the best",
            "service: not below the best",
            "survival: runs with dirty stops (sets; unexcused)",
            "service: runs with dirty stops (sets; unexcused)",
            "above a bound",
        ],
    );
    let mut worse = Vec::new();
    for (cell, cases) in cells(cases) {
        let mut fields = vec![cell];
        for (goal, value) in [
            (
                "survival",
                (|c, p| c.scores[p].survival) as fn(&Case, usize) -> f64,
            ),
            ("service", |c, p| c.scores[p].service),
        ] {
            let below: Vec<&&Case> = cases
                .iter()
                .filter(|c| (0..PLANNER).any(|b| value(c, b) > value(c, PLANNER)))
                .collect();
            fields.push(format!("{} of {}", cases.len() - below.len(), cases.len()));
            worse.extend(below.iter().map(|c| format!("- {goal}: {}", c.instance)));
        }
        for goal in [0, 1] {
            let dirty: Vec<usize> = cases.iter().map(|c| c.scores[PLANNER].dirty[goal]).collect();
            let unexcused: usize = cases.iter().map(|c| c.scores[PLANNER].unexcused[goal]).sum();
            let runs = dirty.iter().filter(|d| **d > 0).count();
            fields.push(format!("{runs} ({}; {unexcused})", dirty.iter().sum::<usize>()));
        }
        fields.push(
            cases
                .iter()
                .map(|c| c.above_a_bound().len())
                .sum::<usize>()
                .to_string(),
        );
        row(&mut text, fields);
    }
    if !worse.is_empty() {
        text.push_str("\nBelow the best baseline:\n\n");
        text.push_str(&worse.join("\n"));
        text.push('\n');
    }
    text.push_str(
        "\n## Where the energy of the planner's survival runs went, until the first set of class 0 ended\n\nMedians, per \
         cent of all usable energy.\n\n",
    );
    head(
        &mut text,
        &[
            "scenario",
            "matrix",
            "n",
            "class 0 on the least whole servers",
            "lines",
            "halts, boots",
            "lower classes",
            "idle beyond the least, first 240 s",
            "idle beyond the least, later",
            "not used",
        ],
    );
    for (cell, cases) in cells(cases) {
        let mut fields = vec![cell];
        let parts: [fn(&Case) -> f64; 7] = [
            |c| c.spending.needed,
            |c| c.spending.lines,
            |c| c.spending.halts,
            |c| c.spending.lower,
            |c| c.spending.early_idle,
            |c| c.spending.late_idle,
            |c| c.spending.left,
        ];
        let percent = |part: &fn(&Case) -> f64| {
            format!("{:.1}", Spread::of(cases.iter().map(|c| part(c) * 100.0)).median)
        };
        fields.extend(parts.iter().map(percent));
        row(&mut text, fields);
    }
    text
}

fn of(cases: &[&Case], figure: impl Fn(&Case) -> f64) -> String {
    let spread = Spread::of(cases.iter().map(|c| figure(c)));
    if spread.median > 0.0 || spread.worst.is_nan() {
        spread.to_string()
    } else {
        "0".to_owned()
    }
}

fn median(cases: &[&Case], figure: impl Fn(&Case) -> f64) -> String {
    let median = Spread::of(cases.iter().map(|c| figure(c))).median;
    if median.is_finite() {
        format!("{median:.3}")
    } else {
        "not solved".to_owned()
    }
}

/// Times of plans in a table.
pub fn scaling(shapes: &[(Shape, Vec<Timing>)]) -> String {
    let mut text = format!(
        "A first plan of scenario A, {SETS_EACH} sets a server, processor time of the quickest of several. In brackets the growth exponent \
         from the size before.\n\n"
    );
    let Some((_, first)) = shapes.first() else {
        return text;
    };
    let mut titles = vec!["matrix".to_owned()];
    titles.extend(first.iter().map(|t| format!("{} servers", t.servers)));
    head(&mut text, &titles.iter().map(String::as_str).collect::<Vec<_>>());
    for (shape, timings) in shapes {
        let mut fields = vec![shape.to_string()];
        fields.extend(timings.iter().map(|t| match (t.took, t.exponent) {
            (None, _) => "not tried: over a minute".to_owned(),
            (Some(took), None) => format!("{took:.3?}"),
            (Some(took), Some(exponent)) => format!("{took:.3?} ({exponent:.2})"),
        }));
        row(&mut text, fields);
    }
    text
}

/// One line a case, comma-separated, with a head.
pub fn lines(cases: &[Case]) -> String {
    let mut text = String::from("scenario,matrix,seed,lp_survive,tight_survive,lp_service,tight_service");
    for p in POLICIES {
        let _ = write!(
            text,
            ",{p}_survive,{p}_service,{p}_dirty_survive,{p}_dirty_service"
        );
    }
    text.push('\n');
    for c in cases {
        let (z, b) = (&c.instance, &c.bounds);
        let _ = write!(
            text,
            "{},{},{},{:.2},{:.2},{:.2},{:.2}",
            z.scenario, z.shape, z.seed, b.survive, b.tight_survive, b.weighted, b.tight_weighted
        );
        for s in &c.scores {
            let _ = write!(
                text,
                ",{:.2},{:.2},{},{}",
                s.survival, s.service, s.dirty[0], s.dirty[1]
            );
        }
        text.push('\n');
    }
    text
}
