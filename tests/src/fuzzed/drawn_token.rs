//! A token whose blocks are drawn from bytes: mostly near the profile, since what is far from it is refused at once.
//!
//! The words are few, and so are the ways to bend a check, so that a fuzzer finds its way from one shape to the next.

use super::drawn_hop::{DELEGABLE, drawn_hop};
use crate::vectors::{
    accepted::chain_blocks,
    forge::{ROOT_ID, bytes, public},
    hops::{Link, sign_links},
    player::{self, AUDIENCE, HOLDER, NOW},
};
use arbitrary::{Result, Unstructured};
use biscuit_auth::{
    datalog::SymbolTable,
    format::schema::{
        Biscuit, Block, Check, Expression, ExternalSignature, Fact, Op, OpBinary, OpUnary, Predicate, Proof, PublicKey,
        Rule, Scope, SignedBlock, Term, TermSet, op, proof, scope, term,
    },
};
use crumb_token::{Args, Ask, Scalar};
use prost_biscuit::Message as _;
use std::sync::LazyLock;

/// Blocks that nobody has signed yet, and calls to decide.
pub(super) struct Drawn {
    pub(super) blocks: Vec<Block>,
    /// The seed of the third party that signs each.
    pub(super) by: Vec<Option<[u8; 32]>>,
    pub(super) asks: Vec<Ask>,
}

const NAMES: [&str; 13] = [
    "tool",
    "operation",
    "resource",
    "server",
    "peer",
    "time",
    "args_digest",
    "nonce",
    "arg",
    "grant",
    "query",
    "expires_at",
    "depth_limit",
];
const TEXTS: [&str; 16] = [
    "read_file",
    "stat_file",
    "read",
    "stat",
    "file:///docs/readme.md",
    "file:///docs/",
    "file:///docs",
    AUDIENCE,
    HOLDER,
    "",
    "n",
    "a",
    "notes/",
    "\u{fc}\n",
    "exact",
    "under",
];
/// Predicates that a check can demand a word of, and such words.
const PLAIN: [(&str, &[&str]); 5] = [
    ("tool", &["read_file", "stat_file"]),
    ("operation", &["read", "stat"]),
    ("resource", &["file:///docs/readme.md", "file:///docs/"]),
    ("server", &[AUDIENCE, "https://tools.acme.example/mcp"]),
    ("peer", &[HOLDER, "spiffe://acme.example/agent/planner"]),
];
/// The head of every check: 27 is the number of `query`.
const HEAD: Predicate = Predicate { name: 27, terms: vec![] };
/// Operators of Biscuit, the profile's and a few others.
const OPERATORS: [i32; 9] = [0, 2, 3, 5, 6, 1, 4, 8, 20];

static AUTHORITY: LazyLock<Vec<Block>> = LazyLock::new(|| chain_blocks(&[]));

impl Drawn {
    pub(super) fn from(u: &mut Unstructured<'_>) -> Result<Self> {
        // By the last byte, which comes last to mean something else too: every input without hops stays what it was.
        let hops = u.peek_bytes(u.len()).and_then(|bytes| bytes.last()).is_some_and(|last| last % 4 == 3);
        let mut blocks = if hops { DELEGABLE.clone() } else { AUTHORITY.clone() };
        let mut writer = Writer { texts: blocks[0].symbols.clone(), own: vec![] };
        if u.ratio(1, 8)? {
            bend(&mut blocks[0], &mut writer, u)?;
            blocks[0].symbols.append(&mut writer.own);
        }
        // Before the first hop no block is in order.
        if !hops || u.ratio(1, 8)? {
            for _ in 0..u.int_in_range(0..=3)? {
                blocks.push(writer.block(u)?);
            }
        }
        let mut by = vec![None; blocks.len()];
        if hops {
            for place in 0..u.int_in_range(1..=2)? {
                let (block, seed) = drawn_hop(place, u)?;
                blocks.push(block);
                by.push(Some(seed));
                if u.ratio(1, 2)? {
                    blocks.push(writer.block(u)?);
                    by.push(None);
                }
            }
        }
        let asks = vec![player::ask(&player::call()).expect("a call"), ask(u)?];
        Ok(Self { blocks, by, asks })
    }

