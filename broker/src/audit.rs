//! The trail: one typed record for everything that was decided.
//!
//! A record holds texts, not vocabulary: a refusal has to be kept also when what was asked cannot be read. All texts are
//! bounded here, so nothing that a caller sends can grow the store past its limits. No record holds a token or a key.

pub mod decision;
mod record;

pub use record::{Kind, Process, Record, Right, cut};
