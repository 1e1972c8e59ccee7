//! The outer message of a Biscuit, read in place: signed blocks and the proof, as slices of the received bytes.
//!
//! Apart from [`crate::parse`] because here is only how a token is wrapped, not what it says, and because nothing is copied:
//! the blocks up to any of them are a prefix of the received bytes, which is what a verifier remembers them by.
//!
//! # Invariants
//!
//! - One encoding only: fields in order, each once, numbers in their shortest form. What prost would read and write back
//!   otherwise is no envelope here.
//! - Work is linear in the length, with no allocation but the list of blocks, which is bounded.
//!
//! It checks no signature and refuses no algorithm; `None` says nothing about why. Source: `schema.proto` of Biscuit 3.

/// The most blocks that are read, the authority block among them.
const BLOCKS_MAX: usize = 1 + crate::profile::DEPTH_MAX as usize;

/// A token as it is wrapped.
#[derive(Clone, Debug)]
pub struct Envelope<'a> {
    /// Which root key, by the token's own word.
    pub key_id: Option<u32>,
    /// The authority block, and those that were appended, in order; at least one.
    pub blocks: Vec<SignedBlock<'a>>,
    /// What shows that the presenter has the whole chain.
    pub proof: Proof<'a>,
}

/// One block and the signature over it.
#[derive(Clone, Copy, Debug)]
pub struct SignedBlock<'a> {
    /// The block itself, encoded.
    pub block: &'a [u8],
    /// The key that signs what comes next.
    pub next_key: Key<'a>,
    /// By the key before.
    pub signature: &'a [u8],
    /// A third party's signature.
    pub external: Option<External<'a>>,
    /// The version of the signed payload; absent means 0.
    pub version: Option<u32>,
    /// Where the token goes on after this block: the bytes before are the token up to here.
    pub end: usize,
}

/// A public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key<'a> {
    /// 0 is Ed25519, 1 is ECDSA with secp256r1.
    pub algorithm: u32,
    /// The key, encoded as its algorithm does.
    pub bytes: &'a [u8],
}

impl Key<'_> {
    /// The number of Ed25519.
    pub const ED25519: u32 = 0;
}

/// A third party's signature over a block.
#[derive(Clone, Copy, Debug)]
pub struct External<'a> {
    /// Its signature.
    pub signature: &'a [u8],
    /// Its key.
    pub key: Key<'a>,
}

/// The end of the chain.
#[derive(Clone, Copy)]
pub enum Proof<'a> {
    /// The private key of the last block's next key: whoever has it may append.
    NextSecret(&'a [u8]),
    /// A signature by that key: nothing can be appended.
    FinalSignature(&'a [u8]),
}

impl std::fmt::Debug for Proof<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (name, len) = match self {
            Self::NextSecret(secret) => ("NextSecret", secret.len()),
            Self::FinalSignature(signature) => ("FinalSignature", signature.len()),
        };
        write!(f, "{name}({len} bytes)")
    }
}

impl<'a> Envelope<'a> {
    /// Reads a token; `None` when the bytes are not the one encoding of an envelope of at most nine blocks.
    pub fn read(token: &'a [u8]) -> Option<Self> {
        let mut fields = Fields { rest: token };
        let key_id = fields.number_if(1)?;
        let mut blocks = Vec::with_capacity(2);
        let mut next = fields.bytes(2)?;
        loop {
            let end = token.len() - fields.rest.len();
            blocks.push(SignedBlock::read(next, end)?);
            match fields.bytes_if(3)? {
                Some(_) if blocks.len() == BLOCKS_MAX => return None,
                Some(block) => next = block,
                None => break,
            }
        }
        let proof = Proof::read(fields.bytes(4)?)?;
        fields.end()?;
        Some(Self { key_id, blocks, proof })
    }
}

impl<'a> SignedBlock<'a> {
    fn read(message: &'a [u8], end: usize) -> Option<Self> {
        let mut fields = Fields { rest: message };
        let block = fields.bytes(1)?;
        let next_key = Key::read(fields.bytes(2)?)?;
        let signature = fields.bytes(3)?;
        let external = match fields.bytes_if(4)? {
            Some(message) => Some(External::read(message)?),
            None => None,
        };
        let version = fields.number_if(5)?;
        fields.end()?;
        Some(Self { block, next_key, signature, external, version, end })
    }
}

impl<'a> Key<'a> {
    fn read(message: &'a [u8]) -> Option<Self> {
        let mut fields = Fields { rest: message };
        let algorithm = fields.number(1)?;
        let bytes = fields.bytes(2)?;
        fields.end()?;
        Some(Self { algorithm, bytes })
    }
}

impl<'a> External<'a> {
    fn read(message: &'a [u8]) -> Option<Self> {
        let mut fields = Fields { rest: message };
        let signature = fields.bytes(1)?;
        let key = Key::read(fields.bytes(2)?)?;
        fields.end()?;
        Some(Self { signature, key })
    }
}

impl<'a> Proof<'a> {
    fn read(message: &'a [u8]) -> Option<Self> {
        let mut fields = Fields { rest: message };
        let proof = match fields.bytes_if(1)? {
            Some(secret) => Self::NextSecret(secret),
            None => Self::FinalSignature(fields.bytes(2)?),
        };
        fields.end()?;
        Some(proof)
    }
}

