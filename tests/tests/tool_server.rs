//! A protected tool server over real mTLS: what it allows, what it refuses and why, and what it records.
//!
//! One file for each question: [`http`] and [`grpc`] who may call what, [`hostile`] what is not a call at all, [`identity`]
//! who is calling, [`feed`] what the broker says meanwhile, [`trail`] what is recorded, [`clients`] the SDK's other end.

#[path = "tool_server/clients.rs"]
mod clients;
#[path = "tool_server/feed.rs"]
mod feed;
#[path = "tool_server/grpc.rs"]
mod grpc;
#[path = "tool_server/hostile.rs"]
mod hostile;
#[path = "tool_server/http.rs"]
mod http;
#[path = "tool_server/identity.rs"]
mod identity;
#[path = "tool_server/program.rs"]
mod program;
#[path = "tool_server/trail.rs"]
mod trail;
