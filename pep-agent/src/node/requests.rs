//! What goes to the PDP: requests, readings, failures.

use cops_codec::client_type::Row;
use cops_codec::client_type::framework::{AdminString, DeviceId, PrcSupport};
use cops_codec::client_type::power::{Arc, Held};
use cops_codec::client_type::store::build;
use cops_codec::provisioning::{InstanceId, Report};
use cops_codec::session::CommandError;
use cops_codec::session::pep::{PepCommand, RequestBody, UnsolicitedReport};

use super::context::Awaiting;
use super::{CLIENT_TYPE, Node, Now, named};
use crate::translate::difference::difference;
use crate::translate::readings::Selection;
use crate::translate::{facts, readings};

/// Octets of a message that are kept for its header, handle, context and a first ClientSI's header.
const REQUEST_OVERHEAD_OCTETS: usize = 4_096;

impl Node {
    /// Sends a REQ if there is something to tell and none is open.
    pub(super) fn tell_changes(&mut self, now: Now) {
        if !self.is_open() || self.base.awaiting.is_some() {
            return;
        }
        if self.base.retry_at.is_some_and(|at| now.session < at) {
            return;
        }
        self.base.retry_at = None;
        let is_full = self.base.needs_full;
        if is_full {
            self.base.told.clear();
        }
        let mut present = facts::rows(&self.engine, self.held(), now.engine);
        if is_full {
            // They never change, so the difference of every later REQ is without them.
            present.extend(self.framework_rows().into_iter().map(|row| (row.id(), row)));
        } else {
            let kept = self
                .base
                .told
                .iter()
                .filter(|(id, _)| !id.class.is_in(Arc::Facts));
            present.extend(kept.map(|(id, row)| (*id, row.clone())));
        }
        let room = self
            .config
            .limits
            .max_message_octets
            .saturating_sub(REQUEST_OVERHEAD_OCTETS);
        let news = difference(&self.base.told, &present, room);
        if news.is_empty() && !is_full {
            return;
        }
        let incarnation = self.base.incarnation(is_full);
        let contents = build::request(&incarnation, news.removed.iter().copied(), &news.rows);
        let mut request = match is_full {
            true => RequestBody::configuration(named(contents)),
            false => RequestBody::incremental(named(contents)),
        };
        request.more_follows = news.is_cut;
        let command = PepCommand::Request {
            client_type: CLIENT_TYPE,
            handle: self.base.handle.clone(),
            request,
        };
        match self.command(now, command) {
            Ok(handle) => {
                self.base.handle = handle.or_else(|| self.base.handle.take());
                self.base.needs_full = false;
                let mut told = self.base.told.clone();
                for id in &news.removed {
                    told.remove(id);
                }
                told.extend(news.rows.into_iter().map(|row| (row.id(), row)));
                self.base.awaiting = Some(Awaiting { told });
                if is_full {
                    self.ask_for_accounting(now);
                }
            }
            // An event says when it may go; and a queue that is full empties, or the connection ends.
            Err(CommandError::RequestOpen(_) | CommandError::TransmitFull { .. } | CommandError::Closed) => {}
            Err(CommandError::UnknownHandle(_)) => {
                // The session does not know the state any more: it is a new one from now on.
                self.lose_state(now);
            }
            Err(error) => {
                self.warn(format!("a REQ cannot be sent: {error}"));
                self.base.refused(now.session.after(self.config.retry_interval));
            }
        }
    }

    /// What this agent supports and who it is (rule 2 of the exchanges).
    fn framework_rows(&self) -> Vec<Row> {
        let mut rows: Vec<Row> = PrcSupport::all().into_iter().map(Row::from).collect();
        let max_message = u32::try_from(self.config.limits.max_message_octets).unwrap_or(u32::MAX);
        rows.push(
            DeviceId {
                instance: InstanceId::FIRST,
                descr: AdminString::new(&self.config.description).unwrap_or_else(AdminString::empty),
                max_msg: cops_codec::client_type::Bounded::clamped(max_message),
                // The base context alone; contingencies are further ones.
                max_contexts: cops_codec::client_type::Bounded::clamped(1),
            }
            .into(),
        );
        rows
    }

    /// What is held, as the PDP is told.
    pub(super) fn held(&self) -> Held {
        let mut held = self.base.installed.held(self.engine.is_armed());
        if let Some(released) = self.engine.released() {
            held.released_stage = held.released_stage.max(released);
        }
        held
    }

    pub(super) fn ask_for_accounting(&mut self, now: Now) {
        if let Some(handle) = self.base.handle.clone() {
            let interval = Some(self.config.reading_interval);
            let command = PepCommand::SetAccounting {
                client_type: CLIENT_TYPE,
                handle,
                interval,
            };
            if let Err(error) = self.command(now, command) {
                self.warn(format!("no readings will be sent: {error}"));
            }
        }
    }

    /// A periodic accounting report may go.
    pub(super) fn send_readings(&mut self, now: Now) {
        let selection = Selection::new(self.base.installed.rows());
        let rows = readings::rows(self.engine.inventory(), &selection, now.engine);
        if rows.is_empty() {
            return;
        }
        self.report(now, UnsolicitedReport::PeriodicAccounting, build::contents(&rows));
    }

    /// A step failed after its rows were installed: the RFC's own report, beside the row that tells the same.
    pub(super) fn report_failure(&mut self, now: Now, report: &Report) {
        if self.is_open() && self.base.handle.is_some() {
            self.report(now, UnsolicitedReport::Failure, build::report(report));
        }
    }

    fn report(&mut self, now: Now, report: UnsolicitedReport, contents: Vec<bytes::Bytes>) {
        let Some(handle) = self.base.handle.clone() else {
            return;
        };
        let client_si = named(contents);
        let command = PepCommand::ReportUnsolicited {
            client_type: CLIENT_TYPE,
            handle,
            report,
            client_si,
        };
        if let Err(error) = self.command(now, command) {
            // Readings come again, and a failure is told by its result row too.
            self.tell(format!("a report was not sent: {error}"));
        }
    }
}
