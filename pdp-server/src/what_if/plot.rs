//! An outlook as a picture (SVG): the charge that is expected of each reserve, when which stage is expected, and how long
//! each class runs, with its band.

use std::collections::BTreeMap;

use plotters::coord::ranged1d::SegmentValue;
use plotters::prelude::*;
use power_policy::model::Name;
use power_policy::plan::{Plan, Stage, Trigger};

use crate::api::Outlook;

const WIDTH_PIXELS: u32 = 1_100;
const CHARGE_PIXELS: i32 = 360;
const ROW_PIXELS: u32 = 30;
const LABEL_PIXELS: u32 = 180;
/// Reserves with a curve of their own; the picture would be a tangle with more.
const MAX_CURVES: usize = 16;
/// Stages with a mark.
const MAX_MARKS: usize = 40;
/// Okabe and Ito's colours, which people with any colour vision can tell apart.
const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(213, 94, 0),
    RGBColor(0, 0, 0),
    RGBColor(150, 150, 60),
];

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
#[error("the plot could not be drawn: {0}")]
pub struct PlotError(String);

type Panel<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn failed(error: impl std::fmt::Display) -> PlotError {
    PlotError(error.to_string())
}

/// Draws `outlook`, and returns the SVG.
///
/// # Errors
/// [`PlotError`]: the drawing library refuses.
pub fn draw(outlook: &Outlook) -> Result<String, PlotError> {
    let rows = u32::try_from(outlook.classes.len().max(1)).map_err(failed)?;
    let classes_pixels = rows * ROW_PIXELS + 80;
    let height = CHARGE_PIXELS.unsigned_abs() + classes_pixels;
    let minutes = span_minutes(outlook);
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH_PIXELS, height)).into_drawing_area();
        area.fill(&WHITE).map_err(failed)?;
        let (charge, classes) = area.split_vertically(CHARGE_PIXELS);
        draw_charge(outlook, minutes, &charge)?;
        draw_classes(outlook, minutes, rows, &classes)?;
        area.present().map_err(failed)?;
    }
    Ok(svg)
}

fn to_minutes(millis: u64) -> f64 {
    millis as f64 / 60_000.0
}

/// From the loss of mains to a little after the last thing that is expected.
fn span_minutes(outlook: &Outlook) -> f64 {
    let points = outlook
        .plan
        .reserves
        .iter()
        .flat_map(|r| &r.points)
        .map(|(at, _)| *at);
    let ends = outlook
        .classes
        .iter()
        .flat_map(|c| [c.high_millis, c.ride_through_millis])
        .flatten();
    let last = points.chain(ends).chain(outlook.lasts_millis).max().unwrap_or(0);
    (to_minutes(last) * 1.05).max(1.0)
}

fn draw_charge(outlook: &Outlook, minutes: f64, panel: &Panel<'_>) -> Result<(), PlotError> {
    let kilojoules = |millijoules: u64| millijoules as f64 / 1_000_000.0;
    let reserves = &outlook.plan.reserves;
    let top = reserves
        .iter()
        .flat_map(|r| &r.points)
        .map(|(_, charge)| kilojoules(*charge))
        .fold(1.0, f64::max);
    let caption = match reserves.len().saturating_sub(MAX_CURVES) {
        0 => "Expected charge of each reserve, kJ, over minutes (dashes: stages)".to_owned(),
        more => {
            format!("Expected charge of {MAX_CURVES} reserves ({more} more are not shown), kJ, over minutes")
        }
    };
    let mut chart = ChartBuilder::on(panel)
        .caption(caption, ("sans-serif", 16))
        .margin(10)
        .x_label_area_size(25)
        .y_label_area_size(LABEL_PIXELS)
        .build_cartesian_2d(0.0..minutes, 0.0..top * 1.05)
        .map_err(failed)?;
    chart
        .configure_mesh()
        .x_labels(12)
        .y_labels(6)
        .light_line_style(TRANSPARENT)
        .draw()
        .map_err(failed)?;
    for (at, stage) in stage_times(&outlook.plan).into_iter().take(MAX_MARKS) {
        let x = to_minutes(at);
        let line = DashedLineSeries::new([(x, 0.0), (x, top * 1.05)], 3, 4, BLACK.mix(0.45).stroke_width(1));
        chart.draw_series(line).map_err(failed)?;
        let label = Text::new(stage.order.to_string(), (x, top * 1.04), ("sans-serif", 11));
        chart.draw_series([label]).map_err(failed)?;
    }
    for (number, reserve) in reserves.iter().take(MAX_CURVES).enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        let points = reserve
            .points
            .iter()
            .map(|(at, charge)| (to_minutes(*at), kilojoules(*charge)));
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(2)))
            .map_err(failed)?
            .label(reserve.reserve.as_str())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 14, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.2))
        .label_font(("sans-serif", 12))
        .draw()
        .map_err(failed)
}

/// When each central stage is expected: at its time, or when the charge that it waits for is forecast.
fn stage_times(plan: &Plan) -> Vec<(u64, &Stage)> {
    let mut before = plan.planned_at_millis;
    let mut times = Vec::new();
    for stage in plan.central_stages() {
        let at = match &stage.trigger {
            Trigger::Elapsed { millis } => *millis,
            Trigger::Delay { millis } => before.saturating_add(*millis),
            Trigger::ChargeBelow {
                reserves,
                millijoules,
            } => match falls_to(plan, reserves, *millijoules) {
                Some(at) => at,
                None => continue,
            },
            Trigger::AfterResults | Trigger::ChargeAbove { .. } | Trigger::MainsLost => before,
        };
        before = before.max(at);
        times.push((before, stage));
    }
    times
}

