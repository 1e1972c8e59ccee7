//! Certificates for tests: good ones, and every way in which one can be wrong.
//!
//! [`issue`] makes them, [`der`] breaks them where the library would not, [`world`] holds the authorities of three trust
//! domains, and the case tables say for each rule what a chain looks like that breaks it.
//!
//! It does not decide anything: the matrix test presents every case in a real handshake and compares.

pub mod case;
pub mod der;
pub mod issue;
pub mod leaf_cases;
pub mod name_cases;
pub mod path_cases;
pub mod world;

pub use case::{Case, Verdict};
pub use issue::{Authority, Chain};
pub use world::World;
