//! The registry's tool servers.

use crate::failure::{CallFailed, Party};
use crumb_proto::{Violations, wire};
use crumb_token::{Audience, Operation, Owner, SpiffeId, ToolName};

/// A registered tool server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolServer {
    /// Its name in the registry.
    pub name: String,
    /// What tokens for it are made out to.
    pub audience: Audience,
    /// Who it proves to be.
    pub spiffe_id: SpiffeId,
    /// The person who answers for it.
    pub owner: Owner,
    /// Where it listens: `host:port`.
    pub address: String,
    /// What it offers.
    pub tools: Vec<OfferedTool>,
}

/// One tool and what it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferedTool {
    /// The tool.
    pub name: ToolName,
    /// What it does.
    pub operation: Operation,
    /// `low`, `medium` or `high`.
    pub risk: String,
}

pub(super) fn read(answer: &wire::ListToolServersResponse) -> Result<Vec<ToolServer>, CallFailed> {
    let mut v = Violations::default();
    let read: Vec<_> = answer.tool_servers.iter().enumerate().map(|(i, server)| one(&mut v, i, server)).collect();
    read.into_iter().collect::<Option<_>>().ok_or_else(|| CallFailed::unreadable(Party::Broker, &v))
}

fn one(v: &mut Violations, i: usize, server: &wire::ToolServer) -> Option<ToolServer> {
    let field = |name: &str| format!("tool_servers[{i}].{name}");
    let audience = v.parse(field("audience"), &server.audience);
    let spiffe_id = v.parse(field("spiffe_id"), &server.spiffe_id);
    let owner = v.parse(field("owner"), &server.owner);
    let tools: Vec<_> = server.tools.iter().map(|t| tool(v, &field("tools"), t)).collect();
    let tools = tools.into_iter().collect::<Option<_>>()?;
    let (name, address) = (server.name.clone(), server.address.clone());
    Some(ToolServer { name, audience: audience?, spiffe_id: spiffe_id?, owner: owner?, address, tools })
}

fn tool(v: &mut Violations, field: &str, tool: &wire::Tool) -> Option<OfferedTool> {
    let name = v.parse(format!("{field}.name"), &tool.name);
    let operation = v.parse(format!("{field}.operation"), &tool.operation);
    Some(OfferedTool { name: name?, operation: operation?, risk: tool.risk.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_server_that_cannot_be_read_makes_the_answer_unreadable() {
        let good = wire::ToolServer {
            name: "files".into(),
            audience: "spiffe://td/tool".into(),
            spiffe_id: "spiffe://td/tool".into(),
            owner: "ada@acme.example".into(),
            address: "127.0.0.1:1".into(),
            tools: vec![wire::Tool {
                name: "read".into(),
                operation: "read".into(),
                risk: "low".into(),
                ..Default::default()
            }],
            ..Default::default()
        };
        let answer = |tool_servers| wire::ListToolServersResponse { tool_servers };
        assert_eq!(read(&answer(vec![good.clone()])).expect("good").len(), 1);
        let bad = wire::ToolServer { spiffe_id: "spiffe://td".into(), ..good.clone() };
        assert!(read(&answer(vec![good, bad])).is_err());
    }
}
