//! What goes to the PDP: requests and failures.

use std::collections::BTreeMap;

use cops_codec::client_type::feedback::FeedbackLinkCaps;
use cops_codec::client_type::framework::{AdminString, DeviceId, PrcSupport};
use cops_codec::client_type::power::{Arc, Held};
use cops_codec::client_type::store::build;
use cops_codec::client_type::{Row, RowId};
use cops_codec::provisioning::{InstanceId, Report};
use cops_codec::session::CommandError;
use cops_codec::session::pep::{PepCommand, RequestBody, UnsolicitedReport};

use super::context::{Awaiting, Context, ContextKey};
use super::{CLIENT_TYPE, Node, Now, named};
use crate::translate::difference::difference;
use crate::translate::facts;

/// Octets of a message that are kept for its header, handle, context and a first ClientSI's header.
const REQUEST_OVERHEAD_OCTETS: usize = 4_096;

impl Node {
    /// Sends a REQ for each context that has something to tell and none open.
    pub(super) fn tell_changes(&mut self, now: Now) {
        for key in self.contexts.keys() {
            self.tell_context(now, key);
        }
    }

    fn tell_context(&mut self, now: Now, key: ContextKey) {
        if !self.is_open() {
            return;
        }
        let Some(context) = self.contexts.get_mut(key) else {
            return;
        };
        if context.awaiting.is_some() || context.retry_at.is_some_and(|at| now.session < at) {
            return;
        }
        context.retry_at = None;
        let is_full = context.needs_full;
        if is_full {
            context.told.clear();
        }
        let Some(context) = self.contexts.get(key) else {
            return;
        };
        let present = self.present(now, key, context, is_full);
        let room = self
            .config
            .limits
            .max_message_octets
            .saturating_sub(REQUEST_OVERHEAD_OCTETS);
        let news = difference(&context.told, &present, room);
        if news.is_empty() && !is_full {
            return;
        }
        let incarnation = context.incarnation(is_full);
        let contents = build::request(&incarnation, news.removed.iter().copied(), &news.rows);
        let mut request = match is_full {
            true => RequestBody::configuration(named(contents)),
            false => RequestBody::incremental(named(contents)),
        };
        request.more_follows = news.is_cut;
        let command = PepCommand::Request {
            client_type: CLIENT_TYPE,
            handle: context.handle.clone(),
            request,
        };
        let sent = self.command(now, command);
        let retry_at = now.session.after(self.config.retry_interval);
        let Some(context) = self.contexts.get_mut(key) else {
            return;
        };
        match sent {
            Ok(handle) => {
                context.handle = handle.or_else(|| context.handle.take());
                context.needs_full = false;
                let mut told = context.told.clone();
                for id in &news.removed {
                    told.remove(id);
                }
                told.extend(news.rows.into_iter().map(|row| (row.id(), row)));
                context.awaiting = Some(Awaiting { told });
                if is_full && self.contexts.active().is_none_or(|active| active == key) {
                    self.ask_for_accounting(now);
                }
            }
            // An event says when it may go; and a queue that is full empties, or the connection ends.
            Err(CommandError::RequestOpen(_) | CommandError::TransmitFull { .. } | CommandError::Closed) => {}
            Err(CommandError::UnknownHandle(_)) => {
                // The session does not know the state any more: it is a new one from now on.
                self.lose_state(now, key);
            }
            Err(error) => {
                context.refused(retry_at);
                self.warn(format!("a REQ cannot be sent: {error}"));
            }
        }
    }

    /// What a context tells now. The base context has the facts; every context has what it holds, and, in full, who the
    /// agent is and what it supports.
    fn present(&self, now: Now, key: ContextKey, context: &Context, is_full: bool) -> BTreeMap<RowId, Row> {
        let held = self.held(key);
        let mut present = if key == ContextKey::BASE {
            facts::rows(&self.engine, held, now.engine)
        } else {
            let row = Row::from(held);
            BTreeMap::from([(row.id(), row)])
        };
        if is_full {
            // They never change, so the difference of every later REQ is without them.
            present.extend(self.framework_rows().into_iter().map(|row| (row.id(), row)));
        } else {
            let kept = context.told.iter().filter(|(id, _)| !id.class.is_in(Arc::Facts));
            present.extend(kept.map(|(id, row)| (*id, row.clone())));
        }
        present
    }

    /// What this agent supports and who it is (rule 2 of the exchanges).
    fn framework_rows(&self) -> Vec<Row> {
        let mut rows: Vec<Row> = PrcSupport::all().into_iter().map(Row::from).collect();
        rows.extend(FeedbackLinkCaps::all());
        let max_message = u32::try_from(self.config.max_decision_octets).unwrap_or(u32::MAX);
        let max_contexts = u32::try_from(crate::limits::MAX_CONTEXTS).unwrap_or(u32::MAX);
        rows.push(
            DeviceId {
                instance: InstanceId::FIRST,
                descr: AdminString::new(&self.config.description).unwrap_or_else(AdminString::empty),
                max_msg: cops_codec::client_type::Bounded::clamped(max_message),
                max_contexts: cops_codec::client_type::Bounded::clamped(max_contexts),
            }
            .into(),
        );
        rows
    }

    /// What a context holds, as the PDP is told. Of the one that is enforced, the stages that the agent released too.
    fn held(&self, key: ContextKey) -> Held {
        let installed = &self
            .contexts
            .get(key)
            .unwrap_or_else(|| self.contexts.base())
            .installed;
        let mut held = installed.held(self.engine.is_armed());
        // Not while the engine goes on with the plan before this one: its stages have the same numbers.
        let is_enforced =
            self.overtaken.is_empty() && self.enforced.as_ref().is_some_and(|enforced| enforced.0 == key);
        if let Some(released) = self.engine.released().filter(|_| is_enforced) {
            held.released_stage = held.released_stage.max(released);
        }
        held
    }

    /// A step failed after its rows were installed: the RFC's own report, beside the row that tells the same.
    pub(super) fn report_failure(&mut self, now: Now, report: &Report) {
        let key = self.contexts.active().unwrap_or(ContextKey::BASE);
        if self.is_open() {
            self.report(now, key, UnsolicitedReport::Failure, build::report(report));
        }
    }

    /// Sends an unsolicited report of a context; false if it could not be sent.
    pub(super) fn report(
        &mut self,
        now: Now,
        key: ContextKey,
        report: UnsolicitedReport,
        contents: Vec<bytes::Bytes>,
    ) -> bool {
        let handle = self.contexts.get(key).and_then(|context| context.handle.clone());
        let Some(handle) = handle else {
            return false;
        };
        let command = PepCommand::ReportUnsolicited {
            client_type: CLIENT_TYPE,
            handle,
            report,
            client_si: named(contents),
        };
        match self.command(now, command) {
            Ok(_) => true,
            Err(error) => {
                // Readings come again, and a failure is told by its result row too.
                self.tell(format!("a report was not sent: {error}"));
                false
            }
        }
    }
}
