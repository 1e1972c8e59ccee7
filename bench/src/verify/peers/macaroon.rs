//! Macaroons, by `macaroon`: caveats under a chain of HMACs, which the holder can add to.
//!
//! Whoever checks one needs the key that makes them, so every tool server could mint. A grant is a caveat here: one tool,
//! one operation, one prefix.

use super::Peer;
use crate::world::{Call, now};
use crumb_token::Claims;
use macaroon::{ByteString, Format, Macaroon, MacaroonKey, Verifier};

pub(super) struct Macaroons {
    token: String,
    key: MacaroonKey,
    audience: String,
}

impl Macaroons {
    pub(super) fn new(claims: &Claims, call: &Call) -> anyhow::Result<Self> {
        macaroon::initialize()?;
        let key = MacaroonKey::generate_random();
        let id = format!("{} {} {}", claims.token, claims.session, claims.agent);
        let mut token = Macaroon::create(Some("crumb".into()), &key, id.into())?;
        let audience = claims.audience.to_string();
        for caveat in [
            format!("time < {}", claims.expires_at.as_unix_s()),
            format!("server = {audience}"),
            format!("peer = {}", claims.holder),
            "tool = read_file".into(),
            "operation = read".into(),
            format!("resource = {}", call.ask.resource),
            format!("time < {}", claims.expires_at.as_unix_s() - 1),
        ] {
            token.add_first_party_caveat(caveat.into());
        }
        Ok(Self { token: token.serialize(Format::V2)?, key, audience })
    }
}

/// Says whether a caveat of time holds now. The library takes a plain function, so it reads the clock each time.
fn in_time(caveat: &ByteString) -> bool {
    let text = std::str::from_utf8(caveat.as_ref()).ok();
    let end = text.and_then(|t| t.strip_prefix("time < ")).and_then(|t| t.parse::<u64>().ok());
    end.is_some_and(|end| now().wall.as_unix_s() < end)
}

impl Peer for Macaroons {
    fn name(&self) -> &'static str {
        "macaroon"
    }

    fn what(&self) -> &'static str {
        "macaroon 0.3, 7 caveats: deserialize and verify, with the key that mints"
    }

    fn allows(&mut self, call: &Call) -> bool {
        let Ok(token) = Macaroon::deserialize(&self.token) else { return false };
        let mut verifier = Verifier::default();
        verifier.satisfy_exact(format!("server = {}", self.audience).into());
        verifier.satisfy_exact(format!("peer = {}", call.peer).into());
        verifier.satisfy_exact(format!("tool = {}", call.ask.tool).into());
        verifier.satisfy_exact(format!("operation = {}", call.ask.operation).into());
        verifier.satisfy_exact(format!("resource = {}", call.ask.resource).into());
        verifier.satisfy_general(in_time);
        verifier.verify(&token, &self.key, vec![]).is_ok()
    }
}
