//! The contingencies of a PEP: further contexts that the PDP has it open, holds ready inactive, and activates with one
//! short decision (RFC 3084 section 3.2, RFC 3318 section 2.4; exchanges E4, E5, E10).
//!
//! Nothing on the wire ties a new handle to the decision that asked for it, so a PEP is asked for one at a time: the next
//! unknown handle is the answer. After a reconnection a PEP sends the contexts that it had; they are *unclaimed* until a
//! command says what they are for, and are known by the plan they hold.

use std::collections::BTreeMap;

use cops_codec::client_type::power as wire;
use cops_codec::message::Decision;
use cops_codec::wire::{ClientHandle, CommandCode, Context as CopsContext, DecisionFlagBits, DecisionFlags};
use power_policy::model::Name;

use super::context::{Context, Pending, Told};
use super::module::{Pep, Power};
use crate::engine::Assignment;
pub use crate::engine::contingency::{ContextCommand, ContextEvent, ContextOutcome, Contingency};
use crate::host::Hosting;
use crate::limits;

/// What the plan's own row says that it is for.
pub(super) const fn wire_scope(contingency: Contingency) -> wire::Scope {
    match contingency {
        Contingency::Cluster => wire::Scope::Cluster,
        Contingency::OwnDomain => wire::Scope::OwnDomain,
        Contingency::Borrowers => wire::Scope::Borrowers,
    }
}

/// Which context of a PEP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Base,
    Contingency(Contingency),
    /// By its place.
    Unclaimed(usize),
}

/// The contexts of a PEP beside the base context.
#[derive(Debug, Default)]
pub(super) struct Contingencies {
    held: BTreeMap<Contingency, Context>,
    unclaimed: Vec<Context>,
    /// Plans whose context is not there yet.
    waiting: BTreeMap<Contingency, Assignment>,
    /// The PEP was asked for a context for this, and its REQ has not come.
    opening: Option<Contingency>,
}

impl Pep {
    pub(super) fn role_of(&self, handle: &ClientHandle) -> Option<Role> {
        let of = |context: &Context| context.handle == *handle;
        if self.context.as_ref().is_some_and(of) {
            return Some(Role::Base);
        }
        let held = self.contingencies.held.iter().find(|(_, context)| of(context));
        if let Some((contingency, _)) = held {
            return Some(Role::Contingency(*contingency));
        }
        let place = self.contingencies.unclaimed.iter().position(of)?;
        Some(Role::Unclaimed(place))
    }

    pub(super) fn context(&self, role: Role) -> Option<&Context> {
        match role {
            Role::Base => self.context.as_ref(),
            Role::Contingency(contingency) => self.contingencies.held.get(&contingency),
            Role::Unclaimed(place) => self.contingencies.unclaimed.get(place),
        }
    }

    pub(super) fn context_mut(&mut self, role: Role) -> Option<&mut Context> {
        match role {
            Role::Base => self.context.as_mut(),
            Role::Contingency(contingency) => self.contingencies.held.get_mut(&contingency),
            Role::Unclaimed(place) => self.contingencies.unclaimed.get_mut(place),
        }
    }

    pub(super) fn roles(&self) -> Vec<Role> {
        let base = self.context.is_some().then_some(Role::Base);
        let held = self.contingencies.held.keys().copied().map(Role::Contingency);
        let unclaimed = (0..self.contingencies.unclaimed.len()).map(Role::Unclaimed);
        base.into_iter().chain(held).chain(unclaimed).collect()
    }

    /// Which context a new handle is, `None` if the PEP may not open one.
    ///
    /// The base context is the one with facts. While the PEP is synchronised, contexts without them are those that it had.
    pub(super) fn place_new(&mut self, context: Context, is_synchronizing: bool) -> Option<Role> {
        let has_room = self.others() < limits::MAX_CONTINGENCIES;
        let had_it = is_synchronizing && !context.has_facts() && has_room;
        if self.context.is_none() && !had_it {
            self.context = Some(context);
            return Some(Role::Base);
        }
        if let Some(contingency) = self.contingencies.opening.take() {
            self.contingencies.held.insert(contingency, context);
            return Some(Role::Contingency(contingency));
        }
        if !had_it {
            return None;
        }
        self.contingencies.unclaimed.push(context);
        Some(Role::Unclaimed(self.contingencies.unclaimed.len() - 1))
    }

