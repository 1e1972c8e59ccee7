//! The gate: bytes become an [`Unverified`] token, or are refused before anything is evaluated or any signature checked.
//!
//! Work is linear in the length, which is bounded, so a hostile token costs microseconds whatever it holds. What passes is
//! inside the closed profile: every fact known, every check a shape of the list, none skipped.
//!
//! Nothing that passes is true yet. The verifier checks the signatures.

use crate::{
    Caveat, Claims, KeyId, Reason, Timestamp,
    contents::Contents,
    envelope::{Envelope, Key, Proof, SignedBlock},
    handover::{DelegationKey, Hop},
    profile::{ACCEPTED_LEN_MAX, DEPTH_MAX, HOP_PAYLOAD_VERSION},
};
use biscuit_auth::format::schema;
use prost_biscuit::Message;
use std::fmt;
use zeroize::Zeroizing;

/// A token inside the profile, whose signatures nobody has checked.
#[derive(Clone)]
pub struct Unverified {
    bytes: Zeroizing<Vec<u8>>,
    key_id: KeyId,
    contents: Contents,
}

impl Unverified {
    /// Reads a token.
    ///
    /// # Errors
    ///
    /// A `token_*` [`Reason`]: the first rule of the profile that the bytes break.
    pub fn parse(bytes: &[u8]) -> Result<Self, Reason> {
        let (key_id, envelope) = open(bytes)?;
        let contents = read(&envelope)?;
        Ok(Self { bytes: Zeroizing::new(bytes.to_vec()), key_id, contents })
    }

    /// Returns the key that the token says it is signed with. A hint: it is not covered by any signature.
    pub fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// Returns what the authority block claims.
    pub fn claims(&self) -> &Claims {
        self.contents.claims()
    }

    /// Returns the caveats of each appended block, in order.
    pub fn blocks(&self) -> &[Vec<Caveat>] {
        self.contents.blocks()
    }

    /// Returns the hops that the token says it has made, in order.
    pub fn hops(&self) -> &[Hop] {
        self.contents.hops()
    }

    /// Returns the earliest end that any block sets.
    pub fn expires_at(&self) -> Timestamp {
        self.contents.expires_at()
    }

    /// Returns the token's bytes. A secret.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for Unverified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Unverified({}, {} bytes, {} blocks)", self.claims().token, self.bytes.len(), self.blocks().len())
    }
}

/// Reads all blocks of a token that was [opened](open).
///
/// # Errors
///
/// A `token_*` [`Reason`]: the first rule of the profile that one of them breaks.
pub fn read(envelope: &Envelope<'_>) -> Result<Contents, Reason> {
    let mut blocks = envelope.blocks.iter();
    let mut contents = Contents::authority(blocks.next().ok_or(Reason::TokenMalformed)?.block)?;
    for appended in blocks {
        contents.append(appended.block, signer(appended)?)?;
    }
    Ok(contents)
}

/// Returns the key of the third party that signed a block.
///
/// # Errors
///
/// [`Reason::TokenOutOfProfile`] when it is none.
pub fn signer(block: &SignedBlock<'_>) -> Result<Option<DelegationKey>, Reason> {
    let key = block.external.map(|external| DelegationKey::try_from(external.key.bytes));
    key.transpose().map_err(|_| Reason::TokenOutOfProfile)
}

/// Opens the outer message, and holds it to the profile. What the blocks say is not looked at.
///
/// # Errors
///
/// A `token_*` [`Reason`]: the first rule of the profile that it breaks.
pub fn open(bytes: &[u8]) -> Result<(KeyId, Envelope<'_>), Reason> {
    if bytes.is_empty() {
        return Err(Reason::TokenMissing);
    }
    if bytes.len() > ACCEPTED_LEN_MAX {
        return Err(Reason::TokenTooLarge);
    }
    let envelope = Envelope::read(bytes).ok_or_else(|| why_no_envelope(bytes))?;
    let key_id = envelope.key_id.map(KeyId).ok_or(Reason::TokenOutOfProfile)?;
    check(&envelope)?;
    Ok((key_id, envelope))
}

/// Says what is wrong with bytes that are no envelope, as far as a whole protobuf reader can tell.
fn why_no_envelope(bytes: &[u8]) -> Reason {
    match schema::Biscuit::decode(bytes) {
        Err(_) => Reason::TokenMalformed,
        Ok(token) if token.blocks.len() > usize::from(DEPTH_MAX) => Reason::TokenTooDeep,
        // Unknown and repeated fields would give one token endless encodings, and a cache endless entries.
        Ok(token) if token.encode_to_vec() != bytes => Reason::TokenNotCanonical,
        Ok(_) => Reason::TokenOutOfProfile,
    }
}

/// Holds every block to Ed25519, third parties to appended blocks, and the signed payload to its one version: 1 from the
/// first hop on, as every implementation writes it.
fn check(envelope: &Envelope<'_>) -> Result<(), Reason> {
    let mut version = None;
    for (i, block) in envelope.blocks.iter().enumerate() {
        let mut ed25519 = is_ed25519(block.next_key, block.signature);
        if let Some(external) = block.external {
            version = (i > 0).then_some(HOP_PAYLOAD_VERSION);
            ed25519 &= i > 0 && is_ed25519(external.key, external.signature);
        }
        if block.version != version {
            return Err(Reason::TokenVersion);
        }
        if !ed25519 {
            return Err(Reason::TokenOutOfProfile);
        }
    }
    match envelope.proof {
        Proof::NextSecret(secret) if secret.len() == 32 => Ok(()),
        Proof::FinalSignature(signature) if signature.len() == 64 => Ok(()),
        _ => Err(Reason::TokenOutOfProfile),
    }
}

fn is_ed25519(key: Key<'_>, signature: &[u8]) -> bool {
    key.algorithm == Key::ED25519 && key.bytes.len() == 32 && signature.len() == 64
}
