//! Signals that end the demo early.

use std::fmt;
use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// How long after the end of a program the signal that ended it, and us, may take to be seen.
const SEEN_WITHIN: Duration = Duration::from_millis(500);

/// Somebody ended the demo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Interrupted(&'static str);

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "interrupted ({}); every process is ended", self.0)
    }
}

impl std::error::Error for Interrupted {}

/// Ctrl-C, SIGTERM, and the end of the terminal.
pub(super) struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl StopSignals {
    /// From now on they no longer end the process by themselves.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for one of them; its name.
    pub(super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.hang_up.recv() => "SIGHUP",
        }
    }

    /// The error, or that somebody ended the demo if that is what it comes from.
    pub(super) async fn explain(&mut self, error: anyhow::Error) -> anyhow::Error {
        if error.is::<Interrupted>() {
            return error;
        }
        match tokio::time::timeout(SEEN_WITHIN, self.next()).await {
            Ok(signal) => interrupted(signal),
            Err(_) => error,
        }
    }
}

/// The error of a demo that somebody ended.
pub(super) fn interrupted(signal: &'static str) -> anyhow::Error {
    anyhow::Error::new(Interrupted(signal))
}
