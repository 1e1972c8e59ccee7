//! Scopes: the tool servers, tools and operations that they name have to exist, and every right names a resource.

use super::{
    super::{
        catalogue::Scopes,
        document::Document,
        line::Step::{At, Key},
        manifest::ScopeSpec,
    },
    Building,
};
use crumb_token::{Audience, Grant, Grants};

impl Building<'_> {
    /// Reads `spec.scopes` of a document.
    pub(super) fn scopes(&mut self, document: &Document, specs: &[ScopeSpec]) -> Scopes {
        let mut scopes = Scopes::new();
        for (i, scope) in specs.iter().enumerate() {
            let at = [Key("spec"), Key("scopes"), At(i), Key("toolServer")];
            let Some(audience) = self.audiences.get(&scope.tool_server.0).cloned() else {
                self.wrong(document, &at, format!("no tool server is registered as {}", scope.tool_server.0));
                continue;
            };
            let grants = self.grants(document, i, scope, &audience);
            if scopes.insert(audience, grants).is_some() {
                self.wrong(document, &at, format!("{} is listed twice", scope.tool_server.0));
            }
        }
        scopes
    }

    fn grants(&mut self, document: &Document, scope_at: usize, scope: &ScopeSpec, audience: &Audience) -> Grants {
        let tools_at = [Key("spec"), Key("scopes"), At(scope_at), Key("tools")];
        let [a, b, c, d] = tools_at;
        let mut grants = Vec::new();
        for (i, right) in scope.tools.iter().enumerate() {
            let known = self.tool_servers.get(audience).is_some_and(|s| s.has(&right.tool.0, &right.operation.0));
            if !known {
                let (server, tool, operation) = (&scope.tool_server.0, &right.tool.0, &right.operation.0);
                let reason = format!("{server} has no tool {tool} that does {operation}");
                self.wrong(document, &[a, b, c, d, At(i), Key("tool")], reason);
            }
            if right.resources.is_empty() {
                let reason = "a right without resources allows nothing";
                self.wrong(document, &[a, b, c, d, At(i), Key("resources")], reason);
            }
            grants.extend(right.resources.iter().map(|resource| Grant {
                tool: right.tool.0.clone(),
                operation: right.operation.0.clone(),
                resource: resource.0.clone(),
            }));
        }
        if scope.tools.is_empty() {
            self.wrong(document, &tools_at, "a scope without tools allows nothing");
        }
        Grants::try_new(grants).unwrap_or_else(|error| {
            self.wrong(document, &tools_at, error);
            Grants::default()
        })
    }
}
