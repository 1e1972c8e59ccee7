//! A second verifier, written from `docs/token-profile.md` alone and as plainly as it can be, to compare the real one with.
//!
//! It shares no code with `token/` or `verifier/` but the words of a call. It reads the token's protobuf by itself, checks
//! signatures by itself, evaluates checks by their Datalog meaning ([`datalog`]) and not by their shape, and remembers
//! nothing but revocations, used nonces and the time. It is slow, and it does not hold words (SPIFFE IDs, resources) or
//! bounds to their rules: on those the gate is stricter.

pub mod datalog;
pub mod handed;
pub mod read;
pub mod shape;

use crumb_token::{Ask, Reason, Scalar};
use datalog::{Fact, Said, Value};
use ed25519_dalek::{Signature, SigningKey, VerifyingKey};
use read::{Block, Proof, Token};
use std::collections::BTreeSet;

/// What the verifier of one tool server knows. The feed is always fresh here.
#[derive(Clone, Debug)]
pub struct World {
    /// Its own audience.
    pub audience: String,
    /// Where it runs, when it takes tokens of that environment alone.
    pub environment: Option<String>,
    /// The one signing key: its number, and itself.
    pub key: (u32, [u8; 32]),
    /// From when and until when the key is in force, both ends included.
    pub key_in_force: (u64, u64),
    /// What has been revoked, as `token:<id>`, `session:<id>`, `agent:<name>`,
    /// `version:<agent>@<version>`, `tool_server:<audience>`, `subject:<name>` or `key:<number>`.
    pub revoked: BTreeSet<String>,
    /// The nonces that were used, each with its token's id.
    pub used: BTreeSet<(String, Vec<u8>)>,
    /// The latest time that was seen.
    pub seen: u64,
}

/// How far the clocks of broker and verifier may differ, in seconds.
const SKEW_S: u64 = 2;

impl World {
    /// Decides one call, by the table of section 5 of the profile, rule by rule; an allowed one uses its nonces up.
    ///
    /// # Errors
    ///
    /// The reason of the first rule that is broken.
    pub fn decide(&mut self, token: &[u8], ask: &Ask, peer: &str, now: u64) -> Result<(), Reason> {
        self.seen = self.seen.max(now);
        let now = self.seen;
        // 2. The gate: here only what the shapes say.
        let token = Token::read(token).ok_or(Reason::TokenOutOfProfile)?;
        let hops = handed::hops(&token).ok_or(Reason::TokenOutOfProfile)?;
        // 3.
        if self.revoked.contains(&format!("key:{}", token.key_id)) {
            return Err(Reason::TokenRevoked);
        }
        // 4.
        let (from, until) = self.key_in_force;
        let issued_at = token.date("issued_at").ok_or(Reason::TokenOutOfProfile)?;
        if token.key_id != self.key.0 || issued_at < from || issued_at > until {
            return Err(Reason::KeyUnknown);
        }
        // 5.
        if !is_signed(&token, self.key.1) {
            return Err(Reason::SignatureInvalid);
        }
        // 6.
        if issued_at > now + SKEW_S {
            return Err(Reason::TokenNotYetValid);
        }
        let nonces: Vec<Vec<u8>> = token.appended().filter_map(|(_, check)| check.nonce()).collect();
        let said = said(&token, facts(ask, peer, &self.audience, now, &nonces));
        // 7.
        let ended = token.date("expires_at").ok_or(Reason::TokenOutOfProfile)? <= now;
        if ended || token.appended().any(|(place, check)| check.subject() == "time" && !said.fulfils(check, place)) {
            return Err(Reason::TokenExpired);
        }
        // 8.
        if endings(&token, &hops)?.iter().any(|ending| self.revoked.contains(ending)) {
            return Err(Reason::TokenRevoked);
        }
        // 9.
        if self.environment.as_deref().is_some_and(|own| token.text("environment") != Some(own)) {
            return Err(Reason::EnvironmentMismatch);
        }
        // 10.
        let holder = hops.last().map_or_else(|| token.text("holder"), |hop| Some(&*hop.holder));
        if holder != Some(peer) {
            return Err(Reason::HolderMismatch);
        }
        // 11.
        if token.text("audience") != Some(&*self.audience) {
            return Err(Reason::AudienceMismatch);
        }
        // 12.
        is_granted(&token, ask)?;
        // 13. The authority block's own checks say the same as 7 to 12 did.
        if let Some((_, broken)) = token.appended().find(|(place, check)| !said.fulfils(check, *place)) {
            return Err(reason(broken.subject()));
        }
        if !token.checks().all(|(place, check)| said.fulfils(check, place)) {
            return Err(Reason::TokenOutOfProfile);
        }
        // 14.
        let id = token.text("token_id").unwrap_or_default();
        let nonces: BTreeSet<_> = nonces.into_iter().map(|nonce| (id.to_owned(), nonce)).collect();
        if nonces.iter().any(|nonce| self.used.contains(nonce)) {
            return Err(Reason::NonceReplayed);
        }
        self.used.extend(nonces);
        Ok(())
    }
}

