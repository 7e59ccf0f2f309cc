//! The plot of a run: charge of the reserves, power on the lines, and which activities ran, over time.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result};
use plotters::coord::ranged1d::SegmentValue;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use power_policy::plant::History;

const WIDTH_PIXELS: u32 = 1200;
const PANEL_PIXELS: i32 = 300;
const ROW_PIXELS: i32 = 15;
const LABEL_PIXELS: u32 = 150;
const MAINS_LOST: RGBColor = RGBColor(225, 225, 225);
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

type Panel<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

/// Draws `history` into `file`. `classes` gives the class of each activity, highest first in the picture.
pub fn draw(history: &History, classes: &BTreeMap<String, u16>, file: &Path) -> Result<()> {
    let rows = activity_rows(history, classes);
    let row_count = u32::try_from(rows.len().max(1))?;
    let runs_pixels = i32::try_from(row_count)? * ROW_PIXELS + 90;
    let height = u32::try_from(2 * PANEL_PIXELS + runs_pixels)?;
    let minutes = minutes(history);

    let area = SVGBackend::new(file, (WIDTH_PIXELS, height)).into_drawing_area();
    area.fill(&WHITE).context("plot background")?;
    let (charge, rest) = area.split_vertically(PANEL_PIXELS);
    let (lines, runs) = rest.split_vertically(PANEL_PIXELS);
    draw_charge(history, &minutes, &charge).context("charge panel")?;
    draw_lines(history, &minutes, &lines).context("lines panel")?;
    draw_runs(history, &minutes, &rows, row_count, &runs).context("running panel")?;
    area.present()
        .with_context(|| format!("writing {}", file.display()))
}

/// Whole time span, in minutes of the plant's time.
fn minutes(history: &History) -> Range<f64> {
    let at = |sample: Option<&power_policy::plant::Sample>| sample.map_or(0.0, |s| to_minutes(s.at_millis));
    let start = at(history.samples.first());
    start..at(history.samples.last()).max(start + 0.1)
}

fn to_minutes(millis: u64) -> f64 {
    millis as f64 / 60_000.0
}

/// Spans of minutes over which `holds` is true of consecutive samples.
fn spans(history: &History, holds: impl Fn(&power_policy::plant::Sample) -> bool) -> Vec<Range<f64>> {
    let mut spans: Vec<Range<f64>> = Vec::new();
    let mut open: Option<f64> = None;
    for sample in &history.samples {
        let at = to_minutes(sample.at_millis);
        match (open, holds(sample)) {
            (None, true) => open = Some(at),
            (Some(start), false) => {
                spans.push(start..at);
                open = None;
            }
            _ => {}
        }
    }
    if let (Some(start), Some(last)) = (open, history.samples.last()) {
        spans.push(start..to_minutes(last.at_millis));
    }
    spans
}

fn draw_charge(history: &History, minutes: &Range<f64>, panel: &Panel<'_>) -> Result<()> {
    let mut chart = ChartBuilder::on(panel)
        .caption(
            "Charge of each reserve, % (grey: a domain without mains)",
            ("sans-serif", 16),
        )
        .margin(10)
        .x_label_area_size(25)
        .y_label_area_size(LABEL_PIXELS)
        .build_cartesian_2d(minutes.clone(), 0.0..100.0)?;
    for (domain, _) in history.domains.iter().enumerate() {
        for span in spans(history, |s| s.mains.get(domain) == Some(&false)) {
            let shade = Rectangle::new(
                [(span.start, 0.0), (span.end, 100.0)],
                MAINS_LOST.mix(0.5).filled(),
            );
            chart.draw_series([shade])?;
        }
    }
    chart
        .configure_mesh()
        .x_labels(12)
        .y_labels(5)
        .light_line_style(TRANSPARENT)
        .draw()?;
    for (index, name) in history.reserves.iter().enumerate() {
        let capacity = history
            .capacity_millijoules
            .get(index)
            .copied()
            .unwrap_or(1)
            .max(1) as f64;
        let points = history.samples.iter().filter_map(|s| {
            let charge = *s.reserve_millijoules.get(index)? as f64;
            Some((to_minutes(s.at_millis), 100.0 * charge / capacity))
        });
        series(&mut chart, points, index, name)?;
    }
    legend(&mut chart)
}

