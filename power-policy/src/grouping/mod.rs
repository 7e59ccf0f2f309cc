//! Which set an activity belongs to, and why (claims C1 to C5).
