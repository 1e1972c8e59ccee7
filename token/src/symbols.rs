//! Reading a Biscuit block's protobuf: its symbols and its terms, as far as the profile uses them.
//!
//! Apart from [`crate::shape`], which says what a block may say; here is only how it is spelled.

use ahash::{HashSet, RandomState};
use biscuit_auth::{datalog::SymbolTable, format::schema};
use indexmap::IndexSet;
use schema::{op::Content as OpContent, term::Content};
use smallvec::SmallVec;
use std::sync::LazyLock;

/// Where the symbols of a token begin; below are the ones every Biscuit implementation knows.
const OFFSET: u64 = 1024;

/// The texts below.
static KNOWN: LazyLock<IndexSet<String, RandomState>> = LazyLock::new(|| {
    let table = SymbolTable::new();
    (0..OFFSET).map_while(|index| table.get_symbol(index).map(str::to_owned)).collect()
});

/// The texts of the blocks that were read, in the order of their numbers. Later blocks use them too.
#[derive(Clone, Debug, Default)]
pub struct Texts(IndexSet<String, RandomState>);

impl Texts {
    /// Takes the texts out of a block whose [`Symbols`] were read.
    pub fn take(&mut self, block: schema::Block) {
        self.0.extend(block.symbols);
    }

    /// Returns about how many bytes they take in memory.
    pub fn memory_len(&self) -> usize {
        self.0.iter().map(|text| size_of::<String>() + text.len()).sum()
    }
}

/// What the numbers in one block mean.
#[derive(Debug)]
pub struct Symbols<'a> {
    earlier: &'a Texts,
    own: &'a [String],
}

impl<'a> Symbols<'a> {
    /// Reads the symbols of `block`, which comes after those that gave `earlier`; `None` when one is there already, since
    /// Biscuit gives each text one number.
    pub fn read(earlier: &'a Texts, block: &'a schema::Block) -> Option<Self> {
        let own = &block.symbols[..];
        let mut seen = HashSet::with_capacity_and_hasher(own.len(), RandomState::default());
        let new = |text: &'a String| {
            !KNOWN.contains(text.as_str()) && !earlier.0.contains(text.as_str()) && seen.insert(text.as_str())
        };
        own.iter().all(new).then_some(())?;
        Some(Self { earlier, own })
    }

    /// Returns the text of a symbol.
    pub fn resolve(&self, index: u64) -> Option<&str> {
        let Some(own) = index.checked_sub(OFFSET) else {
            return KNOWN.get_index(usize::try_from(index).ok()?).map(String::as_str);
        };
        let index = usize::try_from(own).ok()?;
        match index.checked_sub(self.earlier.0.len()) {
            None => self.earlier.0.get_index(index).map(String::as_str),
            Some(own) => self.own.get(own).map(String::as_str),
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
    pub fn predicate<'t>(&'t self, predicate: &'t schema::Predicate) -> Option<(&'t str, Terms<'t>)> {
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

/// The terms of a predicate; no fact of the profile has more than four.
pub type Terms<'a> = SmallVec<[Term<'a>; 4]>;

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
