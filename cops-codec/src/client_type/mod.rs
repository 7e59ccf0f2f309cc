//! Client-types that this crate knows as data: their rows as plain structs.