fn draw_lines(history: &History, minutes: &Range<f64>, panel: &Panel<'_>) -> Result<()> {
    let watts = |milliwatts: u64| milliwatts as f64 / 1000.0;
    let top = history
        .samples
        .iter()
        .flat_map(|s| &s.line_milliwatts)
        .copied()
        .max()
        .unwrap_or(0);
    let mut chart = ChartBuilder::on(panel)
        .caption("Power on each divert line, W", ("sans-serif", 16))
        .margin(10)
        .x_label_area_size(25)
        .y_label_area_size(LABEL_PIXELS)
        .build_cartesian_2d(minutes.clone(), 0.0..(watts(top) * 1.1).max(1.0))?;
    chart
        .configure_mesh()
        .x_labels(12)
        .y_labels(5)
        .light_line_style(TRANSPARENT)
        .draw()?;
    for (index, name) in history.lines.iter().enumerate() {
        let points = history
            .samples
            .iter()
            .filter_map(|s| Some((to_minutes(s.at_millis), watts(*s.line_milliwatts.get(index)?))));
        series(&mut chart, points, index, name)?;
    }
    legend(&mut chart)
}

type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

fn series<'b>(
    chart: &mut Chart<'_, 'b>,
    points: impl Iterator<Item = (f64, f64)>,
    index: usize,
    name: &str,
) -> Result<()> {
    let colour = COLOURS[index % COLOURS.len()];
    chart
        .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
        .label(name)
        .legend(move |(x, y)| PathElement::new([(x, y), (x + 14, y)], colour.stroke_width(2)));
    Ok(())
}

fn legend<'b: 'a, 'a>(chart: &mut Chart<'a, 'b>) -> Result<()> {
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.2))
        .label_font(("sans-serif", 12))
        .draw()?;
    Ok(())
}

/// One row of the running panel: an activity with its class, and where it was declared.
struct ActivityRow {
    name: String,
    class: Option<u16>,
    /// Server index and column of [`History::activities`].
    columns: Vec<(usize, u32)>,
}

impl ActivityRow {
    fn label(&self) -> String {
        self.class
            .map_or_else(|| self.name.clone(), |class| format!("{} ({class})", self.name))
    }
}

fn activity_rows(history: &History, classes: &BTreeMap<String, u16>) -> Vec<ActivityRow> {
    let mut by_name: BTreeMap<&str, Vec<(usize, u32)>> = BTreeMap::new();
    for (column, (server, activity)) in (0u32..).zip(&history.activities) {
        let server = history.servers.iter().position(|s| s == server).unwrap_or(0);
        by_name.entry(activity).or_default().push((server, column));
    }
    let mut rows: Vec<_> = by_name
        .into_iter()
        .map(|(name, columns)| ActivityRow {
            name: name.to_owned(),
            class: classes.get(name).copied(),
            columns,
        })
        .collect();
    rows.sort_by(|a, b| b.class.cmp(&a.class).then_with(|| a.name.cmp(&b.name)));
    rows
}

fn draw_runs(
    history: &History,
    minutes: &Range<f64>,
    rows: &[ActivityRow],
    row_count: u32,
    panel: &Panel<'_>,
) -> Result<()> {
    let label = |segment: &SegmentValue<u32>| {
        let SegmentValue::CenterOf(position) = segment else {
            return String::new();
        };
        let row = row_count
            .checked_sub(position + 1)
            .and_then(|row| rows.get(row as usize));
        row.map_or_else(String::new, ActivityRow::label)
    };
    let mut chart = ChartBuilder::on(panel)
        .caption(
            "Running activities with their class, coloured by server, minutes",
            ("sans-serif", 16),
        )
        .margin(10)
        .x_label_area_size(25)
        .y_label_area_size(LABEL_PIXELS)
        .build_cartesian_2d(minutes.clone(), (0..row_count).into_segmented())?;
    chart
        .configure_mesh()
        .x_labels(12)
        .y_labels(rows.len() + 1)
        .y_label_formatter(&label)
        .y_label_style(("sans-serif", 11))
        .x_label_style(("sans-serif", 12))
        .light_line_style(TRANSPARENT)
        .draw()?;
    for (row, position) in rows.iter().zip((0..row_count).rev()) {
        let (from, to) = (SegmentValue::Exact(position), SegmentValue::Exact(position + 1));
        for (server, column) in &row.columns {
            let colour = COLOURS[server % COLOURS.len()];
            for span in spans(history, |s| s.running.contains(column)) {
                let bar = Rectangle::new(
                    [(span.start, from.clone()), (span.end, to.clone())],
                    colour.mix(0.75).filled(),
                );
                chart.draw_series([bar])?;
            }
        }
    }
    Ok(())
}
