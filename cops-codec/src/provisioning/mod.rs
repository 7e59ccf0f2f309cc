//! COPS-PR (RFC 3084): provisioning instances, their identifiers and errors, in BER.
