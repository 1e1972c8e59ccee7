//! From received bytes to an authentic token: the gate, the root key, the signatures; and what is remembered of each.
//!
//! A token that came before is found by its bytes. A new leaf of a known parent costs one signature and the proof. Anything
//! else costs all its signatures, after the gate, so that bytes outside the profile are never worth a signature.
//!
//! # Invariants
//!
//! - Only what verified in full is remembered, without a stamp: the caller holds it against the facts and stamps it.
//! - A parent is held against the facts each time it is gone on from.

use crate::{
    Limits,
    authentic::{Authentic, Parent, Root},
    chain,
    generation::Stamp,
    known::Facts,
    program::Program,
    table::{Found, Table},
    verifier::SERVER,
};
use crumb_token::{
    Audience, Caveat, Denial, KeyId, Reason, SpiffeId, Timestamp,
    contents::{Appended, Contents, earliest},
    envelope::{Envelope, SignedBlock},
    parse::{self, signer},
    token_text::Presented,
};
use std::sync::Arc;

/// How many tokens there are for one parent, at least: a task token has several calls.
const TOKENS_FOR_A_PARENT: usize = 4;

/// The most bytes that one token, or one parent, may take to be remembered. A usual one takes 3 to 4 KiB; one whose blocks
/// name the same texts over and over takes many times its own length, and is verified anew each time.
const REMEMBERED_LEN_MAX: usize = 16 * 1024;

/// Makes authentic tokens, and remembers them.
#[derive(Debug)]
pub(crate) struct Authenticator {
    tokens: Table<Authentic>,
    parents: Table<Parent>,
}

/// One presentation: what is needed to judge it beside the bytes.
#[derive(Clone, Copy)]
pub(crate) struct Presentation<'a> {
    pub(crate) peer: &'a SpiffeId,
    pub(crate) server: &'a Audience,
    pub(crate) time: Timestamp,
    pub(crate) facts: &'a Facts,
}

impl Authenticator {
    pub(crate) fn new(limits: &Limits) -> Self {
        let (places, share) = (limits.tokens_max, limits.tokens_per_holder);
        Self {
            tokens: Table::new(places, share),
            parents: Table::new(places.div_ceil(TOKENS_FOR_A_PARENT), share.div_ceil(TOKENS_FOR_A_PARENT)),
        }
    }

    /// Finds a token that came before. Whether it still holds is to be looked at.
    pub(crate) fn find(&self, token: Presented<'_>) -> Option<Found<Authentic>> {
        self.tokens.get(token.as_bytes())
    }

    /// Authenticates a token that is not known.
    ///
    /// # Errors
    ///
    /// The first rule of the gate, of the root keys, or of the signatures that it breaks.
    pub(crate) fn authenticate(&self, token: Presented<'_>, at: &Presentation<'_>) -> Result<Arc<Authentic>, Denial> {
        let bytes = token.decode().map_err(refused)?;
        let (key_id, envelope) = parse::open(&bytes).map_err(refused)?;
        let authentic = Arc::new(self.verify(token, &bytes, (key_id, &envelope), at)?);
        // A single-use token is not seen again, and one in the wrong hands must not take the holder's share.
        if !authentic.single_use && authentic.holder() == at.peer && authentic.memory_len() <= REMEMBERED_LEN_MAX {
            self.tokens.insert(Arc::clone(&authentic), at.time);
        }
        Ok(authentic)
    }

    /// Returns how many tokens and how many parents are remembered.
    pub(crate) fn len(&self) -> (usize, usize) {
        (self.tokens.len(), self.parents.len())
    }

    /// Lets go a part of what has ended, or what `facts` no longer vouch for.
    pub(crate) fn sweep(&self, facts: &Facts, time: Timestamp) {
        self.tokens.sweep(time, |token| facts.vouch_for(token.root, token.claims(), token.hops()));
        self.parents.sweep(time, |parent| {
            facts.vouch_for(parent.root, parent.contents.claims(), parent.contents.hops().iter())
        });
    }