    /// Returns a token with empty signatures, which is all that the gate looks at. Signing takes longer than the rest.
    pub(super) fn unsigned(&self) -> Vec<u8> {
        let mut version = None;
        let mut signed = self.links().into_iter().map(|Link { block, by }| {
            let external_signature = by.map(|seed| ExternalSignature {
                signature: vec![0; 64],
                public_key: PublicKey { algorithm: 0, key: public(seed).to_vec() },
            });
            version = version.or_else(|| by.map(|_| 1));
            let next_key = PublicKey { algorithm: 0, key: vec![0; 32] };
            SignedBlock { block, next_key, signature: vec![0; 64], external_signature, version }
        });
        let authority = signed.next().expect("an authority block");
        let proof = Proof { content: Some(proof::Content::NextSecret(vec![0; 32])) };
        bytes(&Biscuit { root_key_id: Some(ROOT_ID), authority, blocks: signed.collect(), proof })
    }

    /// Returns the token, signed.
    pub(super) fn signed(&self) -> Vec<u8> {
        bytes(&sign_links(&self.links()))
    }

    /// Returns the authority block alone, signed.
    pub(super) fn task_token(&self) -> Vec<u8> {
        bytes(&sign_links(&self.links()[..1]))
    }

    fn links(&self) -> Vec<Link> {
        let link = |(block, by): (&Block, &Option<[u8; 32]>)| Link { block: block.encode_to_vec(), by: *by };
        self.blocks.iter().zip(&self.by).map(link).collect()
    }
}

/// A call with arguments that the words of a check may meet.
fn ask(u: &mut Unstructured<'_>) -> Result<Ask> {
    let value = match u.int_in_range(0..=2)? {
        0 => Scalar::text(u.choose(&TEXTS)?).expect("short"),
        1 => Scalar::Int(u.int_in_range(-4..=9)?),
        _ => Scalar::Bool(u.arbitrary()?),
    };
    let args = Args::try_new([(player::word("n"), value)]).expect("one");
    let args_digest = u.ratio(1, 2)?.then_some([0x11; 32]);
    let tool = player::word(if u.ratio(3, 4)? { "read_file" } else { "stat_file" });
    let operation = player::word(if u.ratio(3, 4)? { "read" } else { "stat" });
    Ok(Ask { args, args_digest, ..Ask::new(tool, operation, player::word("file:///docs/readme.md")) })
}

/// Changes one thing of an authority block.
fn bend(block: &mut Block, writer: &mut Writer, u: &mut Unstructured<'_>) -> Result<()> {
    let fact = u.choose_index(block.facts.len())?;
    let check = u.choose_index(block.checks.len())?;
    match u.int_in_range(0..=6)? {
        0 => drop(block.facts.remove(fact)),
        1 => block.facts.push(block.facts[fact].clone()),
        2 => {
            let terms = &mut block.facts[fact].predicate.terms;
            let place = u.choose_index(terms.len())?;
            terms[place] = writer.term(u, 0)?;
        }
        3 => block.facts.swap(0, fact),
        4 => drop(block.checks.remove(check)),
        5 => block.checks[check] = writer.check(u)?,
        _ => block.facts.push(Fact { predicate: writer.predicate(u)? }),
    }
    Ok(())
}

/// Writes blocks, and remembers the symbols of those before.
struct Writer {
    texts: Vec<String>,
    own: Vec<String>,
}

impl Writer {
    fn block(&mut self, u: &mut Unstructured<'_>) -> Result<Block> {
        let mut block = Block { version: Some(3), ..Block::default() };
        for _ in 0..u.int_in_range(1..=3)? {
            block.checks.push(self.check(u)?);
        }
        if u.ratio(1, 8)? {
            match u.int_in_range(0..=5)? {
                0 => block.facts.push(Fact { predicate: self.predicate(u)? }),
                1 => block.rules.push(self.query(u)?),
                2 => block.scope.push(previous()),
                3 => block.version = Some(u.int_in_range(0..=7)?),
                4 => block.context = Some(String::new()),
                _ => self.own.push((*u.choose(&TEXTS)?).to_owned()),
            }
        }
        block.symbols = std::mem::take(&mut self.own);
        Ok(block)
    }

    fn check(&mut self, u: &mut Unstructured<'_>) -> Result<Check> {
        let mut query = if u.ratio(3, 4)? { self.listed(u)? } else { self.query(u)? };
        if u.ratio(1, 6)? {
            self.bend_query(&mut query, u)?;
        }
        let mut queries = vec![query];
        if u.ratio(1, 16)? {
            queries.push(self.query(u)?);
        }
        let kind = if u.ratio(1, 16)? { Some(u.int_in_range(1..=3)?) } else { None };
        Ok(Check { queries, kind })
    }

