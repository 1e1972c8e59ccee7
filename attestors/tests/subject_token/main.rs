//! Subject tokens, from the text that somebody presents to the facts: each rule refuses what it is there for.
//!
//! One program, so that the keys are read once. [`fixture`] makes tokens and lists of issuers; the rest is by what is
//! attacked.

mod any_bytes;
mod configuration;
mod fixture;
mod forged;
mod key_sets;
mod people;
mod refreshed;
mod same_as_others;
mod shape;
mod time_and_audience;
mod workloads;