    fn verify(
        &self,
        token: Presented<'_>,
        bytes: &[u8],
        (key_id, envelope): (KeyId, &Envelope<'_>),
        at: &Presentation<'_>,
    ) -> Result<Authentic, Denial> {
        let (last, before) = envelope.blocks.split_last().ok_or_else(|| refused(Reason::TokenMalformed))?;
        let (known, new) = self.longest_known(bytes, key_id, before, at.facts);
        // The gate first, all of it; then the root key; then what is not verified yet.
        let (contents, leaf) = read(known.as_deref(), new, last).map_err(refused)?;
        let root = at.facts.key(key_id, contents.claims())?;
        let (key, signature) = match &known {
            Some(parent) => (&parent.key, Some(&*parent.signature)),
            None => (root, None),
        };
        let key = chain::follow(key, signature, new).ok_or_else(unsigned)?;
        let signature = new.last().map_or(signature, |block| Some(block.signature));
        chain::ends(&key, signature, last, &envelope.proof).ok_or_else(unsigned)?;

        let root = Root { id: key_id, public: *root.as_bytes() };
        let holder = leaf.hop.as_ref().map_or_else(|| contents.holder(), |hop| &hop.to.holder);
        let owner = self.tokens.owner(holder.as_str());
        // In the presenter's own share, whoever held the token before: it is the presenter who goes on from it.
        if let (Some(block), true) = (new.last(), holder == at.peer) {
            let bytes = bytes.get(..block.end).unwrap_or_default().into();
            let (contents, signature) = (Arc::clone(&contents), block.signature.into());
            let parent = Parent { bytes, owner, root, contents, key, signature };
            if parent.memory_len() <= REMEMBERED_LEN_MAX {
                self.parents.insert(Arc::new(parent), at.time);
            }
        }
        let caveats = contents.blocks().iter().flatten().chain(&leaf.caveats);
        let program = Program::compile(contents.claims(), holder, caveats.clone(), at.server, token.as_bytes());
        Ok(Authentic {
            stamp: Stamp::none(),
            issued_at: contents.claims().issued_at,
            expires_at: earliest(contents.expires_at(), &leaf.caveats),
            single_use: caveats.clone().any(|caveat| matches!(caveat, Caveat::Nonce(_))),
            program: program.ok_or_else(|| refused(Reason::TokenOutOfProfile))?,
            owner,
            root,
            contents,
            leaf,
        })
    }

    /// Finds the longest beginning of `blocks` that is known, and returns what comes after it.
    fn longest_known<'b, 'e>(
        &self,
        bytes: &[u8],
        key_id: KeyId,
        blocks: &'b [SignedBlock<'e>],
        facts: &Facts,
    ) -> (Option<Arc<Parent>>, &'b [SignedBlock<'e>]) {
        for (i, block) in blocks.iter().enumerate().rev() {
            let found = bytes.get(..block.end).and_then(|beginning| self.parents.get(beginning));
            let parent = found.and_then(|found| found.share());
            // The key's number is not signed, so it has to be the same one, and name the same key now.
            let still = |parent: &Arc<Parent>| parent.root.id == key_id && facts.names(parent.root);
            if let Some(parent) = parent.filter(still) {
                return (Some(parent), blocks.get(i + 1..).unwrap_or_default());
            }
        }
        (None, blocks)
    }
}

/// Reads the blocks that are `new` after what is known, and the last one: all but the last, and the caveats of the last.
fn read(
    known: Option<&Parent>,
    new: &[SignedBlock<'_>],
    last: &SignedBlock<'_>,
) -> Result<(Arc<Contents>, Appended), Reason> {
    let (mut contents, new) = match (known, new) {
        (Some(parent), []) => {
            let leaf = parent.contents.leaf(last.block, signer(last)?)?;
            return Ok((Arc::clone(&parent.contents), leaf));
        }
        (Some(parent), new) => (Contents::clone(&parent.contents), new),
        (None, []) => return Ok((Arc::new(Contents::authority(last.block)?), Appended::default())),
        (None, [authority, new @ ..]) => (Contents::authority(authority.block)?, new),
    };
    for block in new {
        contents.append(block.block, signer(block)?)?;
    }
    let leaf = contents.leaf(last.block, signer(last)?)?;
    Ok((Arc::new(contents), leaf))
}

fn refused(reason: Reason) -> Denial {
    Denial::new(reason).by("token profile", SERVER)
}

fn unsigned() -> Denial {
    Denial::new(Reason::SignatureInvalid).by("signatures", SERVER)
}