    /// A query of the closed list.
    fn listed(&mut self, u: &mut Unstructured<'_>) -> Result<Rule> {
        let v = || step(term::Content::Variable(0));
        let (name, expressions) = match u.int_in_range(0..=10)? {
            0 => {
                let (name, words) = *u.choose(&PLAIN)?;
                let word = self.text(u.choose(words)?);
                return Ok(self.rule(name, word, vec![]));
            }
            1 => return Ok(self.rule("args_digest", bytes_of(32), vec![])),
            2 => return Ok(self.rule("nonce", bytes_of(16), vec![])),
            3 => {
                let value = self.scalar(u)?;
                return Ok(self.rule("arg", value, vec![]));
            }
            4 => {
                let words: Vec<Term> = PLAIN[0].1.iter().map(|tool| self.text(tool)).collect();
                let len = u.int_in_range(1..=words.len())?;
                ("tool", vec![vec![set(words[..len].to_vec()), v(), binary(5)]])
            }
            5 => {
                let prefix = self.text(u.choose(&["file:///docs/", "file:///", "", "repo:"])?);
                ("resource", vec![vec![v(), op::Content::Value(prefix), binary(6)]])
            }
            6 => ("time", vec![vec![v(), step(term::Content::Date(NOW + u.int_in_range(0..=3)?)), binary(0)]]),
            7 => {
                let elements = if u.arbitrary()? { self.texts(u)? } else { integers(u)? };
                ("arg", vec![vec![set(elements), v(), binary(5)]])
            }
            8 => {
                let empty = op::Content::Value(self.text(""));
                let not_in = vec![set(self.texts(u)?), v(), binary(5), unary(0)];
                ("arg", vec![not_in, vec![v(), empty, binary(6)]])
            }
            9 => {
                let bound = |u: &mut Unstructured<'_>| Ok(step(term::Content::Integer(u.int_in_range(-4..=9)?)));
                ("arg", vec![vec![v(), bound(u)?, binary(3)], vec![v(), bound(u)?, binary(2)]])
            }
            _ => {
                let prefix = op::Content::Value(self.text(u.choose(&TEXTS)?));
                ("arg", if u.arbitrary()? { vec![] } else { vec![vec![v(), prefix, binary(6)]] })
            }
        };
        Ok(self.rule(name, Term { content: Some(term::Content::Variable(0)) }, expressions))
    }

    fn rule(&mut self, name: &str, last: Term, expressions: Vec<Vec<op::Content>>) -> Rule {
        let terms = if name == "arg" { vec![self.text("n"), last] } else { vec![last] };
        let body = vec![Predicate { name: self.number(name), terms }];
        let expressions = expressions.into_iter().map(expression).collect();
        Rule { head: HEAD, body, expressions, ..Rule::default() }
    }

    /// Changes one thing of a query.
    fn bend_query(&mut self, query: &mut Rule, u: &mut Unstructured<'_>) -> Result<()> {
        match u.int_in_range(0..=6)? {
            0 => query.body.push(self.predicate(u)?),
            1 => query.scope.push(previous()),
            2 => query.head.terms.push(self.term(u, 0)?),
            3 => query.body[0].name = self.number(u.choose(&NAMES)?),
            4 => {
                let terms = &mut query.body[0].terms;
                let place = u.choose_index(terms.len())?;
                terms[place] = self.term(u, 0)?;
            }
            _ => {
                let Some(expression) = query.expressions.first_mut() else {
                    query.expressions.push(self.expression(0, u)?);
                    return Ok(());
                };
                let place = u.choose_index(expression.ops.len())?;
                match u.int_in_range(0..=3)? {
                    0 => drop(expression.ops.remove(place)),
                    1 => expression.ops.swap(0, place),
                    2 => expression.ops[place].content = Some(op::Content::Value(self.term(u, 0)?)),
                    _ => expression.ops[place].content = Some(self.operator(u)?),
                }
            }
        }
        Ok(())
    }

    /// Any query of one predicate.
    fn query(&mut self, u: &mut Unstructured<'_>) -> Result<Rule> {
        let mut rule = Rule { head: HEAD, body: vec![self.predicate(u)?], ..Rule::default() };
        let variable = rule.body[0].terms.iter().find_map(|term| match term.content {
            Some(term::Content::Variable(number)) => Some(number),
            _ => None,
        });
        if let Some(variable) = variable {
            for _ in 0..u.int_in_range(0..=2)? {
                rule.expressions.push(self.expression(variable, u)?);
            }
        }
        Ok(rule)
    }

    fn predicate(&mut self, u: &mut Unstructured<'_>) -> Result<Predicate> {
        let name = *u.choose(&NAMES)?;
        let mut terms = Vec::new();
        if name == "arg" {
            terms.push(self.text("n"));
        }
        terms.push(self.term(u, 0)?);
        if u.ratio(1, 16)? {
            terms.push(self.term(u, 0)?);
        }
        Ok(Predicate { name: self.number(name), terms })
    }

