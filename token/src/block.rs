//! Writing blocks: facts and checks become a block's bytes, are signed, and take their place in a token.
//!
//! Apart from [`crate::mint`] and [`crate::attenuate`], which say what a block holds. The library could write blocks too, at
//! several times the cost: it parses the token it appends to and signs with a key that it derives anew each time.
//!
//! # Invariants
//!
//! - The bytes are those that stock Biscuit writes for the same facts and checks: texts numbered as they are met, facts
//!   before checks, sets in the order of their numbers.
//! - What the profile has no use for is not written: `None`.
//!
//! Nothing is checked against the profile; that is the callers'. Source: `schema.proto` of Biscuit 3.

use crate::{envelope::Key, payload, profile::HOP_PAYLOAD_VERSION, signer::Signer};
use biscuit_auth::{
    KeyPair, PublicKey,
    builder::{self, Binary, Check, CheckKind, Fact, Op, Predicate, Rule, Scope, Unary},
    datalog::SymbolTable,
    format::schema::{self, op, op_binary, op_unary, scope, term::Content},
};
use prost_biscuit::{Message, encoding};
use zeroize::Zeroizing;

/// Where the symbols of a token begin.
const OFFSET: usize = 1024;

/// Room for a signed block's key, signature and lengths, and for the proof after it.
const AROUND: usize = 192;

/// A field of the outer message that holds a signed block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The block of the root key.
    Authority = 2,
    /// One of those after it.
    Appended = 3,
}

/// Writes a block that comes after those whose texts are `earlier`; `None` when something in it has no place in the profile.
pub(crate) fn encode(earlier: &SymbolTable, facts: &[Fact], checks: &[Check], version: u32) -> Option<Vec<u8>> {
    let mut texts = Texts { earlier, own: Vec::new(), keys: Vec::new() };
    let fact = |fact: &Fact| Some(schema::Fact { predicate: texts.predicate(&fact.predicate)? });
    let facts = facts.iter().map(fact).collect::<Option<_>>()?;
    let checks = checks.iter().map(|check| texts.check(check)).collect::<Option<_>>()?;
    let public_keys = texts.keys.iter().map(public_key).collect();
    let block = schema::Block {
        symbols: texts.own,
        version: Some(version),
        facts,
        checks,
        public_keys,
        ..schema::Block::default()
    };
    Some(block.encode_to_vec())
}

fn public_key(key: &PublicKey) -> schema::PublicKey {
    schema::PublicKey { algorithm: schema::public_key::Algorithm::Ed25519 as i32, key: key.to_bytes() }
}

/// Where a block comes to stand.
pub(crate) struct After<'a> {
    /// The token up to there.
    pub(crate) before: &'a [u8],
    pub(crate) place: Place,
    /// The signature of the block before, when the block has to be bound to it: in a hop, and after one.
    pub(crate) previous: Option<&'a [u8]>,
    /// A third party's signature over the block.
    pub(crate) external: Option<schema::ExternalSignature>,
}

/// Signs `block` as a third party, for its place after the signature `previous`. `None` when the key does not sign.
pub(crate) fn external(previous: &[u8], block: &[u8], key: &KeyPair) -> Option<schema::ExternalSignature> {
    let signature = key.sign(&payload::of_third_party(previous, block)).ok()?.to_bytes().to_vec();
    Some(schema::ExternalSignature { signature, public_key: public_key(&key.public()) })
}

/// Puts `block`, signed with `key`, in its place, and ends the token there: whoever has it may append the next block.
/// `None` when the key does not sign.
pub(crate) fn sign(after: &After<'_>, block: Vec<u8>, key: &impl Signer) -> Option<Zeroizing<Vec<u8>>> {
    let next = key.next()?;
    let next_key =
        schema::PublicKey { algorithm: schema::public_key::Algorithm::Ed25519 as i32, key: next.public.to_vec() };
    let version = after.previous.map(|_| HOP_PAYLOAD_VERSION);
    let external = after.external.as_ref().map(|external| &external.signature[..]);
    let named = Key { algorithm: Key::ED25519, bytes: &next_key.key };
    let payload = payload::of_block(version, after.previous, &block, external, named)?;
    let signature = key.sign(&payload)?.to_vec();
    let signed =
        schema::SignedBlock { block, next_key, signature, external_signature: after.external.clone(), version };
    // As long as it will be: a vector that grows leaves copies of what it held, and the last part is a secret.
    let mut token = Zeroizing::new(Vec::with_capacity(after.before.len() + signed.encoded_len() + AROUND));
    token.extend_from_slice(after.before);
    encoding::message::encode(after.place as u32, &signed, &mut *token);
    let len = u8::try_from(next.secret.len()).ok()?;
    // The proof is field 4, and the secret field 1 of it, both with their lengths before them.
    token.extend_from_slice(&[4 << 3 | 2, len.checked_add(2)?, 1 << 3 | 2, len]);
    token.extend_from_slice(next.secret.as_slice());
    Some(token)
}

