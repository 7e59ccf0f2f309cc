//! Which connection serves a PEP, and what is held for one that is away.

use core::time::Duration;
use std::collections::BTreeMap;

use super::held::HeldState;
use crate::{
    session::time::Moment,
    wire::{ClientType, PepId},
};

/// The PDP's book of its PEPs, over all connections. `C` names a connection.
///
/// A PEP that reconnects may do so before the PDP has noticed that the old connection is dead. The newer one wins, because a
/// PEP holds one connection for a client-type, so whoever opens another has given the older up. It wins when its OPN is
/// accepted, not before: a connection that is turned away must not end one that works. (Until connections are
/// authenticated, this lets anybody who can connect take a PEP's place, as RFC 2748 5 warns.)
///
/// Then: [`Self::accepted`] names the older connection; give that session
/// [`PdpCommand::Supersede`](super::PdpCommand::Supersede). Where the program can wait for it, its
/// [`take_held`](super::PdpSession::take_held) gives the state for [`Acceptance::held`](super::Acceptance::held) of the
/// newer one; without, the PEP is synchronised.
#[derive(Debug)]
pub struct PepRegistry<C> {
    hold_time: Duration,
    max_held: usize,
    live: BTreeMap<(PepId, ClientType), C>,
    held: BTreeMap<(PepId, ClientType), HeldState>,
}

impl<C: Clone + PartialEq> PepRegistry<C> {
    /// Keeps state for `hold_time` after a connection was lost, of at most `max_held` client-types of PEPs.
    #[must_use]
    pub const fn new(hold_time: Duration, max_held: usize) -> Self {
        Self {
            hold_time,
            max_held,
            live: BTreeMap::new(),
            held: BTreeMap::new(),
        }
    }

    /// The connection that serves this client-type of this PEP.
    #[must_use]
    pub fn connection(&self, pep_id: &PepId, client_type: ClientType) -> Option<&C> {
        self.live.get(&(pep_id.clone(), client_type))
    }

    /// Notes that `connection` was accepted, and gives the older one that it takes the place of.
    pub fn accepted(&mut self, pep_id: PepId, client_type: ClientType, connection: C) -> Option<C> {
        let older = self.live.insert((pep_id, client_type), connection.clone());
        older.filter(|older| *older != connection)
    }

    /// Notes that `connection` no longer serves this client-type. A newer one is not touched.
    pub fn closed(&mut self, pep_id: &PepId, client_type: ClientType, connection: &C) {
        let key = (pep_id.clone(), client_type);
        if self.live.get(&key) == Some(connection) {
            self.live.remove(&key);
        }
    }

    /// Keeps what a connection left. Of a PEP that is served by another connection nothing is kept, since that one has been
    /// told the state anew; nor is anything over the bound, where the PEP is synchronised when it comes back.
    ///
    /// Gives back what is not kept.
    pub fn hold(&mut self, state: HeldState) -> Option<HeldState> {
        let key = (state.pep_id.clone(), state.client_type);
        let full = self.held.len() >= self.max_held && !self.held.contains_key(&key);
        if self.live.contains_key(&key) || full {
            return Some(state);
        }
        self.held.insert(key, state);
        None
    }

    /// Takes what is held for a PEP that opens a client-type, if its hold time has not passed.
    pub fn take_held(&mut self, pep_id: &PepId, client_type: ClientType, now: Moment) -> Option<HeldState> {
        let hold_time = self.hold_time;
        self.held
            .remove(&(pep_id.clone(), client_type))
            .filter(|state| now < state.lost_at.after(hold_time))
    }

    /// Drops what was held for longer than the hold time, and gives it to the program, whose own record of those states
    /// ends too.
    pub fn expire(&mut self, now: Moment) -> Vec<HeldState> {
        let hold_time = self.hold_time;
        let (expired, held) = core::mem::take(&mut self.held)
            .into_iter()
            .partition(|(_, state)| now >= state.lost_at.after(hold_time));
        self.held = held;
        let expired: BTreeMap<_, _> = expired;
        expired.into_values().collect()
    }

    /// When [`Self::expire`] has something to do next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Moment> {
        self.held
            .values()
            .map(|state| state.lost_at.after(self.hold_time))
            .min()
    }
}
