//! The verifier itself: what is known, the time that does not go back, and the order of the rules.

use crate::{
    Counters, Decision, FeedRefused, Limits, Refused, Verified,
    authentic::Authentic,
    authenticate::{Authenticator, Presentation},
    conditions::{self, Call, Rules, broken},
    counters::Tally,
    feed::{Freshness, Message, Signed},
    generation::{Generation, Number},
    known::{Known, breaks_step},
    nonces::{Nonces, NotTaken, Until},
    pulse::Pulse,
};
use arc_swap::ArcSwapOption;
use crumb_token::{
    Ask, Audience, Caveat, Claims, Denial, Environment, Now, Reason, SpiffeId, Timestamp, contents::earliest,
    token_text::Presented,
};
use std::sync::{Arc, Mutex, PoisonError};

/// Who the verifier itself is, as the author of a rule.
pub(crate) const SERVER: &str = "this tool server";

/// Decides calls at one tool server. Share it in an `Arc`.
#[derive(Debug)]
pub struct Verifier {
    audience: Audience,
    environment: Option<Environment>,
    limits: Limits,
    pulse: Pulse,
    generation: Generation,
    known: ArcSwapOption<Known>,
    /// Held while a message is applied, so that two do not build on the same state. Never taken to decide.
    applying: Mutex<()>,
    authenticator: Authenticator,
    nonces: Nonces,
    tally: Tally,
}

impl Verifier {
    /// Makes the verifier of the tool server `audience`. It refuses everything until a full feed message comes.
    pub fn new(audience: Audience, limits: Limits) -> Self {
        Self {
            audience,
            environment: None,
            pulse: Pulse::new(),
            generation: Generation::new(),
            known: ArcSwapOption::empty(),
            applying: Mutex::new(()),
            authenticator: Authenticator::new(&limits),
            nonces: Nonces::new(limits.nonces_max),
            tally: Tally::new(),
            limits,
        }
    }

    /// Says where the tool server runs: it then refuses tokens of agents that are registered for another environment.
    #[must_use]
    pub fn in_environment(self, environment: Environment) -> Self {
        Self { environment: Some(environment), ..self }
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
        if message.full {
            // The one thing that may take the time back: a clock that went astray and now agrees with the broker's.
            self.pulse.set_time(now.wall);
        }
        let (time, facts) = (self.pulse.time(now), Arc::clone(&next.facts));
        self.publish(next);
        self.authenticator.sweep(&facts, time);
        Ok(())
    }

    /// Puts new knowledge in force. The order matters: see [`crate::generation`].
    fn publish(&self, next: Known) {
        let before = self.known.load();
        let same_facts = before.as_ref().is_some_and(|known| Arc::ptr_eq(&known.facts, &next.facts));
        let fresh_until = next.fresh_until(&self.limits);
        self.known.store(Some(Arc::new(next)));
        if !same_facts {
            self.generation.count();
        }
        self.pulse.set_fresh_until(fresh_until);
    }

