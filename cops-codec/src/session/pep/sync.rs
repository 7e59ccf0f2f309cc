//! The PEP's part of synchronisation (RFC 2748 3.5, 3.10).

use std::collections::BTreeMap;

use super::client::OpenRequest;
use crate::{session::command::DecisionId, wire::ClientHandle};

/// The synchronisations that a PDP asked for and whose SSC has not gone: for one state each, or for all (no handle).
///
/// The same asked for again while it runs begins anew, and gets one SSC.
#[derive(Debug)]
pub(super) struct Synchronizations {
    running: BTreeMap<Option<ClientHandle>, BTreeMap<ClientHandle, Progress>>,
}

/// What is still missing of a state. A state of which nothing is missing is not in the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// A REQ with the full state.
    Request,
    /// The decision on it.
    Decision { more_follows: bool },
    /// Another REQ: the last one did not have everything.
    Continuation,
    /// The report on the decision. RFC 2748 would let SSC go before it; then the PDP would think complete what the PEP has
    /// not said yet to hold.
    Report(DecisionId),
}

impl Synchronizations {
    pub(super) const fn new() -> Self {
        Self {
            running: BTreeMap::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Begins one, with the states that it is about, and gives those that are to be sent again.
    ///
    /// A state whose REQ is open counts as sent: sending it again would break the rule of one open REQ a handle
    /// (RFC 2748 3.2). Not so if that REQ tells only a change.
    pub(super) fn begin<'a>(
        &mut self,
        scope: Option<ClientHandle>,
        states: impl Iterator<Item = (&'a ClientHandle, Option<OpenRequest>)>,
    ) -> Vec<ClientHandle> {
        let missing: BTreeMap<ClientHandle, Progress> = states
            .map(|(handle, open)| match open {
                Some(open) if open.full_state => (
                    handle.clone(),
                    Progress::Decision {
                        more_follows: open.more_follows,
                    },
                ),
                _ => (handle.clone(), Progress::Request),
            })
            .collect();
        let to_send = missing
            .iter()
            .filter(|(_, progress)| **progress == Progress::Request)
            .map(|(handle, _)| handle.clone())
            .collect();
        self.running.insert(scope, missing);
        to_send
    }

    /// A REQ went.
    pub(super) fn requested(&mut self, handle: &ClientHandle, request: OpenRequest) {
        self.update(handle, |progress| match progress {
            Progress::Continuation => Some(Progress::Decision {
                more_follows: request.more_follows,
            }),
            _ if request.full_state => Some(Progress::Decision {
                more_follows: request.more_follows,
            }),
            unchanged => Some(unchanged),
        });
    }

    /// Its decision came, with the report that is due.
    pub(super) fn decided(&mut self, handle: &ClientHandle, report: Option<DecisionId>) {
        self.update(handle, |progress| match progress {
            Progress::Decision { more_follows: true } => Some(Progress::Continuation),
            Progress::Decision { more_follows: false } => report.map(Progress::Report),
            unchanged => Some(unchanged),
        });
    }

    /// A report went.
    pub(super) fn reported(&mut self, handle: &ClientHandle, decision: DecisionId) {
        self.update(handle, |progress| match progress {
            Progress::Report(awaited) if awaited == decision => None,
            unchanged => Some(unchanged),
        });
    }

    /// The state is gone, and its DRQ sent.
    pub(super) fn deleted(&mut self, handle: &ClientHandle) {
        self.update(handle, |_| None);
    }

    /// Takes away one of which nothing is missing; its SSC is due.
    pub(super) fn take_complete(&mut self) -> Option<Option<ClientHandle>> {
        let scope = self
            .running
            .iter()
            .find(|(_, missing)| missing.is_empty())
            .map(|(scope, _)| scope.clone())?;
        self.running.remove(&scope);
        Some(scope)
    }

    fn update(&mut self, handle: &ClientHandle, step: impl Fn(Progress) -> Option<Progress>) {
        for missing in self.running.values_mut() {
            let Some(progress) = missing.get_mut(handle) else {
                continue;
            };
            match step(*progress) {
                Some(next) => *progress = next,
                None => {
                    missing.remove(handle);
                }
            }
        }
    }
}
