//! Whether there is an interruption, of what, and how far it has come.
