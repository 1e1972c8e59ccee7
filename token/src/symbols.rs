//! Reading a Biscuit block's protobuf: its symbols and its terms, as far as the profile uses them.
//!
//! Apart from [`crate::shape`], which says what a block may say; here is only how it is spelled.

use biscuit_auth::{datalog::SymbolTable, format::schema};
use schema::{op::Content as OpContent, term::Content};
use std::collections::HashSet;

/// Where the symbols of a token begin; below are the ones every Biscuit implementation knows.
const OFFSET: u64 = 1024;

/// The symbol table of a token while its blocks are read, in order.
#[derive(Debug)]
pub struct Symbols<'a> {
    known: SymbolTable,
    table: Vec<&'a str>,
    seen: HashSet<&'a str>,
}

impl<'a> Symbols<'a> {
    /// Begins with the symbols that every implementation knows.
    pub fn new() -> Self {
        Self { known: SymbolTable::new(), table: Vec::new(), seen: HashSet::new() }
    }

    /// Adds a block's own symbols, which later blocks can use too; `None` when one is there already, since Biscuit
    /// gives each text one number.
    pub fn extend(&mut self, block: &'a schema::Block) -> Option<()> {
        for symbol in &block.symbols {
            if self.known.get(symbol).is_some() || !self.seen.insert(symbol) {
                return None;
            }
            self.table.push(symbol);
        }
        Some(())
    }

    /// Returns the text of a symbol.
    pub fn resolve(&self, index: u64) -> Option<&str> {
        match index.checked_sub(OFFSET) {
            None => self.known.get_symbol(index),
            Some(i) => self.table.get(usize::try_from(i).ok()?).copied(),
        }
    }

    /// Reads a term; `None` for kinds that the profile does not use.
    pub fn term<'t>(&'t self, term: &'t schema::Term) -> Option<Term<'t>> {
        Some(match term.content.as_ref()? {
            Content::Variable(v) => Term::Var(*v),
            Content::Integer(i) => Term::Int(*i),
            Content::String(s) => Term::Text(self.resolve(*s)?),
            Content::Date(d) => Term::Date(*d),
            Content::Bytes(b) => Term::Bytes(b),
            Content::Bool(b) => Term::Bool(*b),
            Content::Set(set) => Term::Set(&set.set),
            Content::Null(_) | Content::Array(_) | Content::Map(_) => return None,
        })
    }

    /// Reads a predicate as its name and terms.
    pub fn predicate<'t>(&'t self, predicate: &'t schema::Predicate) -> Option<(&'t str, Vec<Term<'t>>)> {
        let terms = predicate.terms.iter().map(|t| self.term(t)).collect::<Option<_>>()?;
        Some((self.resolve(predicate.name)?, terms))
    }

    /// Reads an expression as a flat list; `None` when it has a closure, a foreign function or an unknown operator.
    pub fn expression<'t>(&'t self, expression: &'t schema::Expression) -> Option<Vec<Op<'t>>> {
        expression.ops.iter().map(|op| self.op(op)).collect()
    }

    fn op<'t>(&'t self, op: &'t schema::Op) -> Option<Op<'t>> {
        use schema::{op_binary::Kind, op_unary};
        match op.content.as_ref()? {
            OpContent::Value(term) => self.term(term).map(Op::Value),
            OpContent::Unary(u) if u.kind == op_unary::Kind::Negate as i32 && u.ffi_name.is_none() => Some(Op::Negate),
            OpContent::Binary(b) if b.ffi_name.is_none() => Some(match Kind::from_i32(b.kind)? {
                Kind::LessThan => Op::LessThan,
                Kind::LessOrEqual => Op::LessOrEqual,
                Kind::GreaterOrEqual => Op::GreaterOrEqual,
                Kind::Contains => Op::Contains,
                Kind::Prefix => Op::Prefix,
                _ => return None,
            }),
            OpContent::Unary(_) | OpContent::Binary(_) | OpContent::Closure(_) => None,
        }
    }
}

impl Default for Symbols<'_> {
    fn default() -> Self {
        Self::new()
    }
}

/// A term, with its symbols resolved.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Term<'a> {
    /// A variable, by its symbol.
    Var(u32),
    /// A number.
    Int(i64),
    /// A text.
    Text(&'a str),
    /// Seconds since the Unix epoch.
    Date(u64),
    /// Bytes.
    Bytes(&'a [u8]),
    /// True or false.
    Bool(bool),
    /// A set, unread.
    Set(&'a [schema::Term]),
}

/// One step of an expression in reverse Polish order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Op<'a> {
    /// Pushes a term.
    Value(Term<'a>),
    /// `!`.
    Negate,
    /// `<`.
    LessThan,
    /// `<=`.
    LessOrEqual,
    /// `>=`.
    GreaterOrEqual,
    /// `.contains()`.
    Contains,
    /// `.starts_with()`.
    Prefix,
}
