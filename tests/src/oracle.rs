//! The oracle: a stock Biscuit verifier, which knows nothing of the profile and evaluates a token's Datalog.
//!
//! It is given only what `docs/token-profile.md` says a stock verifier has to supply. It does not know revocation, keys
//! in force, `issued_at` or used nonces: those are outside Datalog.

use biscuit_auth::{
    AuthorizerBuilder, AuthorizerLimits, Biscuit, PublicKey,
    builder::{AuthorizerBuilder as Builder, Fact, Term, bytes, string},
    error,
};
use crumb_token::{Ask, Audience, Scalar, SpiffeId, Timestamp, profile::ambient};
use std::time::Duration;

/// What the oracle says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Every check holds.
    Allowed,
    /// A check does not hold, or cannot be evaluated.
    Denied,
    /// It cannot be read, or a signature is wrong.
    NoToken,
}

/// Evaluates `token` for a call. `nonces` are those that have not been used.
///
/// # Panics
///
/// When the evaluation runs out of its limits: there is no answer then.
pub fn evaluate(
    token: &[u8],
    root: PublicKey,
    ask: &Ask,
    peer: &SpiffeId,
    server: &Audience,
    time: Timestamp,
    nonces: &[[u8; 16]],
) -> Answer {
    let Ok(token) = Biscuit::from(token, root) else { return Answer::NoToken };
    let facts = facts(ask, peer, server, time, nonces);
    let builder = facts.into_iter().try_fold(AuthorizerBuilder::new(), Builder::fact).expect("plain facts");
    // A second, since the default of 1 ms refuses good tokens on a busy machine.
    let limits = AuthorizerLimits { max_time: Duration::from_secs(1), ..AuthorizerLimits::default() };
    let builder = builder.policy("allow if true").expect("a policy").set_limits(limits);
    match builder.build(&token).and_then(|mut authorizer| authorizer.authorize()) {
        Ok(_) => Answer::Allowed,
        Err(error::Token::RunLimit(limit)) => panic!("the oracle ran out of its limits: {limit}"),
        Err(_) => Answer::Denied,
    }
}

fn facts(ask: &Ask, peer: &SpiffeId, server: &Audience, time: Timestamp, nonces: &[[u8; 16]]) -> Vec<Fact> {
    let fact = |name: &str, terms: Vec<Term>| Fact::new(name.to_owned(), terms);
    let mut facts = vec![
        fact(ambient::TIME, vec![Term::Date(time.as_unix_s())]),
        fact(ambient::PEER, vec![string(peer.as_str())]),
        fact(ambient::SERVER, vec![string(server.as_str())]),
        fact(ambient::TOOL, vec![string(ask.tool.as_str())]),
        fact(ambient::OPERATION, vec![string(ask.operation.as_str())]),
        fact(ambient::RESOURCE, vec![string(ask.resource.as_str())]),
    ];
    facts.extend(ask.args.iter().map(|(name, value)| {
        let value = match value {
            Scalar::Text(text) => string(text),
            Scalar::Int(number) => Term::Integer(*number),
            Scalar::Bool(truth) => Term::Bool(*truth),
        };
        fact(ambient::ARG, vec![string(name.as_str()), value])
    }));
    facts.extend(ask.args_digest.map(|digest| fact(ambient::ARGS_DIGEST, vec![bytes(&digest)])));
    facts.extend(nonces.iter().map(|nonce| fact(ambient::NONCE, vec![bytes(nonce)])));
    facts
}
