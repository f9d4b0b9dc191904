//! Random lives against the invariants.
