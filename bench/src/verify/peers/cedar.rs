//! Cedar, a policy engine: the grants as a policy that was parsed before. No token, no signature: somebody else has to
//! have read the claims already.

use super::Peer;
use crate::world::{Call, now};
use anyhow::{Context as _, anyhow};
use cedar_policy::{
    Authorizer, Context, Decision, Entities, EntityId, EntityTypeName, EntityUid, PolicySet, Request,
    RestrictedExpression,
};
use crumb_token::Claims;

pub(super) struct PolicyOnly {
    authorizer: Authorizer,
    policies: PolicySet,
    entities: Entities,
    audience: String,
    kinds: [EntityTypeName; 3],
}

impl PolicyOnly {
    pub(super) fn new(claims: &Claims) -> anyhow::Result<Self> {
        let policy = format!(
            r#"permit(principal == Workload::"{}", action == Action::"read_file", resource) when {{
                context.time < {} && context.server == "{}" && context.operation == "read"
                    && context.resource like "file:///docs/*"
            }};"#,
            claims.holder,
            claims.expires_at.as_unix_s(),
            claims.audience,
        );
        let kind = |name: &str| name.parse().map_err(|e| anyhow!("{name}: {e}"));
        Ok(Self {
            authorizer: Authorizer::new(),
            policies: policy.parse().map_err(|e| anyhow!("cedar: {e}"))?,
            entities: Entities::empty(),
            audience: claims.audience.to_string(),
            kinds: [kind("Workload")?, kind("Action")?, kind("Resource")?],
        })
    }

    fn check(&self, call: &Call) -> anyhow::Result<bool> {
        let time = i64::try_from(now().wall.as_unix_s())?;
        let text = |t: &str| RestrictedExpression::new_string(t.to_owned());
        let context = Context::from_pairs([
            ("time".to_owned(), RestrictedExpression::new_long(time)),
            ("server".to_owned(), text(&self.audience)),
            ("operation".to_owned(), text(call.ask.operation.as_str())),
            ("resource".to_owned(), text(call.ask.resource.as_str())),
        ])?;
        let names = [call.peer.as_str(), call.ask.tool.as_str(), call.ask.resource.as_str()];
        let mut uids =
            self.kinds.iter().zip(names).map(|(k, n)| EntityUid::from_type_name_and_id(k.clone(), EntityId::new(n)));
        let mut next = || uids.next().context("three names");
        let request = Request::new(next()?, next()?, next()?, context, None)?;
        let answer = self.authorizer.is_authorized(&request, &self.policies, &self.entities);
        Ok(answer.decision() == Decision::Allow)
    }
}

impl Peer for PolicyOnly {
    fn name(&self) -> &'static str {
        "cedar"
    }

    fn what(&self) -> &'static str {
        "cedar-policy 4, one policy: is_authorized, and no token at all"
    }

    fn allows(&mut self, call: &Call) -> bool {
        self.check(call).unwrap_or(false)
    }
}