    fn next_known(&self, signed: &Signed<'_>, message: &Message, now: Now) -> Result<Known, FeedRefused> {
        let before = self.known.load_full();
        if message.full {
            return Known::replace(before.as_deref(), signed, message, now, &self.limits);
        }
        let before = before.ok_or(FeedRefused::NotInStep)?;
        before.follow(signed, message, now, &self.limits).inspect_err(|refused| {
            if breaks_step(*refused) {
                self.publish(before.fall_out_of_step());
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
        self.tally.read(keys, revocations, self.nonces.len(), self.authenticator.len())
    }

    /// Decides one call: `ask` as read from the request itself, `peer` as proved by the mTLS handshake of the connection
    /// it came by.
    pub fn decide<'t>(&self, token: impl Into<Presented<'t>>, ask: &Ask, peer: &SpiffeId, now: Now) -> Decision {
        match self.check(token.into(), ask, peer, now) {
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

    fn check(&self, token: Presented<'_>, ask: &Ask, peer: &SpiffeId, now: Now) -> Result<Verified, Box<Refused>> {
        // Freshness first, then the number, then the facts: whoever finds the feed fresh again also finds the number of what
        // made it so, and looks anew at a token from before.
        if !self.pulse.is_fresh(now) {
            return Err(unattributed(Denial::new(Reason::FeedStale).by("feed", SERVER)));
        }
        let number = self.generation.current();
        let call = Call { ask, peer, server: &self.audience, time: self.pulse.time(now) };
        let Some(found) = self.authenticator.find(token) else {
            return self.check_new(token, number, &call);
        };
        if !(found.stamp.is_of(number) && self.allows(&found, &call)) {
            self.check_in_full(&found, number, &call)?;
        }
        Ok(Verified::found(found))
    }

    /// Decides by a token that did not come before.
    fn check_new(&self, token: Presented<'_>, number: Number, call: &Call<'_>) -> Result<Verified, Box<Refused>> {
        let known = self.known.load();
        let Some(known) = known.as_ref() else { return Err(unattributed(Denial::new(Reason::FeedStale))) };
        let at = Presentation { peer: call.peer, server: call.server, time: call.time, facts: &known.facts };
        let token = self.authenticator.authenticate(token, &at).map_err(unattributed)?;
        self.check_in_full(&token, number, call)?;
        Ok(Verified::new(token))
    }

    /// The short way to yes: the token was held against the facts as they are, and every rule holds.
    fn allows(&self, token: &Authentic, call: &Call<'_>) -> bool {
        call.time < token.expires_at
            && token.issued_at <= call.time.plus(self.limits.clock_skew)
            && !token.single_use
            && token.program.allows(call)
    }

    /// Holds an authentic token to the facts, and to every rule that depends on time and the call, one by one. The nonce
    /// comes last, so that a call that is refused for something else does not use it up.
    fn check_in_full(&self, token: &Authentic, number: Number, call: &Call<'_>) -> Result<(), Box<Refused>> {
        let known = self.known.load();
        let Some(known) = known.as_ref() else { return Err(unattributed(Denial::new(Reason::FeedStale))) };
        known.facts.check_root(token.root, token.claims()).map_err(unattributed)?;
        let attributed = |denial| {
            let (claims, hops) = (token.claims().clone(), token.hops().cloned().collect());
            Box::new(Refused { denial, claims: Some(Box::new(claims)), hops })
        };
        let rules = token.rules();
        self.check_issued(rules.claims, call.time).map_err(attributed)?;
        conditions::check_expiry(&rules, call.time).map_err(attributed)?;
        known.facts.check_revoked(rules.claims, token.hops()).map_err(attributed)?;
        // A token of elsewhere never gets a stamp, so every call with it comes by here.
        self.check_environment(rules.claims).map_err(attributed)?;
        // From here on the facts are behind it: the rest is about the call.
        token.stamp.renew(number);
        conditions::check_authority(&rules, call).map_err(attributed)?;
        conditions::check_caveats(&rules, call).map_err(attributed)?;
        if !token.program.allows(call) {
            return Err(attributed(Denial::new(Reason::Indeterminate).by("two readings of one rule", SERVER)));
        }
        self.take_nonces(known, token, &rules).map_err(attributed)
    }

    fn check_issued(&self, claims: &Claims, time: Timestamp) -> Result<(), Denial> {
        if claims.issued_at > time.plus(self.limits.clock_skew) {
            return Err(broken(Reason::TokenNotYetValid, 0, "issued_at"));
        }
        Ok(())
    }

    fn check_environment(&self, claims: &Claims) -> Result<(), Denial> {
        match &self.environment {
            Some(own) if *own != claims.environment => Err(broken(Reason::EnvironmentMismatch, 0, "environment")),
            _ => Ok(()),
        }
    }

    fn take_nonces(&self, known: &Known, token: &Authentic, rules: &Rules<'_>) -> Result<(), Denial> {
        if !token.single_use {
            return Ok(());
        }
        let mut until = rules.claims.expires_at;
        let mut found: Vec<(usize, Until)> = Vec::new();
        for (i, caveats) in rules.blocks.iter().enumerate() {
            until = earliest(until, caveats);
            found.extend(caveats.iter().filter_map(|caveat| match caveat {
                Caveat::Nonce(nonce) => Some((i + 1, ((rules.claims.token, *nonce), until))),
                _ => None,
            }));
        }
        let nonces: Vec<Until> = found.iter().map(|(_, nonce)| *nonce).collect();
        let horizon = known.horizon(&self.limits);
        self.nonces.take(&nonces, rules.holder, horizon).map_err(|not_taken| match not_taken {
            NotTaken::Used(place) => broken(Reason::NonceReplayed, found.get(place).map_or(0, |f| f.0), "nonce"),
            NotTaken::Full => Denial::new(Reason::NonceTableFull).by("table of used nonces", SERVER),
            NotTaken::TooLate => broken(Reason::TokenExpired, 0, "expiry"),
        })
    }
}

fn unattributed(denial: Denial) -> Box<Refused> {
    Box::new(Refused { denial, claims: None, hops: Vec::new() })
}

#[cfg(test)]
mod tests;
