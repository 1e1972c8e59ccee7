//! Rego by `regorus`: the grants as a rule that was parsed before. No token, no signature: somebody else has to have
//! read the claims already.

use super::Peer;
use crate::world::{Call, now};
use crumb_token::Claims;
use regorus::{Engine, Value};
use std::collections::BTreeMap;

pub(super) struct PolicyOnly {
    engine: Engine,
    audience: String,
}

impl PolicyOnly {
    pub(super) fn new(claims: &Claims) -> anyhow::Result<Self> {
        let policy = format!(
            r#"package crumb
            default allow := false
            allow if {{
                input.time < {}
                input.server == "{}"
                input.peer == "{}"
                input.tool == "read_file"
                input.operation == "read"
                startswith(input.resource, "file:///docs/")
            }}"#,
            claims.expires_at.as_unix_s(),
            claims.audience,
            claims.holder,
        );
        let mut engine = Engine::new();
        engine.add_policy("crumb.rego".into(), policy)?;
        Ok(Self { engine, audience: claims.audience.to_string() })
    }

    fn check(&mut self, call: &Call) -> anyhow::Result<bool> {
        let texts = [
            ("server", self.audience.as_str()),
            ("peer", call.peer.as_str()),
            ("tool", call.ask.tool.as_str()),
            ("operation", call.ask.operation.as_str()),
            ("resource", call.ask.resource.as_str()),
        ];
        let mut input: BTreeMap<Value, Value> = texts.map(|(name, text)| (name.into(), text.into())).into();
        input.insert("time".into(), now().wall.as_unix_s().into());
        self.engine.set_input(input.into());
        Ok(self.engine.eval_rule("data.crumb.allow".into())? == Value::Bool(true))
    }
}

impl Peer for PolicyOnly {
    fn name(&self) -> &'static str {
        "regorus"
    }

    fn what(&self) -> &'static str {
        "regorus 0.14, one rule: eval_rule, and no token at all"
    }

    fn allows(&mut self, call: &Call) -> bool {
        self.check(call).unwrap_or(false)
    }
}
