//! Sans-IO sessions of both roles, PDP and PEP (RFC 2748 sections 2.5 and 4).
