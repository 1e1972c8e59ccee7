//! PASETO v4.public by `pasetors`. Like a JWT it cannot be narrowed, so this is a task token.

use super::{Peer, stated::Stated};
use crate::world::Call;
use anyhow::anyhow;
use crumb_token::Claims;
use pasetors::{
    Public,
    claims::{Claims as Payload, ClaimsValidationRules},
    keys::{AsymmetricKeyPair, AsymmetricPublicKey, Generate},
    public,
    token::UntrustedToken,
    version4::V4,
};
use std::time::Duration;

pub(super) struct V4Public {
    token: String,
    key: AsymmetricPublicKey<V4>,
    rules: ClaimsValidationRules,
}

impl V4Public {
    pub(super) fn new(claims: &Claims) -> anyhow::Result<Self> {
        // Its registered times are texts; ours ride along as numbers, under one name.
        let stated = serde_json::to_value(Stated::of(claims))?;
        Self::try_new(claims, stated).map_err(|e| anyhow!("pasetors: {e}"))
    }

    fn try_new(claims: &Claims, stated: serde_json::Value) -> Result<Self, pasetors::errors::Error> {
        let pair = AsymmetricKeyPair::<V4>::generate()?;
        let mut payload = Payload::new_expires_in(&Duration::from_secs(6 * 3600))?;
        payload.audience(claims.audience.as_str())?;
        payload.add_additional("stated", stated)?;
        let token = public::sign(&pair.secret, &payload, None, None)?;
        let mut rules = ClaimsValidationRules::new();
        rules.validate_audience_with(claims.audience.as_str());
        Ok(Self { token, key: pair.public, rules })
    }

    fn check(&self, call: &Call) -> Option<bool> {
        let token = UntrustedToken::<Public, V4>::try_from(&self.token).ok()?;
        let trusted = public::verify(&self.key, &token, &self.rules, None, None).ok()?;
        let stated = trusted.payload_claims()?.get_claim("stated")?;
        Some(serde::Deserialize::deserialize(stated).is_ok_and(|stated: Stated| stated.covers(call)))
    }
}

impl Peer for V4Public {
    fn name(&self) -> &'static str {
        "paseto-v4.public"
    }

    fn what(&self) -> &'static str {
        "pasetors 0.8: verify, and the claims compared"
    }

    fn allows(&mut self, call: &Call) -> bool {
        self.check(call).unwrap_or(false)
    }
}