    /// The synchronisation has ended. A PEP without any facts has sent its base context like the others: it is the first.
    /// Says whether there was one to find.
    pub(super) fn settle_base(&mut self) -> bool {
        let settles = self.context.is_none() && !self.contingencies.unclaimed.is_empty();
        if settles {
            self.context = Some(self.contingencies.unclaimed.remove(0));
        }
        settles
    }

    fn others(&self) -> usize {
        self.contingencies.held.len() + self.contingencies.unclaimed.len()
    }

    /// How many contingencies the PEP can hold, within ours.
    fn room(&self) -> usize {
        let told = self.context.as_ref().and_then(Context::max_contexts);
        told.unwrap_or(1).saturating_sub(1).min(limits::MAX_CONTINGENCIES)
    }

    /// The context of a PEP that is active, as the PEP itself says.
    pub(super) fn active(&self) -> Option<Role> {
        self.roles()
            .into_iter()
            .find(|role| self.context(*role).is_some_and(Context::is_active))
    }
}

impl Power {
    /// Carries a command out, as far as it can be now; the rest follows as the PEP answers.
    pub(super) fn command_context(&mut self, hosting: &mut Hosting<'_>, command: ContextCommand) {
        match command {
            ContextCommand::Keep(contingency, assignment) => self.keep(hosting, contingency, assignment),
            ContextCommand::Activate(contingency, assignment) => {
                let pep = assignment.pep.clone();
                self.assigned.insert(pep.clone(), assignment.clone());
                self.claim(&pep, contingency, &assignment);
                let Some(context) = self.contingency(&pep, contingency) else {
                    return self.refused(&pep, contingency, "there is no such context".to_owned());
                };
                if !context.was_sent(&assignment) {
                    let reason = format!("it does not hold generation {}", assignment.generation);
                    return self.refused(&pep, contingency, reason);
                }
                context.pending = Some(Pending::Activate(contingency, assignment));
                self.send_pending(hosting, &pep);
            }
            ContextCommand::Delete(contingency, pep) => {
                if let Some(entry) = self.peps.get_mut(&pep) {
                    entry.contingencies.waiting.remove(&contingency);
                }
                match self.contingency(&pep, contingency) {
                    Some(context) => {
                        context.pending = Some(Pending::Delete);
                        self.send_pending(hosting, &pep);
                    }
                    None => self.context_event(&pep, Some(contingency), ContextOutcome::Deleted),
                }
            }
            ContextCommand::DeleteUnclaimed(pep) => {
                if let Some(entry) = self.peps.get_mut(&pep) {
                    // One that is active is not deleted under what it powers: another one is made active first (E10).
                    let inactive = |context: &&mut Context| !context.is_active();
                    for context in entry.contingencies.unclaimed.iter_mut().filter(inactive) {
                        context.pending = Some(Pending::Delete);
                    }
                }
                self.send_pending(hosting, &pep);
            }
        }
    }

    fn contingency(&mut self, pep: &Name, contingency: Contingency) -> Option<&mut Context> {
        self.peps
            .get_mut(pep)?
            .context_mut(Role::Contingency(contingency))
    }

    /// A context of an earlier connection that holds this plan becomes the contingency, if that has no context yet.
    fn claim(&mut self, pep: &Name, contingency: Contingency, assignment: &Assignment) {
        let Some(entry) = self.peps.get_mut(pep) else {
            return;
        };
        let contingencies = &mut entry.contingencies;
        if contingencies.held.contains_key(&contingency) {
            return;
        }
        let same = contingencies
            .unclaimed
            .iter()
            .position(|context| context.reports(assignment));
        if let Some(place) = same {
            let context = contingencies.unclaimed.remove(place);
            contingencies.held.insert(contingency, context);
        }
    }

    fn keep(&mut self, hosting: &mut Hosting<'_>, contingency: Contingency, assignment: Assignment) {
        let pep = assignment.pep.clone();
        let Some(entry) = self.peps.get_mut(&pep) else {
            return self.refused(&pep, contingency, "the PEP is not known".to_owned());
        };
        if let Some(context) = entry.contingencies.held.get_mut(&contingency) {
            context.pending = Some(Pending::Keep(contingency, assignment));
        } else {
            entry.contingencies.waiting.insert(contingency, assignment);
        }
        self.send_pending(hosting, &pep);
    }

