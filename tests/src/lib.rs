//! What the black-box tests share. Each module says what it is for.

pub mod broker;
pub mod broker_process;
pub mod certificates;
pub mod fed_verifier;
pub mod fuzzed;
pub mod generated_tokens;
pub mod handshake;
pub mod measured;
pub mod member;
pub mod naive;
pub mod oracle;
pub mod people;
pub mod processes;
pub mod property;
pub mod puppet;
pub mod sidecar;
pub mod skip;
pub mod spire;
pub mod tool_server;
pub mod vectors;
pub mod web_server;
pub mod workload_api;