/// What ends a token when it is revoked, but for its key.
fn endings(token: &Token, hops: &[handed::Delegate]) -> Result<Vec<String>, Reason> {
    let text = |fact| token.text(fact).ok_or(Reason::TokenOutOfProfile);
    let agent = |agent: &str, version: &str| [format!("agent:{agent}"), format!("version:{agent}@{version}")];
    let mut endings = vec![
        format!("token:{}", text("token_id")?),
        format!("session:{}", text("session")?),
        format!("tool_server:{}", text("audience")?),
    ];
    endings.extend(agent(text("agent")?, text("agent_version")?));
    for fact in token.facts() {
        match (fact.name.as_str(), &fact.terms[..]) {
            ("ancestor", [_, Value::Text(session), Value::Text(name), Value::Text(version), _]) => {
                endings.push(format!("session:{session}"));
                endings.extend(agent(name, version));
            }
            ("subject", [Value::Text(name), _]) => endings.push(format!("subject:{name}")),
            _ => {}
        }
    }
    endings.extend(hops.iter().flat_map(|hop| agent(&hop.agent, &hop.version)));
    Ok(endings)
}

/// All facts there are: the verifier's, and those of each block.
fn said(token: &Token, ambient: Vec<Fact>) -> Said {
    let signer = |block: &Block| block.external.as_ref().map(|external| external.key.clone());
    let blocks = token.blocks.iter().map(|block| (signer(block), block.facts.clone())).collect();
    Said { ambient, blocks }
}

/// The reason for a caveat about `subject` that does not hold.
fn reason(subject: &str) -> Reason {
    match subject {
        "tool" => Reason::ToolNotGranted,
        "operation" => Reason::OperationNotGranted,
        "resource" => Reason::ResourceNotGranted,
        "arg" | "args_digest" => Reason::ArgumentRefused,
        "server" => Reason::AudienceMismatch,
        "peer" => Reason::HolderMismatch,
        "time" => Reason::TokenExpired,
        _ => Reason::TokenOutOfProfile,
    }
}

/// The facts that section 6 has a stock verifier supply.
fn facts(ask: &Ask, peer: &str, server: &str, now: u64, nonces: &[Vec<u8>]) -> Vec<Fact> {
    let text = |text: &str| Value::Text(text.to_owned());
    let fact = |name: &str, terms: Vec<Value>| Fact { name: name.to_owned(), terms };
    let mut facts = vec![
        fact("time", vec![Value::Date(now)]),
        fact("peer", vec![text(peer)]),
        fact("server", vec![text(server)]),
        fact("tool", vec![text(ask.tool.as_str())]),
        fact("operation", vec![text(ask.operation.as_str())]),
        fact("resource", vec![text(ask.resource.as_str())]),
    ];
    for (name, value) in ask.args.iter() {
        let value = match value {
            Scalar::Text(value) => text(value),
            Scalar::Int(value) => Value::Int(*value),
            Scalar::Bool(value) => Value::Bool(*value),
        };
        facts.push(fact("arg", vec![text(name.as_str()), value]));
    }
    facts.extend(ask.args_digest.map(|digest| fact("args_digest", vec![Value::Bytes(digest.to_vec())])));
    facts.extend(nonces.iter().map(|nonce| fact("nonce", vec![Value::Bytes(nonce.clone())])));
    facts
}