/// The texts of a token so far, each with its number.
struct Texts<'a> {
    earlier: &'a SymbolTable,
    own: Vec<String>,
    /// The keys that queries trust, each with its number. Blocks with keys come first or stand alone, so they begin at 0.
    keys: Vec<PublicKey>,
}

impl Texts<'_> {
    fn number(&mut self, text: &str) -> Option<u64> {
        if let Some(known) = self.earlier.get(text) {
            return Some(known);
        }
        let own = self.own.iter().position(|known| known == text).unwrap_or_else(|| {
            self.own.push(text.to_owned());
            self.own.len() - 1
        });
        u64::try_from(OFFSET + self.earlier.current_offset() + own).ok()
    }

    fn check(&mut self, check: &Check) -> Option<schema::Check> {
        if check.kind != CheckKind::One {
            return None;
        }
        let queries = check.queries.iter().map(|query| self.query(query)).collect::<Option<_>>()?;
        Some(schema::Check { queries, kind: None })
    }

    fn query(&mut self, rule: &Rule) -> Option<schema::Rule> {
        let head = self.predicate(&rule.head)?;
        let body = rule.body.iter().map(|predicate| self.predicate(predicate)).collect::<Option<_>>()?;
        let mut expression = |e: &builder::Expression| {
            let ops = e.ops.iter().map(|op| self.op(op)).collect::<Option<_>>()?;
            Some(schema::Expression { ops })
        };
        let expressions = rule.expressions.iter().map(&mut expression).collect::<Option<_>>()?;
        let scope = rule.scopes.iter().map(|scope| self.scope(scope)).collect::<Option<_>>()?;
        Some(schema::Rule { head, body, expressions, scope })
    }

    fn scope(&mut self, scope: &Scope) -> Option<schema::Scope> {
        let content = match scope {
            Scope::Authority => scope::Content::ScopeType(scope::ScopeType::Authority as i32),
            Scope::PublicKey(key) => {
                let number = self.keys.iter().position(|known| known == key).unwrap_or_else(|| {
                    self.keys.push(*key);
                    self.keys.len() - 1
                });
                scope::Content::PublicKey(i64::try_from(number).ok()?)
            }
            Scope::Previous | Scope::Parameter(_) => return None,
        };
        Some(schema::Scope { content: Some(content) })
    }

    fn predicate(&mut self, predicate: &Predicate) -> Option<schema::Predicate> {
        let name = self.number(&predicate.name)?;
        let terms = predicate.terms.iter().map(|term| self.term(term)).collect::<Option<_>>()?;
        Some(schema::Predicate { name, terms })
    }

    fn term(&mut self, term: &builder::Term) -> Option<schema::Term> {
        let content = match term {
            builder::Term::Variable(name) => Content::Variable(u32::try_from(self.number(name)?).ok()?),
            builder::Term::Integer(i) => Content::Integer(*i),
            builder::Term::Str(text) => Content::String(self.number(text)?),
            builder::Term::Date(date) => Content::Date(*date),
            builder::Term::Bytes(bytes) => Content::Bytes(bytes.clone()),
            builder::Term::Bool(b) => Content::Bool(*b),
            builder::Term::Set(set) => {
                let mut set = set.iter().map(|term| self.term(term)).collect::<Option<Vec<_>>>()?;
                set.sort_by_key(|term| match term.content {
                    Some(Content::String(number)) => i128::from(number),
                    Some(Content::Integer(i)) => i128::from(i),
                    _ => 0,
                });
                Content::Set(schema::TermSet { set })
            }
            builder::Term::Null | builder::Term::Array(_) | builder::Term::Map(_) | builder::Term::Parameter(_) => {
                return None;
            }
        };
        Some(schema::Term { content: Some(content) })
    }

    fn op(&mut self, op: &Op) -> Option<schema::Op> {
        let content = match op {
            Op::Value(term) => op::Content::Value(self.term(term)?),
            Op::Unary(Unary::Negate) => {
                op::Content::Unary(schema::OpUnary { kind: op_unary::Kind::Negate as i32, ffi_name: None })
            }
            Op::Binary(binary) => {
                let kind = match binary {
                    Binary::LessThan => op_binary::Kind::LessThan,
                    Binary::LessOrEqual => op_binary::Kind::LessOrEqual,
                    Binary::GreaterOrEqual => op_binary::Kind::GreaterOrEqual,
                    Binary::Contains => op_binary::Kind::Contains,
                    Binary::Prefix => op_binary::Kind::Prefix,
                    _ => return None,
                };
                op::Content::Binary(schema::OpBinary { kind: kind as i32, ffi_name: None })
            }
            Op::Unary(_) | Op::Closure(..) => return None,
        };
        Some(schema::Op { content: Some(content) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Caveat, Scalar,
        caveat::ArgRule,
        fixture::{claims, root, token},
        mint,
        profile::BLOCK_VERSION,
        shape::to_check,
    };
    use biscuit_auth::{Biscuit, UnverifiedBiscuit, builder::BlockBuilder};
    use std::collections::BTreeSet;

    fn every_kind() -> Vec<Caveat> {
        let arg = |rule| Caveat::Arg { name: "name".parse().expect("a name"), rule };
        let texts = || ["zeta", "alpha", "read"].map(Box::from).into_iter().collect::<BTreeSet<_>>();
        vec![
            Caveat::Tool("read_file".parse().expect("a tool")),
            Caveat::ToolOneOf(["z", "a", "read_file"].map(|t| t.parse().expect("a tool")).into()),
            Caveat::Operation("read".parse().expect("an operation")),
            Caveat::Resource("docs/*".parse().expect("a pattern")),
            Caveat::Resource("docs/a".parse().expect("a pattern")),
            Caveat::ArgsDigest([5; 32]),
            Caveat::Nonce([6; 16]),
            Caveat::Audience(claims().audience),
            Caveat::Holder(claims().holder),
            Caveat::ExpiresAt(claims().expires_at),
            arg(ArgRule::OneOf(texts())),
            arg(ArgRule::NotOneOf(texts())),
            arg(ArgRule::OneOfNumbers([3, -9, 0].into())),
            arg(ArgRule::Range { min: -1, max: 9 }),
            arg(ArgRule::Prefix("notes/".into())),
            arg(ArgRule::Is(Scalar::Bool(true))),
        ]
    }

    #[test]
    fn writes_the_bytes_that_the_library_writes() {
        let parent = token(&claims());
        let stock = UnverifiedBiscuit::from(&parent).expect("a token");
        let mut builder = BlockBuilder::new();
        for caveat in every_kind() {
            builder = builder.check(to_check(&caveat)).expect("a check");
        }
        let appended = stock.append(builder).and_then(|t| t.to_vec()).expect("appends");
        let theirs = schema::Biscuit::decode(&appended[..]).expect("a token").blocks.remove(0).block;

        let authority = schema::Biscuit::decode(&parent[..]).expect("a token").authority.block;
        let symbols = schema::Block::decode(&authority[..]).expect("a block").symbols;
        let earlier = SymbolTable::from(symbols).expect("no text twice");
        let checks: Vec<_> = every_kind().iter().map(to_check).collect();
        assert_eq!(encode(&earlier, &[], &checks, BLOCK_VERSION), Some(theirs));
    }

    #[test]
    fn an_authority_block_is_the_librarys_too() {
        let mut builder = Biscuit::builder();
        for fact in mint::facts(&claims()) {
            builder = builder.fact(fact).expect("a fact");
        }
        for check in mint::checks(&claims()).expect("a key") {
            builder = builder.check(check).expect("a check");
        }
        let stock = builder.build(&root()).and_then(|t| t.to_vec()).expect("builds");
        let theirs = schema::Biscuit::decode(&stock[..]).expect("a token").authority.block;
        let ours = schema::Biscuit::decode(&token(&claims())[..]).expect("a token").authority.block;
        assert_eq!(ours, theirs);
    }

    #[test]
    fn the_library_verifies_what_was_signed_here() {
        Biscuit::from(token(&claims()), root().public()).expect("the root key's");
        assert!(Biscuit::from(token(&claims()), KeyPair::new().public()).is_err());
    }

    #[test]
    fn refuses_what_the_profile_has_no_use_for() {
        let none = SymbolTable::new();
        let null = Fact::new("a".to_owned(), vec![builder::Term::Null]);
        assert_eq!(encode(&none, &[null], &[], BLOCK_VERSION), None);
        let mut all = to_check(&Caveat::Nonce([1; 16]));
        all.kind = CheckKind::All;
        assert_eq!(encode(&none, &[], &[all], BLOCK_VERSION), None);
    }
}
