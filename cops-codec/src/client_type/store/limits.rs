//! How much a context may hold.

/// Bounds of one context's rows, at either end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowLimits {
    /// Rows at any moment. A message that would go over is refused as a whole with CPERR 1 (priSpaceExhausted), even if
    /// a later part of it would remove rows again. Default 16,384.
    pub max_rows: usize,
    /// Octets of these rows as they are sent (PRID and EPD objects). Default 4 MiB (4,194,304).
    pub max_octets: usize,
    /// Rows of pwrDomain among them: each is kept and weighed in every judgement of the mains, for as long as the PEP is
    /// known. Refused in the same way. Default 64.
    pub max_domains: usize,
    /// Errors and warnings that are told of one message; further ones are left out. RFC 3084 section 5.3.1 wants at
    /// least the first, so that 0 counts as 1. Default 32.
    pub max_errors: usize,
}

impl RowLimits {
    /// The documented defaults.
    pub const DEFAULT: Self = Self {
        max_rows: 16_384,
        max_octets: 4 << 20,
        max_domains: 64,
        max_errors: 32,
    };

    /// Errors that are told of one message, at least one.
    pub(super) fn errors_told(self) -> usize {
        self.max_errors.max(1)
    }
}

impl Default for RowLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
