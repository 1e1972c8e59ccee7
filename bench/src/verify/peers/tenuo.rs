//! Tenuo: signed warrants for AI agents, bound to a holder's key.
//!
//! It proves the holder by a signature over the call where we have the mTLS peer, so it checks two signatures where we
//! check the chain's. The warrant is one link, not narrowed; its resource is a path below a directory.

use super::Peer;
use crate::world::Call;
use anyhow::anyhow;
use crumb_token::Claims;
use std::{collections::HashMap, time::Duration};
use tenuo::{Authorizer, Constraint, ConstraintSet, ConstraintValue, Pattern, Signature, SigningKey, Warrant, wire};

pub(super) struct Warrants {
    token: String,
    authorizer: Authorizer,
    proof: Signature,
}

impl Warrants {
    pub(super) fn new(_: &Claims, call: &Call) -> anyhow::Result<Self> {
        Self::try_new(call).map_err(|e| anyhow!("tenuo: {e}"))
    }

    fn try_new(call: &Call) -> tenuo::Result<Self> {
        let (issuer, holder) = (SigningKey::generate(), SigningKey::generate());
        let mut constraints = ConstraintSet::new();
        constraints.insert("operation", Constraint::Pattern(Pattern::new("read")?));
        constraints.insert("resource", Constraint::Pattern(Pattern::new("file:///docs/*")?));
        let warrant = Warrant::builder()
            .capability("read_file", constraints)
            .holder(holder.public_key())
            .ttl(Duration::from_secs(3600))
            .build(&issuer)?;
        let mut authorizer = Authorizer::new();
        authorizer.add_trusted_root(issuer.public_key());
        // A proof is good for some minutes, which is longer than the run.
        let proof = warrant.sign(&holder, call.ask.tool.as_str(), &arguments(call))?;
        Ok(Self { token: wire::encode_base64(&warrant)?, authorizer, proof })
    }
}

fn arguments(call: &Call) -> HashMap<String, ConstraintValue> {
    let text = |t: &str| ConstraintValue::String(t.to_owned());
    HashMap::from([
        ("operation".to_owned(), text(call.ask.operation.as_str())),
        ("resource".to_owned(), text(call.ask.resource.as_str())),
    ])
}

impl Peer for Warrants {
    fn name(&self) -> &'static str {
        "tenuo"
    }

    fn what(&self) -> &'static str {
        "tenuo 0.3, one warrant: decode, authorize_one, with the holder's proof"
    }

    fn allows(&mut self, call: &Call) -> bool {
        let Ok(warrant) = wire::decode_base64(&self.token) else { return false };
        let (tool, arguments) = (call.ask.tool.as_str(), arguments(call));
        self.authorizer.authorize_one(&warrant, tool, &arguments, Some(&self.proof), &[]).is_ok()
    }
}
