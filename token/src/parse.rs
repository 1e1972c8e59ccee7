//! The gate: bytes become an [`Unverified`] token, or are refused before anything is evaluated or any signature checked.
//!
//! Work is linear in the length, which is bounded, so a hostile token costs microseconds whatever it holds. What passes is
//! inside the closed profile: every fact known, every check a shape of the list, none skipped.
//!
//! Nothing that passes is true yet. The verifier checks the signatures.

mod authority;

use crate::{
    Caveat, Claims, KeyId, Reason, Timestamp,
    profile::{self, ACCEPTED_LEN_MAX, BLOCK_VERSION, CHECKS_MAX, DEPTH_MAX, SYMBOLS_MAX},
    shape,
    symbols::Symbols,
};
use biscuit_auth::format::schema;
use prost_biscuit::Message;
use schema::{proof, public_key::Algorithm};
use std::fmt;
use zeroize::Zeroizing;

/// A token inside the profile, whose signatures nobody has checked.
#[derive(Clone)]
pub struct Unverified {
    bytes: Zeroizing<Vec<u8>>,
    key_id: KeyId,
    claims: Claims,
    blocks: Vec<Vec<Caveat>>,
    expires_at: Timestamp,
}

impl Unverified {
    /// Reads a token.
    ///
    /// # Errors
    ///
    /// A `token_*` [`Reason`]: the first rule of the profile that the bytes break.
    pub fn parse(bytes: &[u8]) -> Result<Self, Reason> {
        if bytes.is_empty() {
            return Err(Reason::TokenMissing);
        }
        if bytes.len() > ACCEPTED_LEN_MAX {
            return Err(Reason::TokenTooLarge);
        }
        let token = schema::Biscuit::decode(bytes).map_err(|_| Reason::TokenMalformed)?;
        if token.blocks.len() > usize::from(DEPTH_MAX) {
            return Err(Reason::TokenTooDeep);
        }
        // Unknown and repeated fields would give one token endless encodings, and a cache endless entries.
        if token.encode_to_vec() != bytes {
            return Err(Reason::TokenNotCanonical);
        }
        let key_id = token.root_key_id.map(KeyId).ok_or(Reason::TokenOutOfProfile)?;
        check_envelope(&token)?;

        let authority = decode_block(&token.authority)?;
        let appended = token.blocks.iter().map(decode_block).collect::<Result<Vec<_>, _>>()?;
        let mut symbols = Symbols::new();
        symbols.extend(&authority).ok_or(Reason::TokenOutOfProfile)?;
        let claims = authority::read(&authority, &symbols)?;
        if appended.len() > usize::from(claims.depth_limit) {
            return Err(Reason::TokenTooDeep);
        }
        let mut blocks = Vec::with_capacity(appended.len());
        for block in &appended {
            symbols.extend(block).ok_or(Reason::TokenOutOfProfile)?;
            blocks.push(read_appended(block, &symbols)?);
        }
        let expires_at = earliest(claims.expires_at, &blocks);
        Ok(Self { bytes: Zeroizing::new(bytes.to_vec()), key_id, claims, blocks, expires_at })
    }

    /// Returns the key that the token says it is signed with. A hint: it is not covered by any signature.
    pub fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// Returns what the authority block claims.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// Returns the caveats of each appended block, in order.
    pub fn blocks(&self) -> &[Vec<Caveat>] {
        &self.blocks
    }

    /// Returns the earliest end that any block sets.
    pub fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// Returns the token's bytes. A secret.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for Unverified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Unverified({}, {} bytes, {} blocks)", self.claims.token, self.bytes.len(), self.blocks.len())
    }
}

fn earliest(authority: Timestamp, blocks: &[Vec<Caveat>]) -> Timestamp {
    let ends = blocks.iter().flatten().filter_map(|c| match c {
        Caveat::ExpiresAt(at) => Some(*at),
        _ => None,
    });
    ends.fold(authority, Ord::min)
}

/// Holds every block to Ed25519, the one signature payload version, and no third party.
fn check_envelope(token: &schema::Biscuit) -> Result<(), Reason> {
    for block in std::iter::once(&token.authority).chain(&token.blocks) {
        if block.version.is_some() {
            return Err(Reason::TokenVersion);
        }
        let ed25519 = block.next_key.algorithm == Algorithm::Ed25519 as i32 && block.next_key.key.len() == 32;
        if block.external_signature.is_some() || !ed25519 || block.signature.len() != 64 {
            return Err(Reason::TokenOutOfProfile);
        }
    }
    match &token.proof.content {
        Some(proof::Content::NextSecret(secret)) if secret.len() == 32 => Ok(()),
        Some(proof::Content::FinalSignature(signature)) if signature.len() == 64 => Ok(()),
        _ => Err(Reason::TokenOutOfProfile),
    }
}

fn decode_block(signed: &schema::SignedBlock) -> Result<schema::Block, Reason> {
    let block = schema::Block::decode(&signed.block[..]).map_err(|_| Reason::TokenMalformed)?;
    // A field that is not known here could be a condition; to skip it would be to allow more than its author meant.
    if block.encode_to_vec() != signed.block {
        return Err(Reason::TokenNotCanonical);
    }
    if block.version != Some(BLOCK_VERSION) {
        return Err(Reason::TokenVersion);
    }
    let closed = block.context.is_none()
        && block.rules.is_empty()
        && block.scope.is_empty()
        && block.public_keys.is_empty()
        && block.symbols.len() <= SYMBOLS_MAX;
    if closed { Ok(block) } else { Err(Reason::TokenOutOfProfile) }
}

fn read_appended(block: &schema::Block, symbols: &Symbols<'_>) -> Result<Vec<Caveat>, Reason> {
    if !block.facts.is_empty() || block.checks.is_empty() || block.checks.len() > CHECKS_MAX {
        return Err(Reason::TokenOutOfProfile);
    }
    let caveats = block.checks.iter().map(|check| shape::from_check(check, symbols));
    caveats.collect::<Option<_>>().ok_or(Reason::TokenOutOfProfile)
}

/// Says whether `version` is the profile version that is read here.
fn is_known(version: i64) -> bool {
    version == profile::VERSION
}