    /// Finds or asks for a context for a plan that waits for one. Those that the PEP has are taken first.
    pub(super) fn open_next(&mut self, hosting: &mut Hosting<'_>, pep: &Name) {
        let Some(entry) = self.peps.get_mut(pep) else {
            return;
        };
        let (Some(id), Some(base)) = (entry.connection, &entry.context) else {
            return;
        };
        let handle = base.handle.clone();
        if !entry.synchronised || entry.contingencies.opening.is_some() {
            return;
        }
        let Some((contingency, assignment)) = entry.contingencies.waiting.pop_first() else {
            return;
        };
        let contingencies = &mut entry.contingencies;
        let unclaimed = &contingencies.unclaimed;
        let same = unclaimed.iter().position(|context| context.reports(&assignment));
        let wanted = |context: &Context| {
            let others = &contingencies.waiting;
            others.values().any(|other| context.reports(other))
        };
        let any = unclaimed.iter().position(|context| !wanted(context));
        if let Some(place) = same.or(any) {
            let mut context = contingencies.unclaimed.remove(place);
            context.pending = Some(if same.is_some() {
                // E8 step 3: what is held is claimed and not sent again.
                Pending::Claim(contingency, assignment)
            } else {
                Pending::Keep(contingency, assignment)
            });
            contingencies.held.insert(contingency, context);
            return self.send_pending(hosting, pep);
        }
        if entry.others() >= entry.room() {
            let reason = format!("the PEP holds {} contingencies at most", entry.room());
            return self.refused(pep, contingency, reason);
        }
        let open = Decision::new(
            CopsContext::CONFIGURATION,
            DecisionFlags {
                command: CommandCode::INSTALL,
                flags: DecisionFlagBits::REQUEST_STATE,
            },
        );
        let pushed = hosting.push(id, handle, vec![open]);
        let Some(entry) = self.peps.get_mut(pep) else {
            return;
        };
        entry.contingencies.waiting.insert(contingency, assignment);
        // What cannot go now goes when the PEP is heard next.
        if let (Ok(Some(decision)), Some(base)) = (pushed, &mut entry.context) {
            base.unreported.push_back((decision, Told::Open(contingency)));
            entry.contingencies.opening = Some(contingency);
        }
    }

    /// A context that was asked for is there: its plan follows.
    pub(super) fn opened_context(&mut self, hosting: &mut Hosting<'_>, pep: &Name, contingency: Contingency) {
        let Some(entry) = self.peps.get_mut(pep) else {
            return;
        };
        let assignment = entry.contingencies.waiting.remove(&contingency);
        if let Some(context) = entry.contingencies.held.get_mut(&contingency) {
            context.pending = Some(match assignment {
                Some(assignment) => Pending::Keep(contingency, assignment),
                // It is not wanted any more.
                None => Pending::Delete,
            });
        }
        self.send_pending(hosting, pep);
    }

    /// The PEP refused to open one.
    pub(super) fn not_opened(&mut self, pep: &Name, contingency: Contingency, reason: String) {
        if let Some(entry) = self.peps.get_mut(pep) {
            entry.contingencies.opening = None;
            entry.contingencies.waiting.remove(&contingency);
        }
        self.refused(pep, contingency, reason);
    }

    pub(super) fn refused(&mut self, pep: &Name, contingency: Contingency, reason: String) {
        self.context_event(pep, Some(contingency), ContextOutcome::Refused(reason));
    }

    pub(super) fn context_event(
        &mut self,
        pep: &Name,
        contingency: Option<Contingency>,
        outcome: ContextOutcome,
    ) {
        let event = ContextEvent {
            pep: pep.clone(),
            contingency,
            outcome,
        };
        if self.context_events.len() >= limits::MAX_CONTEXT_EVENTS {
            self.context_events.pop_front();
        }
        self.context_events.push_back(event.clone());
        self.untold.push_back(event);
    }

    /// A context is gone: by DRQ, or because a synchronisation ended without it.
    pub(super) fn drop_contingency(&mut self, pep: &Name, role: Role) {
        let Some(entry) = self.peps.get_mut(pep) else {
            return;
        };
        let contingency = match role {
            Role::Base => return,
            Role::Contingency(contingency) => {
                entry.contingencies.held.remove(&contingency);
                Some(contingency)
            }
            Role::Unclaimed(place) => {
                if place < entry.contingencies.unclaimed.len() {
                    entry.contingencies.unclaimed.remove(place);
                }
                None
            }
        };
        self.context_event(pep, contingency, ContextOutcome::Deleted);
    }
}