/// The fields of one message that are not read yet.
struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    const VARINT: u32 = 0;
    const BYTES: u32 = 2;

    fn end(&self) -> Option<()> {
        self.rest.is_empty().then_some(())
    }

    /// Takes the tag of `field`, when it is next. All field numbers here have one byte.
    fn tag(&mut self, field: u32, wire_type: u32) -> bool {
        let tag = u8::try_from((field << 3) | wire_type).ok();
        let found = tag.is_some() && self.rest.first().copied() == tag;
        if found {
            self.rest = &self.rest[1..];
        }
        found
    }

    fn number(&mut self, field: u32) -> Option<u32> {
        self.number_if(field)?
    }

    /// Reads a number when `field` is next: `Some(None)` when it is not.
    fn number_if(&mut self, field: u32) -> Option<Option<u32>> {
        if !self.tag(field, Self::VARINT) {
            return Some(None);
        }
        self.varint().map(Some)
    }

    fn bytes(&mut self, field: u32) -> Option<&'a [u8]> {
        self.bytes_if(field)?
    }

    /// Reads bytes when `field` is next: `Some(None)` when it is not.
    fn bytes_if(&mut self, field: u32) -> Option<Option<&'a [u8]>> {
        if !self.tag(field, Self::BYTES) {
            return Some(None);
        }
        let len = usize::try_from(self.varint()?).ok()?;
        let (bytes, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(Some(bytes))
    }

    /// Reads a number of at most 32 bits, in its shortest form.
    fn varint(&mut self) -> Option<u32> {
        let mut value = 0u64;
        for (i, byte) in self.rest.iter().take(5).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                let shortest = i == 0 || *byte != 0;
                self.rest = &self.rest[i + 1..];
                return if shortest { u32::try_from(value).ok() } else { None };
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Caveat, attenuate::attenuate, fixture};
    use biscuit_auth::format::schema;
    use prost_biscuit::Message;

    fn token() -> Vec<u8> {
        let caveats = [Caveat::Nonce([3; 16])];
        attenuate(&attenuate(&fixture::token(&fixture::claims()), &caveats).expect("narrows"), &caveats)
            .expect("narrows")
            .to_vec()
    }

    #[test]
    fn reads_what_prost_reads() {
        let token = token();
        let (envelope, prost) = (Envelope::read(&token).expect("canonical"), schema::Biscuit::decode(&token[..]));
        let prost = prost.expect("a token");
        let signed: Vec<_> = std::iter::once(&prost.authority).chain(&prost.blocks).collect();
        assert_eq!((envelope.key_id, envelope.blocks.len()), (prost.root_key_id, signed.len()));
        for (ours, theirs) in envelope.blocks.iter().zip(signed) {
            assert_eq!((ours.block, ours.signature), (&theirs.block[..], &theirs.signature[..]));
            assert_eq!((ours.next_key.bytes, ours.version), (&theirs.next_key.key[..], theirs.version));
        }
        assert!(matches!(envelope.proof, Proof::NextSecret(secret) if secret.len() == 32));
    }

    #[test]
    fn the_bytes_up_to_a_block_are_the_parent_without_its_proof() {
        let parent = fixture::token(&fixture::claims());
        let child = attenuate(&parent, &[Caveat::Nonce([3; 16])]).expect("narrows");
        let end = Envelope::read(&parent).expect("canonical").blocks[0].end;
        assert_eq!(Envelope::read(&child).expect("canonical").blocks[0].end, end);
        assert_eq!(parent[..end], child[..end]);
    }

    #[test]
    fn refuses_every_other_encoding() {
        let token = token();
        let prost = schema::Biscuit::decode(&token[..]).expect("a token");
        for at in 0..token.len() {
            for bit in 0..8 {
                let mut other = token.clone();
                other[at] ^= 1 << bit;
                let same = schema::Biscuit::decode(&other[..]).is_ok_and(|read| read.encode_to_vec() == other);
                assert_eq!(Envelope::read(&other).is_some(), same, "bit {bit} of byte {at}");
            }
            assert!(Envelope::read(&token[..at]).is_none(), "cut at {at}");
        }
        for extra in [&[0x28, 0x00][..], &[0x08, 0x01], &[0x22, 0x00]] {
            assert!(Envelope::read(&[&token[..], extra].concat()).is_none());
            assert!(Envelope::read(&[extra, &token[..]].concat()).is_none());
        }
        let mut deep = prost;
        deep.blocks = vec![deep.authority.clone(); BLOCKS_MAX];
        assert!(Envelope::read(&deep.encode_to_vec()).is_none(), "ten blocks");
    }

    #[test]
    fn refuses_a_number_in_a_longer_form() {
        let token = token();
        assert_eq!(token[0], 0x08, "the key's number comes first");
        let longer = [&[0x08, token[1] | 0x80, 0x00], &token[2..]].concat();
        assert!(schema::Biscuit::decode(&longer[..]).is_ok());
        assert!(Envelope::read(&longer).is_none());
    }
}
