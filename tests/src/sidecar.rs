//! A sidecar as it is deployed: its own program, a Workload API that attests it, a broker and a tool server over mTLS.
//!
//! The broker is a stand-in that mints real tokens and does what a test wants: waits, vanishes, counts. The sidecar cannot
//! tell. It runs as a process of its own, so its memory, descriptors, environment and log can be looked at from outside.

mod agent;
mod broker;
mod program;
mod scene;
mod stage;
mod tool_server;

pub use agent::{Agent, one_shot};
pub use broker::StandInBroker;
pub use program::{Launch, Sidecar, World};
pub use scene::Scene;
pub use stage::{
    AGENT_ID, AUDIENCE, BROKER_ID, PROGRAM, SIDECAR_ID, Stage, ask, begin, delegate, grants, id, opening, until,
};
pub use tool_server::{Arrival, RecordingToolServer};
