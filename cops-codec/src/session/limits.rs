//! The bounds of a session. Those of a message are in [`Limits`](crate::Limits).

/// How much state one connection may take, at either end.
///
/// Each row says what happens at the bound: "peer" when the other end goes over it, "command" when the program does.
///
/// | bound | peer | command |
/// |---|---|---|
/// | client-types | CC, error 6 | refused |
/// | handles | DEC with error 4, the state is not installed | refused |
/// | open requests of a handle | CC for the client-type, error 10 | refused above one (RFC 2748 3.2) |
/// | unreported decisions of a handle | PEP: DRQ, reason 7. PDP: DEC with error 4 to further REQs | refused |
/// | pending OPNs of a client-type | CC for the client-type, error 10 | refused |
/// | transmit queue | connection given up, at twice the bound | refused |
/// | event queue | input refused until it is drained | refused |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// Client-types open or being opened on a connection. Default 16.
    pub max_client_types: usize,
    /// Request-states of one client-type. Default 1,024.
    pub max_handles: usize,
    /// REQs of one handle that a PDP has not decided yet. A PEP should send one at a time (RFC 2748 3.2), so this is for
    /// those that do not. Default 16.
    pub max_open_requests: usize,
    /// Decisions of one handle for which the RPT is due. Default 64.
    pub max_unreported_decisions: usize,
    /// OPNs of one client-type that are not answered yet. Default 4.
    pub max_pending_opens: usize,
    /// Octets waiting to be sent. Commands are refused over it; answers that the protocol demands may take as much again,
    /// and over that the connection is given up: its other end does not read. Default 4 MiB.
    pub max_transmit_octets: usize,
    /// Events waiting to be polled. A caller that drains after each call never meets it. Default 4,096.
    pub max_events: usize,
}

impl SessionLimits {
    /// The documented defaults.
    pub const DEFAULT: Self = Self {
        max_client_types: 16,
        max_handles: 1_024,
        max_open_requests: 16,
        max_unreported_decisions: 64,
        max_pending_opens: 4,
        max_transmit_octets: 4 << 20,
        max_events: 4_096,
    };
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
