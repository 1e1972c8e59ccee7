//! Reading a token for [`super::World`]: its protobuf, spelled out, and nothing judged but what cannot be read.

use super::datalog::{Fact, Query, Step, Trusted, Value};
use biscuit_auth::{
    datalog::SymbolTable,
    format::schema::{self, op, proof, scope, term},
};
use prost_biscuit::Message;

/// A token, with its symbols resolved.
#[derive(Clone, Debug)]
pub struct Token {
    /// The number of the root key.
    pub key_id: u32,
    /// The authority block, and those after it.
    pub blocks: Vec<Block>,
    /// What ends it.
    pub proof: Proof,
}

/// One signed block.
#[derive(Clone, Debug)]
pub struct Block {
    /// What is signed.
    pub bytes: Vec<u8>,
    /// The key of the next block.
    pub next_key: Vec<u8>,
    /// By the key that the block before names.
    pub signature: Vec<u8>,
    /// The version of what is signed.
    pub payload_version: Option<u32>,
    /// The third party that signed it too.
    pub external: Option<External>,
    /// The version of its Datalog.
    pub version: Option<u32>,
    /// Its table of keys.
    pub keys: Vec<Vec<u8>>,
    /// What it says.
    pub facts: Vec<Fact>,
    /// What it demands.
    pub checks: Vec<Check>,
}

/// A third party's signature.
#[derive(Clone, Debug)]
pub struct External {
    /// Whose.
    pub key: Vec<u8>,
    /// The signature.
    pub signature: Vec<u8>,
}

/// One `check if`, with its queries.
#[derive(Clone, Debug)]
pub struct Check(pub Vec<Query>);

/// The end of the chain.
#[derive(Clone, Debug)]
pub enum Proof {
    /// The last key's secret: the holder may append.
    Secret([u8; 32]),
    /// The last key's signature: nobody may.
    Seal(Vec<u8>),
}

impl Token {
    /// Reads a token; `None` when it says anything that this reader has no word for.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let token = schema::Biscuit::decode(bytes).ok()?;
        let proof = match token.proof.content? {
            proof::Content::NextSecret(secret) => Proof::Secret(secret.try_into().ok()?),
            proof::Content::FinalSignature(signature) => Proof::Seal(signature),
        };
        let mut texts = Vec::new();
        let mut blocks = Vec::new();
        for signed in std::iter::once(token.authority).chain(token.blocks) {
            blocks.push(read_block(signed, &mut texts)?);
        }
        Some(Self { key_id: token.root_key_id?, blocks, proof })
    }

    /// Returns the facts of the authority block.
    pub fn facts(&self) -> &[Fact] {
        &self.blocks[0].facts
    }

    /// Walks all checks, each with the place of its block.
    pub fn checks(&self) -> impl Iterator<Item = (usize, &Check)> {
        self.blocks.iter().enumerate().flat_map(|(place, block)| block.checks.iter().map(move |check| (place, check)))
    }

    /// Walks the checks of the appended blocks, in order.
    pub fn appended(&self) -> impl Iterator<Item = (usize, &Check)> {
        self.checks().filter(|(place, _)| *place > 0)
    }

    /// Returns the one text of the fact `name`.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.facts().iter().find(|fact| fact.name == name).and_then(|fact| match &fact.terms[..] {
            [Value::Text(text)] => Some(text.as_str()),
            _ => None,
        })
    }

    /// Returns the one date of the fact `name`.
    pub fn date(&self, name: &str) -> Option<u64> {
        self.facts().iter().find(|fact| fact.name == name).and_then(|fact| match fact.terms[..] {
            [Value::Date(date)] => Some(date),
            _ => None,
        })
    }
}

