//! The broker: an agent's workload proves who it is and says what it is about to do, and gets a token that can do only
//! that.
//!
//! It is apart from the rooms it uses because it is the only one that keeps state and the only one that signs. What it
//! decides is plain code ([`exchange`], [`session`], [`clamp`], [`rights`]) over a registry of manifests ([`registry`]);
//! around it are the store, the keys, the feed, and gRPC.
//!
//! # Invariants
//!
//! - No token leaves without a durable record of it, and no refusal either.
//! - Only [`keys`] signs.
//! - Every request proves its caller again; a connection proves nothing.
//! - What cannot be decided is refused.
//!
//! It does not check tokens, and never sees a call: that is the verifier's, at the tool servers.

pub mod admin;
pub mod answers;
pub mod approval;
pub mod audit;
pub mod broker;
pub mod caller;
pub mod clamp;
pub mod config;
pub mod delegation;
pub mod drift;
pub mod exchange;
pub mod explain;
pub mod feed;
pub mod grpc;
pub mod handover;
pub mod keys;
pub mod leases;
pub mod notify;
pub mod outbound;
pub mod pace;
pub mod process;
pub mod registry;
pub mod review;
pub mod rights;
pub mod rotation;
pub mod ruling;
mod run;
mod serve;
pub mod session;
pub mod stops;
pub mod store;
pub mod strangers;
pub mod subjects;

pub use config::{Config, InvalidConfig};
pub use run::{Ready, RunError, run};
