//! What each fuzz target checks, apart from the fuzzer: a function of bytes that panics
//! if a law is broken. `tests/findings.rs` calls the same functions on what was found.
//!
//! | target | reads | the law |
//! |---|---|---|
//! | [`fields_v1`] | two `fieldsV1` | what is read is written and read back equal, and sets are sets |
//! | [`crd`] | a definition and two of its objects | types survive their table; compare, merge and apply keep their laws on them |
//! | [`patches`] | two objects and a patch | a generated patch leads where it was made for; no error shows a value |
//! | [`yaml`] | a file | what is read is written and read back equal |
//!
//! Bytes that begin with `{` or `[` are JSON texts, one after the other, which is how
//! seeds and findings can be written by hand. From any other bytes the input is
//! [made](input::Bytes), so that most of what the fuzzer tries gets past the parser.

pub mod crd;
pub mod fields_v1;
pub mod input;
pub mod patches;
pub mod yaml;
