//! What one call asks for: the request side of a decision.

use crate::{Args, Operation, Resource, ToolName};

/// One call at a tool server, as the enforcement point read it from the request itself, never from the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The tool that is called.
    pub tool: ToolName,
    /// What it will do.
    pub operation: Operation,
    /// What it will do it to.
    pub resource: Resource,
    /// The scalar arguments.
    pub args: Args,
    /// SHA-256 of the argument bytes as received, when the enforcement point holds them.
    pub args_digest: Option<[u8; 32]>,
}

impl Ask {
    /// Asks for a call without arguments.
    pub fn new(tool: ToolName, operation: Operation, resource: Resource) -> Self {
        Self { tool, operation, resource, args: Args::default(), args_digest: None }
    }
}

impl std::fmt::Display for Ask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.tool, self.operation, self.resource)
    }
}
