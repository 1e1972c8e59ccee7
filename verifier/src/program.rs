//! A token's rules, compiled: flat, in one piece, decided without a pointer to follow.
//!
//! Every grant and every caveat becomes an operation or the token is not compiled at all; none is skipped. Texts and numbers
//! lie in one arena, each once. The answer is yes or no; why not is said by [`crate::conditions`], which reads the rules in
//! their plain form and shares no code with this.
//!
//! Time, revocation and nonces are not here: the verifier looks at them itself.

use crate::conditions::Call;
use ahash::HashMap;
use crumb_token::{
    Args, Audience, Caveat, Claims, Grant, ResourcePattern, Scalar, SpiffeId, args::ArgName, caveat::ArgRule,
};
use smallvec::SmallVec;
use std::fmt;

/// A place in the arena.
#[derive(Clone, Copy, Debug)]
struct Span {
    at: u16,
    len: u16,
}

/// One step. Those that begin a list say how many steps belong to it; one of them has to hold.
#[derive(Clone, Copy, Debug)]
enum Op {
    /// Nothing is allowed: the token is for another tool server.
    Never,
    Peer(Span),
    Tool(Span),
    Operation(Span),
    Exactly(Span),
    Under(Span),
    ArgsDigest(Span),
    /// Some of as many pairs of [`Op::Grant`] and a resource.
    Grants(u16),
    Grant {
        tool: Span,
        operation: Span,
    },
    /// Some of as many [`Op::Tool`].
    Tools(u16),
    ArgPresent(Span),
    ArgIs {
        name: Span,
        text: Span,
    },
    ArgPrefix {
        name: Span,
        text: Span,
    },
    ArgInt {
        name: Span,
        number: Span,
    },
    ArgBool {
        name: Span,
        value: bool,
    },
    ArgRange {
        name: Span,
        ends: Span,
    },
    /// Some of as many [`Op::Text`]; none of them, when `not`.
    ArgTexts {
        name: Span,
        count: u16,
        not: bool,
    },
    Text(Span),
    /// Some of as many [`Op::Number`].
    ArgNumbers {
        name: Span,
        count: u16,
    },
    Number(Span),
}

/// The compiled rules of one token at one tool server.
pub(crate) struct Program {
    /// In place for a usual token, so that a look at a token is a look at two pieces of memory.
    ops: SmallVec<[Op; 16]>,
    /// Texts and numbers, then whatever the owner of the program keeps beside them.
    arena: Box<[u8]>,
    rules_len: usize,
}

