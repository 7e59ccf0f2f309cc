//! Handles, which the PEP alone chooses (RFC 2748 2.2.1, 2.4).

use crate::wire::ClientHandle;

/// Chooses handles that no request-state of the connection has had.
///
/// Four octets, counted up: unique for 2^32 states of a connection, over all of its client-types, which is more than the
/// RFC asks for (2.4: connection and client-type) and easier to read in a log. A handle is not used again after its DRQ,
/// though RFC 2748 2.4 would allow it, because a DEC for the former state may still be on its way.
#[derive(Debug)]
pub(super) struct HandleAllocator {
    next: u32,
}

impl HandleAllocator {
    pub(super) const fn new() -> Self {
        Self { next: 1 }
    }

    /// Keeps clear of a handle from an earlier connection.
    pub(super) fn avoid(&mut self, handle: &ClientHandle) {
        if let Ok(octets) = <[u8; 4]>::try_from(handle.as_bytes()) {
            self.next = self.next.max(u32::from_be_bytes(octets).wrapping_add(1));
        }
    }

    /// A handle for which `is_used` is false. There must be one: fewer than 2^32 are in use.
    pub(super) fn allocate(&mut self, is_used: impl Fn(&ClientHandle) -> bool) -> ClientHandle {
        loop {
            let handle = ClientHandle::from(self.next);
            self.next = self.next.wrapping_add(1);
            if !is_used(&handle) {
                return handle;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn c_2_4_04_ten_thousand_handles_are_all_different() {
        let mut allocator = HandleAllocator::new();
        let handles: BTreeSet<ClientHandle> = (0..10_000).map(|_| allocator.allocate(|_| false)).collect();
        assert_eq!(handles.len(), 10_000);
    }

    #[test]
    fn keeps_clear_of_held_handles_also_around_the_end_of_the_numbers() {
        let held = ClientHandle::from(u32::MAX);
        let mut allocator = HandleAllocator::new();
        allocator.avoid(&ClientHandle::from(41));
        allocator.avoid(&ClientHandle::from(&b"named"[..]));
        assert_eq!(
            allocator.allocate(|handle| *handle == held),
            ClientHandle::from(42)
        );
        allocator.avoid(&ClientHandle::from(u32::MAX - 1));
        assert_eq!(
            allocator.allocate(|handle| *handle == held),
            ClientHandle::from(0)
        );
    }
}
