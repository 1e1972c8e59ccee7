//! The arguments of a call that caveats can speak about: named scalars, and the digest of the whole.

use crate::{bounded_text, text::InvalidText};
use std::collections::BTreeMap;

bounded_text! {
    /// The name of an argument.
    ArgName, 64, |c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
}

/// The value of an argument, as far as a caveat can decide on it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scalar {
    /// A text of at most [`Scalar::LEN_MAX`] bytes.
    Text(Box<str>),
    /// A whole number.
    Int(i64),
    /// True or false.
    Bool(bool),
}

impl Scalar {
    /// The longest text, in bytes.
    pub const LEN_MAX: usize = 1024;

    /// Makes a text value.
    ///
    /// # Errors
    ///
    /// [`InvalidText::TooLong`] past [`Self::LEN_MAX`] bytes.
    pub fn text(s: &str) -> Result<Self, InvalidText> {
        if s.len() > Self::LEN_MAX {
            return Err(InvalidText::TooLong { max: Self::LEN_MAX });
        }
        Ok(Self::Text(s.into()))
    }
}

/// Too many arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more than {} arguments, or one of them twice", Args::LEN_MAX)]
pub struct InvalidArgs;

/// The scalar arguments of one call, each name once, at most [`Args::LEN_MAX`].
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Args(BTreeMap<ArgName, Scalar>);

impl Args {
    /// The most arguments.
    pub const LEN_MAX: usize = 64;

    /// Collects arguments.
    ///
    /// # Errors
    ///
    /// [`InvalidArgs`] past the limit or when a name comes twice; two readers could take different ones.
    pub fn try_new(args: impl IntoIterator<Item = (ArgName, Scalar)>) -> Result<Self, InvalidArgs> {
        let mut map = BTreeMap::new();
        for (name, value) in args {
            if map.insert(name, value).is_some() || map.len() > Self::LEN_MAX {
                return Err(InvalidArgs);
            }
        }
        Ok(Self(map))
    }

    /// Returns the value of `name`.
    pub fn get(&self, name: &str) -> Option<&Scalar> {
        self.0.get(name)
    }

    /// Walks the arguments, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&ArgName, &Scalar)> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_a_name_that_comes_twice() {
        let a = || ("path".parse::<ArgName>().expect("name"), Scalar::Int(1));
        assert_eq!(Args::try_new([a(), a()]), Err(InvalidArgs));
    }

    #[test]
    fn refuses_a_text_past_its_limit() {
        assert!(Scalar::text(&"a".repeat(1025)).is_err());
    }
}
