//! Issuance policy: (a checked bundle of Rego, one ask and its circumstances) → allowed, allowed after approval, or denied.
//!
//! [`Bundle`] holds texts, [`Bundle::check`] makes a [`Policy`] of them or says why not, and [`Policy::decide`] gives a
//! [`Verdict`] whose every reason names file and line. It is apart because the engine is somebody else's interpreter: only
//! this room sees it, and what it may do is bounded here.
//!
//! # Invariants
//!
//! - Pure: no file, environment, socket or clock; the time is a part of the [`Input`]. The one exception is the engine's own
//!   stop-watch, which can only turn a decision into [`Indeterminate`], never into a yes.
//! - What nobody allowed is denied. A deny rule beats an approval rule, and that beats an allow rule.
//! - A [`Policy`] exists only when its own tests pass and make every one of its rules match.
//! - Texts of an input are data: nothing of them is ever parsed as Rego, nor used as a format.
//!
//! What this room does not do: it grants nothing. The broker still takes the meet of manifest, envelope and ask.

mod builtins;
pub mod bundle;
mod data;
pub mod defect;
mod dialect;
pub mod diff;
mod engine;
pub mod explain;
mod graph;
pub mod input;
mod marks;
pub mod policy;
mod said;
mod source;
mod suite;
mod tree;
pub mod verdict;

pub use bundle::Bundle;
pub use defect::{Defect, Place};
pub use diff::{Difference, diff};
pub use explain::{Explanation, RuleTrace};
pub use input::Input;
pub use policy::{Indeterminate, Policy};
pub use said::Voice;
pub use suite::{Report, TestRun};
pub use verdict::{Approval, Clamp, GroupName, Reason, Ruling, Verdict};