impl Program {
    /// Compiles the rules for the tool server `server`, and keeps `beside` in the same piece of memory.
    ///
    /// `None` when they do not fit, which no token of the profile's size can reach.
    pub(crate) fn compile<'a>(
        claims: &'a Claims,
        holder: &'a SpiffeId,
        caveats: impl Iterator<Item = &'a Caveat>,
        server: &Audience,
        beside: &[u8],
    ) -> Option<Self> {
        let mut draft = Draft::default();
        draft.claims(claims, holder, server)?;
        for caveat in caveats {
            draft.caveat(caveat, server)?;
        }
        let Draft { ops, arena: rules, .. } = draft;
        // As long as it will be: a vector that grows leaves copies of what it held.
        let mut arena = Vec::with_capacity(rules.len() + beside.len());
        arena.extend_from_slice(&rules);
        arena.extend_from_slice(beside);
        Some(Self { ops, arena: arena.into(), rules_len: rules.len() })
    }

    /// Returns what is kept beside the rules.
    pub(crate) fn beside(&self) -> &[u8] {
        self.arena.get(self.rules_len..).unwrap_or_default()
    }

    /// Returns how many bytes the program takes.
    pub(crate) fn memory_len(&self) -> usize {
        self.arena.len() + self.ops.len() * size_of::<Op>()
    }

    /// Wipes what is kept beside the rules.
    pub(crate) fn wipe(&mut self) {
        zeroize::Zeroize::zeroize(&mut *self.arena);
    }

    /// Says whether every rule holds.
    pub(crate) fn allows(&self, call: &Call<'_>) -> bool {
        self.run(call).is_some()
    }

    fn run(&self, call: &Call<'_>) -> Option<()> {
        let (ask, mut ops) = (call.ask, self.ops.iter());
        while let Some(op) = ops.next() {
            let holds = match *op {
                Op::Never => false,
                Op::Peer(id) => self.is(id, call.peer.as_str())?,
                Op::Grants(count) => {
                    let (mut some, mut left) = (false, count);
                    while left > 0 {
                        let (grant, resource) = (ops.next()?, ops.next()?);
                        some = some || self.covers(grant, resource, call)?;
                        left -= 1;
                    }
                    some
                }
                Op::Tools(count) => self.some(&mut ops, count, |op| match op {
                    Op::Tool(tool) => self.is(*tool, ask.tool.as_str()),
                    _ => None,
                })?,
                Op::ArgsDigest(digest) => {
                    let wanted = self.bytes(digest)?;
                    ask.args_digest.is_some_and(|digest| digest == wanted)
                }
                Op::ArgTexts { name, count, not } => {
                    let Scalar::Text(value) = self.arg(name, &ask.args)? else { return None };
                    let some = self.some(&mut ops, count, |op| match op {
                        Op::Text(text) => self.is(*text, value),
                        _ => None,
                    })?;
                    some != not
                }
                Op::ArgNumbers { name, count } => {
                    let Scalar::Int(value) = self.arg(name, &ask.args)? else { return None };
                    self.some(&mut ops, count, |op| match op {
                        Op::Number(number) => Some(self.number(*number)? == *value),
                        _ => None,
                    })?
                }
                _ => self.single(op, call)?,
            };
            if !holds {
                return None;
            }
        }
        Some(())
    }

    /// Decides a step that stands alone.
    fn single(&self, op: &Op, call: &Call<'_>) -> Option<bool> {
        let ask = call.ask;
        Some(match *op {
            Op::Tool(tool) => self.is(tool, ask.tool.as_str())?,
            Op::Operation(operation) => self.is(operation, ask.operation.as_str())?,
            Op::Exactly(_) | Op::Under(_) => self.touches(op, call)?,
            Op::ArgPresent(name) => self.arg(name, &ask.args).is_some(),
            Op::ArgIs { name, text } => match self.arg(name, &ask.args)? {
                Scalar::Text(value) => self.is(text, value)?,
                Scalar::Int(_) | Scalar::Bool(_) => false,
            },
            Op::ArgPrefix { name, text } => match self.arg(name, &ask.args)? {
                Scalar::Text(value) => value.as_bytes().starts_with(self.bytes(text)?),
                Scalar::Int(_) | Scalar::Bool(_) => false,
            },
            Op::ArgInt { name, number } => *self.arg(name, &ask.args)? == Scalar::Int(self.number(number)?),
            Op::ArgBool { name, value } => *self.arg(name, &ask.args)? == Scalar::Bool(value),
            Op::ArgRange { name, ends } => match self.arg(name, &ask.args)? {
                Scalar::Int(value) => {
                    let (min, max) = self.bytes(ends)?.split_at_checked(8)?;
                    (i64::from_le_bytes(min.try_into().ok()?)..=i64::from_le_bytes(max.try_into().ok()?))
                        .contains(value)
                }
                Scalar::Text(_) | Scalar::Bool(_) => false,
            },
            // Steps of a list, out of their place.
            _ => return None,
        })
    }

    fn covers(&self, grant: &Op, resource: &Op, call: &Call<'_>) -> Option<bool> {
        let Op::Grant { tool, operation } = *grant else { return None };
        Some(
            self.is(tool, call.ask.tool.as_str())?
                && self.is(operation, call.ask.operation.as_str())?
                && self.touches(resource, call)?,
        )
    }

    fn touches(&self, resource: &Op, call: &Call<'_>) -> Option<bool> {
        let asked = call.ask.resource.as_str();
        match *resource {
            Op::Exactly(one) => self.is(one, asked),
            Op::Under(prefix) => Some(asked.as_bytes().starts_with(self.bytes(prefix)?)),
            _ => None,
        }
    }

    /// Takes `count` steps, whatever they say, and says whether one of them holds.
    fn some<'o>(
        &self,
        ops: &mut impl Iterator<Item = &'o Op>,
        count: u16,
        holds: impl Fn(&Op) -> Option<bool>,
    ) -> Option<bool> {
        let mut some = false;
        for _ in 0..count {
            some |= holds(ops.next()?)?;
        }
        Some(some)
    }

    fn arg<'c>(&self, name: Span, args: &'c Args) -> Option<&'c Scalar> {
        args.get(std::str::from_utf8(self.bytes(name)?).ok()?)
    }

    fn is(&self, span: Span, text: &str) -> Option<bool> {
        Some(self.bytes(span)? == text.as_bytes())
    }

    fn number(&self, span: Span) -> Option<i64> {
        Some(i64::from_le_bytes(self.bytes(span)?.try_into().ok()?))
    }

    fn bytes(&self, span: Span) -> Option<&[u8]> {
        self.arena.get(usize::from(span.at)..usize::from(span.at) + usize::from(span.len))
    }
}

/// What is kept beside the rules is a secret.
impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Program({} steps, {} bytes)", self.ops.len(), self.arena.len())
    }
}

