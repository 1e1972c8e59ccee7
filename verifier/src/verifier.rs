//! The verifier itself: what is known, the time that does not go back, and the order of the rules.

use crate::{
    Counters, Decision, FeedRefused, Limits, Refused, Verified,
    conditions::{self, BROKER, Call, broken},
    counters::Tally,
    feed::{Freshness, Message, Signed},
    known::{Known, breaks_step},
    nonces::{Nonce, Nonces, NotTaken},
};
use arc_swap::ArcSwapOption;
use biscuit_auth::{Biscuit, error};
use crumb_token::{
    Ask, Audience, Caveat, Claims, Denial, Now, Reason, SpiffeId, Timestamp, TokenText, parse::Unverified,
};
use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering::SeqCst},
};

/// Who the verifier itself is, as the author of a rule.
const SERVER: &str = "this tool server";

/// Decides calls at one tool server. Share it in an `Arc`.
#[derive(Debug)]
pub struct Verifier {
    audience: Audience,
    limits: Limits,
    known: ArcSwapOption<Known>,
    /// Held while a message is applied, so that two do not build on the same state. Never taken to decide.
    applying: Mutex<()>,
    /// The latest wall-clock time that was seen, in Unix seconds.
    seen_s: AtomicU64,
    nonces: Nonces,
    tally: Tally,
}

impl Verifier {
    /// Makes the verifier of the tool server `audience`. It refuses everything until a full feed message comes.
    pub fn new(audience: Audience, limits: Limits) -> Self {
        Self {
            audience,
            known: ArcSwapOption::empty(),
            applying: Mutex::new(()),
            seen_s: AtomicU64::new(0),
            nonces: Nonces::new(limits.nonces_max),
            tally: Tally::new(),
            limits,
        }
    }

    /// Returns the tool server that tokens have to be for.
    pub fn audience(&self) -> &Audience {
        &self.audience
    }

    /// Takes one message of the feed. `message` is what the caller decoded from `signed.bytes`.
    ///
    /// # Errors
    ///
    /// [`FeedRefused`]; when it [needs a full message](FeedRefused::needs_full), the caller should ask for one.
    pub fn apply(&self, signed: &Signed<'_>, message: Message, now: Now) -> Result<(), FeedRefused> {
        let _one_at_a_time = self.applying.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = self.next_known(signed, &message, now);
        self.tally.feed_message(taken.is_ok());
        let next = taken?;
        self.known.store(Some(Arc::new(next)));
        if message.full {
            // The one thing that may take the time back: a clock that went astray and now agrees with the broker's.
            self.seen_s.store(now.wall.as_unix_s(), SeqCst);
        } else {
            self.time(now);
        }
        Ok(())
    }

    fn next_known(&self, signed: &Signed<'_>, message: &Message, now: Now) -> Result<Known, FeedRefused> {
        let before = self.known.load_full();
        if message.full {
            return Known::replace(before.as_deref(), signed, message, now, &self.limits);
        }
        let before = before.ok_or(FeedRefused::NotInStep)?;
        before.follow(signed, message, now, &self.limits).inspect_err(|refused| {
            if breaks_step(*refused) {
                self.known.store(Some(Arc::new(before.fall_out_of_step())));
            }
        })
    }

    /// Says how lately the broker was heard.
    pub fn freshness(&self, now: Now) -> Freshness {
        self.known.load().as_ref().map_or(Freshness::Never, |known| known.freshness(now, &self.limits))
    }

    /// Reads the counters.
    pub fn counters(&self) -> Counters {
        let known = self.known.load();
        let facts = known.as_ref().map(|k| &k.facts);
        let (keys, revocations) = facts.map_or((0, 0), |f| (f.keys.len(), f.revoked.len()));
        self.tally.read(keys, revocations, self.nonces.len())
    }

    /// Decides one call: `ask` as read from the request itself, `peer` as proved by the mTLS handshake of the connection
    /// it came by.
    pub fn decide(&self, token: &TokenText, ask: &Ask, peer: &SpiffeId, now: Now) -> Decision {
        match self.check(token, ask, peer, now) {
            Ok(verified) => {
                self.tally.allowed();
                Decision::Allowed(verified)
            }
            Err(mut refused) => {
                refused.denial.asked = ask.to_string();
                self.tally.denied(refused.denial.reason);
                Decision::Denied(refused)
            }
        }
    }

