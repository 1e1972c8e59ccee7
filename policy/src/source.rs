//! One file of Rego, parsed: within limits that keep the engine's own recursion shallow, and in one of the two packages.

use crate::{defect::Defect, marks::RESERVED};
use regorus::{
    Source,
    unstable::{Lexer, Module, Parser, TokenKind},
};
use std::{num::NonZeroU32, sync::Arc};

/// The package of the rules.
pub(crate) const ISSUE: &str = "crumb.issue";
/// The package of their tests.
pub(crate) const ISSUE_TEST: &str = "crumb.issue_test";

/// Columns in a line. The marks that are put into rule heads need room below the engine's own 1024.
const COLUMNS_MAX: NonZeroU32 = NonZeroU32::new(512).expect("is not zero");
/// Operators and opening brackets from one `if` to the next. The engine's trees are as deep as such a chain is long, and are
/// walked and dropped by recursion; a rule that people can read has a few dozen.
const OPERATORS_MAX: usize = 256;

/// Which of the two kinds a file is, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Rules,
    Tests,
}

impl Kind {
    pub(crate) fn of(file: &str) -> Option<Self> {
        let stem = file.strip_suffix(".rego")?;
        Some(if stem.ends_with("_test") { Self::Tests } else { Self::Rules })
    }

    pub(crate) fn package(self) -> &'static str {
        match self {
            Self::Rules => ISSUE,
            Self::Tests => ISSUE_TEST,
        }
    }
}

/// A file that parses.
#[derive(Debug)]
pub(crate) struct SourceFile {
    pub(crate) name: Arc<str>,
    pub(crate) text: Arc<str>,
    pub(crate) kind: Kind,
    pub(crate) tokens: Vec<Token>,
    pub(crate) module: Module,
}

/// From where to where a token stands in the text, in bytes, with the quotes of a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) start: u32,
    pub(crate) end: u32,
    /// Whether it is a word: a name or a keyword.
    pub(crate) is_word: bool,
}

impl SourceFile {
    /// Parses, and checks the package.
    pub(crate) fn parse(name: &Arc<str>, text: &Arc<str>, kind: Kind) -> Result<Self, Defect> {
        let source = source(name, text)?;
        let tokens = read_tokens(name, &source, kind)?;
        let module = parse(name, &source, Some(COLUMNS_MAX))?;
        let package = module.package.refr.span();
        if package.text() != kind.package() {
            let wanted = kind.package();
            return Err(Defect::in_file(name, package.line, format!("is not in the package `{wanted}`")));
        }
        Ok(Self { name: name.clone(), text: text.clone(), kind, tokens, module })
    }
}

/// Takes a text for the engine's parser.
pub(crate) fn source(name: &Arc<str>, text: &str) -> Result<Source, Defect> {
    Source::from_contents(name.to_string(), text.to_owned()).map_err(|e| Defect::from_message(name, &e.to_string()))
}

/// Parses a text as Rego v1.
pub(crate) fn parse(name: &Arc<str>, source: &Source, columns: Option<NonZeroU32>) -> Result<Module, Defect> {
    let parsed = Parser::new(source).and_then(|mut parser| {
        if let Some(columns) = columns {
            parser.set_max_col(columns);
        }
        parser.enable_rego_v1()?;
        parser.parse()
    });
    parsed.map_err(|e| Defect::from_message(name, &e.to_string()))
}

/// Reads the tokens before the parser does, for what must not reach it.
fn read_tokens(name: &Arc<str>, source: &Source, kind: Kind) -> Result<Vec<Token>, Defect> {
    let mut lexer = Lexer::new(source);
    let mut tokens = Vec::new();
    let mut operators = 0usize;
    loop {
        let token = lexer.next_token().map_err(|e| Defect::from_message(name, &e.to_string()))?;
        let (line, start, end) = (token.1.line, token.1.start, token.1.end);
        tokens.push(match token.0 {
            TokenKind::String | TokenKind::RawString => {
                Token { start: start.saturating_sub(1), end: end.saturating_add(1), is_word: false }
            }
            _ => Token { start, end, is_word: token.0 == TokenKind::Ident },
        });
        match (&token.0, token.1.text()) {
            (TokenKind::Eof, _) => return Ok(tokens),
            (TokenKind::Ident, "if") => operators = 0,
            (TokenKind::Ident, "with") if kind == Kind::Rules => {
                return Err(Defect::in_file(
                    name,
                    line,
                    "`with` belongs in tests: a rule decides on the input as it is",
                ));
            }
            (TokenKind::Ident, word) if word.starts_with(RESERVED) => {
                return Err(Defect::in_file(name, line, format!("`{RESERVED}` is the beginning of our own names")));
            }
            (TokenKind::Ident, "in") => operators += 1,
            (TokenKind::Symbol, symbol) if OPERATORS.contains(&symbol) => operators += 1,
            _ => {}
        }
        if operators > OPERATORS_MAX {
            return Err(Defect::in_file(name, line, format!("has more than {OPERATORS_MAX} operators in one rule")));
        }
    }
}

/// The symbols that can make a chain without end.
const OPERATORS: &[&str] = &["+", "-", "*", "/", "%", "|", "&", "(", "[", "<", "<=", ">", ">=", "==", "!="];