/// When the forecast charge of these reserves together falls to a value; `None`: never.
fn falls_to(plan: &Plan, reserves: &[Name], millijoules: u64) -> Option<u64> {
    let curves: Vec<_> = plan
        .reserves
        .iter()
        .filter(|r| reserves.contains(&r.reserve))
        .collect();
    let mut changes: BTreeMap<u64, ()> = BTreeMap::new();
    for curve in &curves {
        changes.extend(curve.points.iter().map(|(at, _)| (*at, ())));
    }
    let sum = |at: u64| -> u64 {
        curves
            .iter()
            .map(|curve| charge_at(&curve.points, at))
            .fold(0, u64::saturating_add)
    };
    let mut last: Option<(u64, u64)> = None;
    for at in changes.into_keys() {
        let now = sum(at);
        if now <= millijoules {
            // Between two points every curve is straight, and so is their sum.
            return Some(match last {
                Some((then, more)) if more > now => {
                    let part = u128::from(more - millijoules.min(more)) * u128::from(at - then);
                    then + u64::try_from(part / u128::from(more - now)).unwrap_or(0)
                }
                _ => at,
            });
        }
        last = Some((at, now));
    }
    None
}

fn charge_at(points: &[(u64, u64)], at: u64) -> u64 {
    let after = points.partition_point(|(t, _)| *t < at);
    match (
        after.checked_sub(1).and_then(|i| points.get(i)),
        points.get(after),
    ) {
        (None, Some((_, charge))) | (Some((_, charge)), None) => *charge,
        (Some((t0, c0)), Some((t1, c1))) => {
            let part = i128::from(at - t0) * (i128::from(*c1) - i128::from(*c0)) / i128::from(t1 - t0).max(1);
            u64::try_from(i128::from(*c0) + part).unwrap_or(0)
        }
        (None, None) => 0,
    }
}

fn draw_classes(outlook: &Outlook, minutes: f64, rows: u32, panel: &Panel<'_>) -> Result<(), PlotError> {
    let label = |segment: &SegmentValue<u32>| {
        let SegmentValue::CenterOf(position) = segment else {
            return String::new();
        };
        let row = rows.checked_sub(position + 1);
        let class = row.and_then(|row| outlook.classes.get(row as usize));
        class.map_or_else(String::new, |c| match c.sets.as_slice() {
            [] => c.priority.to_string(),
            [one] => format!("{} ({one})", c.priority),
            [one, ..] => format!("{} ({one}, ...)", c.priority),
        })
    };
    let mut chart = ChartBuilder::on(panel)
        .caption(
            "How long each class runs whole, minutes (pale: the band; black: its target)",
            ("sans-serif", 16),
        )
        .margin(10)
        .x_label_area_size(25)
        .y_label_area_size(LABEL_PIXELS)
        .build_cartesian_2d(0.0..minutes, (0..rows).into_segmented())
        .map_err(failed)?;
    chart
        .configure_mesh()
        .x_labels(12)
        .y_labels(outlook.classes.len() + 1)
        .y_label_formatter(&label)
        .light_line_style(TRANSPARENT)
        .draw()
        .map_err(failed)?;
    let end = |millis: Option<u64>| millis.map_or(minutes, to_minutes).min(minutes);
    for (number, class) in outlook.classes.iter().enumerate() {
        let position = rows - 1 - u32::try_from(number).map_err(failed)?;
        let (from, to) = (SegmentValue::Exact(position), SegmentValue::Exact(position + 1));
        let bar = |a: f64, b: f64, style: ShapeStyle| {
            let mut bar = Rectangle::new([(a, from.clone()), (b, to.clone())], style);
            bar.set_margin(4, 4, 0, 0);
            bar
        };
        let colour = COLOURS[number % COLOURS.len()];
        let bars = [
            bar(0.0, end(class.low_millis), colour.mix(0.8).filled()),
            bar(
                end(class.low_millis),
                end(class.high_millis),
                colour.mix(0.3).filled(),
            ),
        ];
        chart.draw_series(bars).map_err(failed)?;
        let at = end(class.ride_through_millis);
        let nominal = PathElement::new([(at, from.clone()), (at, to.clone())], colour.stroke_width(3));
        chart.draw_series([nominal]).map_err(failed)?;
        if let Some(target) = class
            .target_millis
            .map(to_minutes)
            .filter(|t| *t > 0.0 && *t <= minutes)
        {
            let mark = PathElement::new([(target, from), (target, to)], BLACK.stroke_width(2));
            chart.draw_series([mark]).map_err(failed)?;
        }
    }
    if let Some(lasts) = outlook.lasts_millis.map(to_minutes) {
        let back = PathElement::new(
            [
                (lasts, SegmentValue::Exact(0)),
                (lasts, SegmentValue::Exact(rows)),
            ],
            GREEN.stroke_width(2),
        );
        chart.draw_series([back]).map_err(failed)?;
    }
    Ok(())
}