fn is_granted(token: &Token, ask: &Ask) -> Result<(), Reason> {
    let (tool, operation, resource) = (ask.tool.as_str(), ask.operation.as_str(), ask.resource.as_str());
    let mut best = Reason::ToolNotGranted;
    for fact in token.facts().iter().filter(|fact| fact.name == "grant") {
        let [Value::Text(t), Value::Text(o), Value::Text(kind), Value::Text(r)] = &fact.terms[..] else {
            return Err(Reason::TokenOutOfProfile);
        };
        if t != tool {
            continue;
        }
        if o != operation {
            best = if best == Reason::ToolNotGranted { Reason::OperationNotGranted } else { best };
            continue;
        }
        if (kind == "exact" && r == resource) || (kind == "under" && resource.starts_with(r.as_str())) {
            return Ok(());
        }
        best = Reason::ResourceNotGranted;
    }
    Err(best)
}

/// Checks each signature with the key that the block before names, third parties' with their own, and the proof with the
/// last key.
fn is_signed(token: &Token, root: [u8; 32]) -> bool {
    let mut key = root.to_vec();
    let mut before: Option<&Block> = None;
    for block in &token.blocks {
        if !verifies(&key, &signed(block, before), &block.signature) {
            return false;
        }
        if let Some(external) = &block.external {
            let Some(before) = before else { return false };
            let message =
                [&b"\0EXTERNAL\0\0VERSION\0\x01\0\0\0\0PAYLOAD\0"[..], &block.bytes, b"\0PREVSIG\0", &before.signature];
            if !verifies(&external.key, &message.concat(), &external.signature) {
                return false;
            }
        }
        key.clone_from(&block.next_key);
        before = Some(block);
    }
    match (&token.proof, before) {
        (Proof::Secret(secret), _) => SigningKey::from_bytes(secret).verifying_key().to_bytes()[..] == key[..],
        (Proof::Seal(seal), Some(last)) => {
            verifies(&key, &[&last.bytes, &ED25519[..], &last.next_key, &last.signature].concat(), seal)
        }
        (Proof::Seal(_), None) => false,
    }
}

/// The number of the algorithm, as it is signed.
const ED25519: [u8; 4] = [0; 4];

/// What the key before signs of a block.
fn signed(block: &Block, before: Option<&Block>) -> Vec<u8> {
    let (Some(1), Some(before)) = (block.payload_version, before) else {
        return [&block.bytes, &ED25519[..], &block.next_key].concat();
    };
    let mut message = b"\0BLOCK\0\0VERSION\0\x01\0\0\0\0PAYLOAD\0".to_vec();
    message.extend([&block.bytes, &b"\0ALGORITHM\0"[..], &ED25519, b"\0NEXTKEY\0", &block.next_key].concat());
    message.extend([&b"\0PREVSIG\0"[..], &before.signature].concat());
    if let Some(external) = &block.external {
        message.extend([&b"\0EXTERNALSIG\0"[..], &external.signature].concat());
    }
    message
}

fn verifies(key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let key = <[u8; 32]>::try_from(key).ok().and_then(|key| VerifyingKey::from_bytes(&key).ok());
    let signature = Signature::from_slice(signature).ok();
    key.zip(signature).is_some_and(|(key, signature)| key.verify_strict(message, &signature).is_ok())
}