fn read_block(signed: schema::SignedBlock, texts: &mut Vec<String>) -> Option<Block> {
    let block = schema::Block::decode(&signed.block[..]).ok()?;
    let plain = block.rules.is_empty() && block.scope.is_empty() && block.context.is_none();
    if !plain || signed.next_key.algorithm != 0 {
        return None;
    }
    let key = |key: &schema::PublicKey| (key.algorithm == 0).then(|| key.key.clone());
    let keys = block.public_keys.iter().map(key).collect::<Option<Vec<_>>>()?;
    let external = match signed.external_signature {
        Some(external) => Some(External { key: key(&external.public_key)?, signature: external.signature }),
        None => None,
    };
    // A third party knows none of the token's texts, and the token none of its.
    let texts = match &external {
        Some(_) => &block.symbols,
        None => {
            texts.extend(block.symbols);
            &*texts
        }
    };
    let words = Words { default: SymbolTable::new(), texts, keys: &keys };
    let facts = block.facts.iter().map(|fact| words.fact(&fact.predicate)).collect::<Option<_>>()?;
    let checks = block.checks.iter().map(|check| words.check(check)).collect::<Option<_>>()?;
    Some(Block {
        bytes: signed.block,
        next_key: signed.next_key.key,
        signature: signed.signature,
        payload_version: signed.version,
        external,
        version: block.version,
        keys,
        facts,
        checks,
    })
}

/// Biscuit's default table, the texts that a block knows from number 1024, and its keys.
struct Words<'a> {
    default: SymbolTable,
    texts: &'a [String],
    keys: &'a [Vec<u8>],
}

impl Words<'_> {
    fn text(&self, number: u64) -> Option<String> {
        let own = |number: u64| self.texts.get(usize::try_from(number).ok()?).map(String::as_str);
        let text = if number < 1024 { self.default.get_symbol(number) } else { own(number - 1024) };
        text.map(str::to_owned)
    }

    fn value(&self, term: &schema::Term) -> Option<Value> {
        Some(match term.content.as_ref()? {
            term::Content::Variable(number) => Value::Variable(*number),
            term::Content::Integer(number) => Value::Int(*number),
            term::Content::String(number) => Value::Text(self.text(*number)?),
            term::Content::Date(date) => Value::Date(*date),
            term::Content::Bytes(bytes) => Value::Bytes(bytes.clone()),
            term::Content::Bool(truth) => Value::Bool(*truth),
            term::Content::Set(set) => Value::Set(set.set.iter().map(|t| self.value(t)).collect::<Option<_>>()?),
            term::Content::Null(_) | term::Content::Array(_) | term::Content::Map(_) => return None,
        })
    }

    fn fact(&self, predicate: &schema::Predicate) -> Option<Fact> {
        let terms = predicate.terms.iter().map(|term| self.value(term)).collect::<Option<_>>()?;
        Some(Fact { name: self.text(predicate.name)?, terms })
    }

    fn check(&self, check: &schema::Check) -> Option<Check> {
        // The profile has one kind of check, which is none.
        if check.kind.is_some() {
            return None;
        }
        check.queries.iter().map(|query| self.query(query)).collect::<Option<_>>().map(Check)
    }

    fn query(&self, rule: &schema::Rule) -> Option<Query> {
        let body = rule.body.iter().map(|predicate| self.fact(predicate)).collect::<Option<_>>()?;
        let steps = |expression: &schema::Expression| expression.ops.iter().map(|op| self.step(op)).collect();
        let expressions = rule.expressions.iter().map(steps).collect::<Option<_>>()?;
        let trusting = rule.scope.iter().map(|scope| self.trusted(scope)).collect::<Option<_>>()?;
        Some(Query { body, expressions, trusting })
    }

    fn trusted(&self, scope: &schema::Scope) -> Option<Trusted> {
        match scope.content.as_ref()? {
            scope::Content::ScopeType(0) => Some(Trusted::Authority),
            scope::Content::ScopeType(_) => None,
            scope::Content::PublicKey(number) => {
                self.keys.get(usize::try_from(*number).ok()?).cloned().map(Trusted::Key)
            }
        }
    }

    /// The numbers are those of Biscuit's `schema.proto`.
    fn step(&self, op: &schema::Op) -> Option<Step> {
        Some(match op.content.as_ref()? {
            op::Content::Value(term) => Step::Push(self.value(term)?),
            op::Content::Unary(unary) if unary.kind == 0 => Step::Not,
            op::Content::Binary(binary) => match binary.kind {
                0 => Step::Less,
                2 => Step::LessOrEqual,
                3 => Step::GreaterOrEqual,
                5 => Step::Contains,
                6 => Step::StartsWith,
                _ => return None,
            },
            op::Content::Unary(_) | op::Content::Closure(_) => return None,
        })
    }
}