    fn check(&self, token: &TokenText, ask: &Ask, peer: &SpiffeId, now: Now) -> Result<Verified, Refused> {
        let time = self.time(now);
        // One reading for the whole decision, so that keys and revocations belong together.
        let known = self.fresh(now).map_err(unattributed)?;
        let token = gate(token).map_err(unattributed)?;
        authenticate(&known, &token).map_err(unattributed)?;
        let call = Call { ask, peer, server: &self.audience, time };
        self.authorize(&known, &token, &call)
            .map_err(|denial| Refused { denial, claims: Some(Box::new(token.claims().clone())) })?;
        Ok(Verified::new(&token))
    }

    /// Returns now, or the latest time seen when the clock has gone back.
    fn time(&self, now: Now) -> Timestamp {
        let wall = now.wall.as_unix_s();
        Timestamp::from_unix_s(self.seen_s.fetch_max(wall, SeqCst).max(wall))
    }

    fn fresh(&self, now: Now) -> Result<Arc<Known>, Denial> {
        let known = self.known.load_full();
        let fresh = known.filter(|k| matches!(k.freshness(now, &self.limits), Freshness::Fresh { .. }));
        fresh.ok_or_else(|| Denial::new(Reason::FeedStale).by("feed", SERVER))
    }

    /// Holds an authentic token to every rule that depends on time, revocations and the call. The nonce comes last, so
    /// that a call that is refused for something else does not use it up.
    fn authorize(&self, known: &Known, token: &Unverified, call: &Call<'_>) -> Result<(), Denial> {
        self.check_issued(token.claims(), call.time)?;
        conditions::check_expiry(token, call.time)?;
        if let Some(what) = known.facts.revoked.ends(token.claims()) {
            return Err(Denial::new(Reason::TokenRevoked).by(format_args!("revocation of the {what}"), BROKER));
        }
        conditions::check_authority(token.claims(), call)?;
        conditions::check_caveats(token, call)?;
        self.take_nonces(known, token)
    }

    fn check_issued(&self, claims: &Claims, time: Timestamp) -> Result<(), Denial> {
        if claims.issued_at > time.plus(self.limits.clock_skew) {
            return Err(broken(Reason::TokenNotYetValid, 0, "issued_at"));
        }
        Ok(())
    }

    fn take_nonces(&self, known: &Known, token: &Unverified) -> Result<(), Denial> {
        let blocks = token.blocks().iter().enumerate();
        let found: Vec<(usize, Nonce)> = blocks
            .flat_map(|(i, caveats)| caveats.iter().map(move |c| (i + 1, c)))
            .filter_map(|(block, caveat)| match caveat {
                Caveat::Nonce(nonce) => Some((block, (token.claims().token, *nonce))),
                _ => None,
            })
            .collect();
        let nonces: Vec<Nonce> = found.iter().map(|(_, nonce)| *nonce).collect();
        self.nonces.take(&nonces, token.expires_at(), known.horizon(&self.limits)).map_err(
            |not_taken| match not_taken {
                NotTaken::Used(place) => broken(Reason::NonceReplayed, found.get(place).map_or(0, |f| f.0), "nonce"),
                NotTaken::Full => Denial::new(Reason::NonceTableFull).by("table of used nonces", SERVER),
            },
        )
    }
}

fn unattributed(denial: Denial) -> Refused {
    Refused { denial, claims: None }
}

fn gate(token: &TokenText) -> Result<Unverified, Denial> {
    let parsed = token.decode().and_then(|bytes| Unverified::parse(&bytes));
    parsed.map_err(|reason| Denial::new(reason).by("token profile", SERVER))
}

/// Checks that a key in force signed the authority block, and each block's key the next, up to the proof.
fn authenticate(known: &Known, token: &Unverified) -> Result<(), Denial> {
    let facts = &known.facts;
    // Whoever has a revoked key can sign anything, so what such a token says is not even worth recording.
    if facts.revoked.has_key(token.key_id()) {
        return Err(Denial::new(Reason::TokenRevoked).by("revocation of the key", BROKER));
    }
    let key = facts.keys.get(token.key_id()).filter(|k| k.in_force(token.claims().issued_at));
    let key = key.ok_or_else(|| Denial::new(Reason::KeyUnknown).by("signing keys", BROKER))?;
    let refused = |reason| Denial::new(reason).by("signatures", SERVER);
    Biscuit::from(token.bytes(), key.tokens).map(drop).map_err(|failed| match failed {
        // What a stock verifier cannot read although it is signed.
        error::Token::Format(error::Format::SymbolTableOverlap | error::Format::Version { .. }) => {
            refused(Reason::TokenOutOfProfile)
        }
        _ => refused(Reason::SignatureInvalid),
    })
}

#[cfg(test)]
mod tests;
