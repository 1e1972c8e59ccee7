//! Tool servers: audiences that are taken, tools that are listed twice, reviewers that have to exist.

use super::{
    super::{
        ResourceFrom, Tool, ToolServer, ToolServerName,
        document::Document,
        line::Step::{At, Key},
        manifest::{ResourceFromSpec, ToolServerSpec},
    },
    Building,
};
use std::collections::BTreeSet;

impl Building<'_> {
    pub(super) fn tool_server(&mut self, document: &Document, name: &ToolServerName, spec: &ToolServerSpec) {
        let audience = &spec.audience.0;
        self.audiences.insert(name.clone(), audience.clone());
        if spec.tools.is_empty() || spec.tools.len() > ToolServer::TOOLS_MAX {
            let reason = format!("a tool server has 1 to {} tools", ToolServer::TOOLS_MAX);
            self.wrong(document, &[Key("spec"), Key("tools")], reason);
        }
        if let Some(group) = spec.reviewers.as_ref().filter(|group| !self.approval_rules.contains_key(&group.0)) {
            let reason = format!("no approval rule is registered as {}", group.0);
            self.wrong(document, &[Key("spec"), Key("reviewers")], reason);
        }
        let server = ToolServer {
            name: name.clone(),
            audience: audience.clone(),
            spiffe_id: spec.spiffe_id.0.clone(),
            owner: spec.owner.0.0.clone(),
            address: spec.address.0.clone(),
            tools: self.tools(document, spec),
            tools_digest: spec.tools_digest.as_ref().map(|digest| digest.0),
            reviewers: spec.reviewers.as_ref().map(|group| group.0.clone()),
        };
        if self.tool_servers.insert(audience.clone(), server).is_some() {
            let reason = format!("audience {audience} is registered twice");
            self.wrong(document, &[Key("spec"), Key("audience")], reason);
        }
    }

    fn tools(&mut self, document: &Document, spec: &ToolServerSpec) -> BTreeSet<Tool> {
        let mut seen = BTreeSet::new();
        let mut tools = BTreeSet::new();
        for (i, tool) in spec.tools.iter().enumerate() {
            if !seen.insert((&tool.name.0, &tool.operation.0)) {
                let reason = format!("{} {} is listed twice", tool.name.0, tool.operation.0);
                self.wrong(document, &[Key("spec"), Key("tools"), At(i), Key("name")], reason);
            }
            let resource_from = tool.resource_from.as_ref().and_then(|from| self.resource_from(document, i, from));
            let (name, operation) = (tool.name.0.clone(), tool.operation.0.clone());
            tools.insert(Tool { name, operation, risk: tool.risk, resource_from });
        }
        tools
    }

    fn resource_from(&mut self, document: &Document, tool: usize, from: &ResourceFromSpec) -> Option<ResourceFrom> {
        match (&from.argument, &from.always, &from.prefix) {
            (Some(name), None, prefix) => {
                let prefix = prefix.as_ref().map(|prefix| prefix.0.clone());
                Some(ResourceFrom::Argument { name: name.0.clone(), prefix })
            }
            (None, Some(resource), None) => Some(ResourceFrom::Always(resource.0.clone())),
            _ => {
                let at = [Key("spec"), Key("tools"), At(tool), Key("resourceFrom")];
                let reason = "a resource comes from an `argument`, with or without a `prefix`, or is `always` the same";
                self.wrong(document, &at, reason);
                None
            }
        }
    }
}