    /// Two operands and an operator, or any steps at all; with or without a `!` behind.
    fn expression(&mut self, variable: u32, u: &mut Unstructured<'_>) -> Result<Expression> {
        let variable = || step(term::Content::Variable(variable));
        let constant = op::Content::Value(self.term(u, 0)?);
        let mut steps = match u.int_in_range(0..=4)? {
            0 => vec![variable(), constant, self.operator(u)?],
            1 => vec![constant, variable(), self.operator(u)?],
            2 => vec![variable(), variable(), self.operator(u)?],
            _ => {
                let mut steps = vec![constant];
                for _ in 0..u.int_in_range(0..=4)? {
                    steps.push(if u.arbitrary()? { self.operator(u)? } else { op::Content::Value(self.term(u, 0)?) });
                }
                steps
            }
        };
        if u.ratio(1, 4)? {
            steps.push(unary(u.int_in_range(0..=2)?));
        }
        Ok(expression(steps))
    }

    fn operator(&self, u: &mut Unstructured<'_>) -> Result<op::Content> {
        let ffi_name = u.ratio(1, 32)?.then_some(5);
        Ok(op::Content::Binary(OpBinary { kind: *u.choose(&OPERATORS)?, ffi_name }))
    }

    fn term(&mut self, u: &mut Unstructured<'_>, depth: u8) -> Result<Term> {
        let content = match u.int_in_range(0..=5)? {
            0 => term::Content::Variable(u.int_in_range(0..=1)?),
            1 => term::Content::Date(NOW + u.int_in_range(0..=3)? - 1),
            2 => return Ok(bytes_of(*u.choose(&[16, 32, 15, 0])?)),
            3 if depth == 0 => {
                let set = (0..u.int_in_range(0..=3)?).map(|_| self.term(u, 1)).collect::<Result<_>>()?;
                term::Content::Set(TermSet { set })
            }
            _ => return self.scalar(u),
        };
        Ok(Term { content: Some(content) })
    }

    fn scalar(&mut self, u: &mut Unstructured<'_>) -> Result<Term> {
        let content = match u.int_in_range(0..=3)? {
            0 => term::Content::Integer(u.int_in_range(-4..=9)?),
            1 => term::Content::Bool(u.arbitrary()?),
            _ => return Ok(self.text(u.choose(&TEXTS)?)),
        };
        Ok(Term { content: Some(content) })
    }

    fn texts(&mut self, u: &mut Unstructured<'_>) -> Result<Vec<Term>> {
        (0..u.int_in_range(1..=3)?).map(|_| Ok(self.text(u.choose(&TEXTS)?))).collect()
    }

    fn text(&mut self, text: &str) -> Term {
        Term { content: Some(term::Content::String(self.number(text))) }
    }

    /// Returns the number of a text, which is new when no block has it.
    fn number(&mut self, text: &str) -> u64 {
        if let Some(known) = SymbolTable::new().get(text) {
            return known;
        }
        let place = self.texts.iter().position(|t| t == text).unwrap_or_else(|| {
            self.texts.push(text.to_owned());
            self.own.push(text.to_owned());
            self.texts.len() - 1
        });
        1024 + u64::try_from(place).expect("few symbols")
    }
}

fn integers(u: &mut Unstructured<'_>) -> Result<Vec<Term>> {
    let integer = |i| Term { content: Some(term::Content::Integer(i)) };
    (0..u.int_in_range(1..=3)?).map(|_| Ok(integer(u.int_in_range(-4..=9)?))).collect()
}

fn bytes_of(len: usize) -> Term {
    Term { content: Some(term::Content::Bytes(vec![0x11; len])) }
}

fn step(content: term::Content) -> op::Content {
    op::Content::Value(Term { content: Some(content) })
}

fn set(elements: Vec<Term>) -> op::Content {
    step(term::Content::Set(TermSet { set: elements }))
}

fn binary(kind: i32) -> op::Content {
    op::Content::Binary(OpBinary { kind, ffi_name: None })
}

fn unary(kind: i32) -> op::Content {
    op::Content::Unary(OpUnary { kind, ffi_name: None })
}

fn expression(steps: Vec<op::Content>) -> Expression {
    Expression { ops: steps.into_iter().map(|content| Op { content: Some(content) }).collect() }
}

fn previous() -> Scope {
    Scope { content: Some(scope::Content::ScopeType(scope::ScopeType::Previous as i32)) }
}
