//! What the demo shows while it runs: a line an event, and a display of where things stand.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use pdp_server::api::{Event, EventKind, Status};
use power_policy::model::Mains;
use power_policy::plan::text::Duration;

/// The terminal.
pub(super) struct Screen {
    bar: ProgressBar,
    events: Vec<Event>,
}

impl Screen {
    pub(super) fn new(plain: bool) -> Self {
        let bar = ProgressBar::new(100);
        if plain || !std::io::stderr().is_terminal() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        // The template is ours and right.
        if let Ok(style) = ProgressStyle::with_template("  reserves {bar:30} {pos:>3} %   {msg}") {
            bar.set_style(style.progress_chars("=> "));
        }
        Self {
            bar,
            events: Vec::new(),
        }
    }

    pub(super) fn say(&self, text: &str) {
        self.line(text);
    }

    /// Something that the runner does.
    pub(super) fn headline(&self, text: &str) {
        self.line(&format!("\n=== {text} ==="));
    }

    /// Something that the PDP says. All events are kept for the report; the many single steps are not shown.
    pub(super) fn event(&mut self, event: Event) {
        if is_shown(event.kind) {
            let when = event
                .elapsed_millis
                .map_or_else(String::new, |e| format!("+{}", Duration(e)));
            self.line(&format!("{when:>13}  {}", event.text));
        }
        self.events.push(event);
    }

    pub(super) fn progress(&self, status: &Status) {
        let capacity: u64 = status.reserves.iter().map(|r| r.capacity_millijoules).sum();
        let charge: u64 = status.reserves.iter().map(|r| r.charge_millijoules).sum();
        self.bar.set_position(charge * 100 / capacity.max(1));
        let running = status.activities.iter().filter(|a| a.state == "running").count();
        let dark: Vec<&str> = status
            .domains
            .iter()
            .filter(|d| d.mains != Mains::Present)
            .map(|d| d.name.as_str())
            .collect();
        let mains = if dark.is_empty() {
            "mains good".to_owned()
        } else {
            format!("no mains: {}", dark.join(", "))
        };
        let total = status.activities.len();
        self.bar
            .set_message(format!("{running}/{total} activities run   {mains}"));
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    pub(super) fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    fn line(&self, text: &str) {
        // The display is below the lines, so it must not be printed into.
        self.bar.suspend(|| println!("{text}"));
    }
}

fn is_shown(kind: EventKind) -> bool {
    !matches!(
        kind,
        EventKind::ActionDone | EventKind::StageReleased | EventKind::Metered | EventKind::PeerJoined
    )
}