/// A program in the making.
#[derive(Default)]
struct Draft<'a> {
    ops: SmallVec<[Op; 16]>,
    arena: Vec<u8>,
    texts: HashMap<&'a str, Span>,
}

impl<'a> Draft<'a> {
    fn claims(&mut self, claims: &'a Claims, holder: &'a SpiffeId, server: &Audience) -> Option<()> {
        if claims.audience != *server {
            self.ops.push(Op::Never);
        }
        let holder = self.text(holder.as_str())?;
        self.ops.push(Op::Peer(holder));
        self.ops.push(Op::Grants(u16::try_from(claims.grants.len()).ok()?));
        for Grant { tool, operation, resource } in claims.grants.iter() {
            let (tool, operation) = (self.text(tool.as_str())?, self.text(operation.as_str())?);
            self.ops.push(Op::Grant { tool, operation });
            self.resource(resource)?;
        }
        Some(())
    }

    fn caveat(&mut self, caveat: &'a Caveat, server: &Audience) -> Option<()> {
        let op = match caveat {
            Caveat::Tool(tool) => Op::Tool(self.text(tool.as_str())?),
            Caveat::ToolOneOf(tools) => {
                self.ops.push(Op::Tools(u16::try_from(tools.len()).ok()?));
                for tool in tools {
                    let tool = self.text(tool.as_str())?;
                    self.ops.push(Op::Tool(tool));
                }
                return Some(());
            }
            Caveat::Operation(operation) => Op::Operation(self.text(operation.as_str())?),
            Caveat::Resource(resource) => return self.resource(resource),
            Caveat::Arg { name, rule } => return self.arg(name, rule),
            Caveat::ArgsDigest(digest) => Op::ArgsDigest(self.place(digest)?),
            Caveat::Audience(audience) if audience == server => return Some(()),
            Caveat::Audience(_) => Op::Never,
            Caveat::Holder(holder) => Op::Peer(self.text(holder.as_str())?),
            // The verifier looks at these itself.
            Caveat::ExpiresAt(_) | Caveat::Nonce(_) => return Some(()),
        };
        self.ops.push(op);
        Some(())
    }

    fn resource(&mut self, resource: &'a ResourcePattern) -> Option<()> {
        let op = match resource {
            ResourcePattern::Exact(one) => Op::Exactly(self.text(one.as_str())?),
            ResourcePattern::Under(prefix) => Op::Under(self.text(prefix)?),
        };
        self.ops.push(op);
        Some(())
    }

    fn arg(&mut self, name: &'a ArgName, rule: &'a ArgRule) -> Option<()> {
        let name = self.text(name.as_str())?;
        let op = match rule {
            ArgRule::Is(Scalar::Text(text)) => Op::ArgIs { name, text: self.text(text)? },
            ArgRule::Is(Scalar::Int(number)) => Op::ArgInt { name, number: self.place(&number.to_le_bytes())? },
            ArgRule::Is(Scalar::Bool(value)) => Op::ArgBool { name, value: *value },
            ArgRule::OneOf(texts) | ArgRule::NotOneOf(texts) => {
                let (count, not) = (u16::try_from(texts.len()).ok()?, matches!(rule, ArgRule::NotOneOf(_)));
                self.ops.push(Op::ArgTexts { name, count, not });
                for text in texts {
                    let text = self.text(text)?;
                    self.ops.push(Op::Text(text));
                }
                return Some(());
            }
            ArgRule::OneOfNumbers(numbers) => {
                self.ops.push(Op::ArgNumbers { name, count: u16::try_from(numbers.len()).ok()? });
                for number in numbers {
                    let number = self.place(&number.to_le_bytes())?;
                    self.ops.push(Op::Number(number));
                }
                return Some(());
            }
            ArgRule::Range { min, max } => {
                Op::ArgRange { name, ends: self.place(&[min.to_le_bytes(), max.to_le_bytes()].concat())? }
            }
            ArgRule::Prefix(text) => Op::ArgPrefix { name, text: self.text(text)? },
            ArgRule::Present => Op::ArgPresent(name),
        };
        self.ops.push(op);
        Some(())
    }

    /// Places a text, or finds it: a token's symbols are each there once, however often they are used.
    fn text(&mut self, text: &'a str) -> Option<Span> {
        if let Some(span) = self.texts.get(text) {
            return Some(*span);
        }
        let span = self.place(text.as_bytes())?;
        self.texts.insert(text, span);
        Some(span)
    }

    fn place(&mut self, bytes: &[u8]) -> Option<Span> {
        let span = Span { at: u16::try_from(self.arena.len()).ok()?, len: u16::try_from(bytes.len()).ok()? };
        self.arena.extend_from_slice(bytes);
        Some(span)
    }
}
