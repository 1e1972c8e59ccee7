//! Field violations: everything that is wrong with a request, collected before it is refused.

use crumb_token::{Denial, Reason};
use std::{fmt::Display, str::FromStr};

/// The most violations that one answer lists.
const VIOLATIONS_MAX: usize = 16;

/// What is wrong with a request, field by field.
#[derive(Debug, Default)]
pub struct Violations(Vec<(String, String)>);

impl Violations {
    /// Notes that `field` is wrong.
    pub fn add(&mut self, field: impl Into<String>, why: impl Display) {
        if self.0.len() < VIOLATIONS_MAX {
            self.0.push((field.into(), why.to_string()));
        }
    }

    /// Parses a field, noting what is wrong with it.
    pub fn parse<T: FromStr>(&mut self, field: impl Into<String>, text: &str) -> Option<T>
    where
        T::Err: Display,
    {
        self.keep(field, text.parse())
    }

    /// Takes the value, or notes the error.
    pub fn keep<T, E: Display>(&mut self, field: impl Into<String>, result: Result<T, E>) -> Option<T> {
        result.map_err(|why| self.add(field, why)).ok()
    }

    /// Walks the fields and what is wrong with them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(field, why)| (field.as_str(), why.as_str()))
    }

    /// Says whether nothing was noted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the refusal, naming each field.
    pub fn to_denial(&self) -> Denial {
        let fields: Vec<_> = self.iter().map(|(field, why)| format!("{field}: {why}")).collect();
        Denial::new(Reason::RequestInvalid).by("the shape of the request", "crumb.v1").next(fields.join("; "))
    }
}
