//! The numbers that are not ours, all in this one place.
//!
//! Both stand for a laboratory. The client-type is from the range 0x4000 to 0x7FFF, which RFC 2748 section 6 keeps for
//! private use and out of general-release products; the enterprise number is the one that RFC 5612 sets aside for
//! documentation. A release to others registers both with IANA and replaces them here, in the module's
//! SUBJECT-CATEGORIES and root (docs/POWER-DIVERT-PIB) and in the byte vectors: a change of wire format.

use crate::wire::ClientType;

/// Client-type of the power client (RFC 2748 section 2.1).
pub const POWER_CLIENT_TYPE: ClientType = ClientType(0x5057);

/// Private enterprise number below which the module's identifiers stand.
pub const ENTERPRISE: u32 = 32473;

/// `powerDivertPib`, the root of the module: iso.org.dod.internet.private.enterprises, the number, 1.
pub const POWER_DIVERT_PIB: [u32; 8] = [1, 3, 6, 1, 4, 1, ENTERPRISE, 1];

/// `frwkBasePibClasses` of FRAMEWORK-PIB (RFC 3318): iso.org.dod.internet.mgmt.pib, 2, 1. Assigned by IANA.
pub const FRAMEWORK_BASE_CLASSES: [u32; 8] = [1, 3, 6, 1, 2, 2, 2, 1];

/// `frwkFeedbackGroupClasses` of FRAMEWORK-FEEDBACK-PIB (RFC 3571): iso.org.dod.internet.mgmt.pib, 5, 1. Assigned by IANA.
pub const FRAMEWORK_FEEDBACK_CLASSES: [u32; 8] = [1, 3, 6, 1, 2, 2, 5, 1];
