//! The closed list of caveats: everything that an appended block can say.
//!
//! Each is one Biscuit check of one predicate (see [`crate::shape`]), decidable by itself, and can only narrow. What is
//! not in this list cannot be in a token.

use crate::{Args, Audience, Operation, ResourcePattern, Scalar, SpiffeId, Timestamp, ToolName, args::ArgName};
use std::collections::BTreeSet;

/// What a caveat demands of one argument. An argument that is absent, or of another type than the rule's, never passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArgRule {
    /// Exactly this value.
    Is(Scalar),
    /// A text, and one of these.
    OneOf(BTreeSet<Box<str>>),
    /// A number, and one of these.
    OneOfNumbers(BTreeSet<i64>),
    /// A text, and none of these.
    NotOneOf(BTreeSet<Box<str>>),
    /// A number from `min` to `max`, both included.
    Range {
        /// The smallest that passes.
        min: i64,
        /// The largest that passes.
        max: i64,
    },
    /// A text that begins with this.
    Prefix(Box<str>),
    /// Any value at all.
    Present,
}

impl ArgRule {
    /// Says whether `name`'s value in `args` passes.
    pub fn holds(&self, name: &ArgName, args: &Args) -> bool {
        let Some(value) = args.get(name.as_str()) else { return false };
        match (self, value) {
            (Self::Is(wanted), got) => wanted == got,
            (Self::OneOf(set), Scalar::Text(got)) => set.contains(got),
            (Self::OneOfNumbers(set), Scalar::Int(got)) => set.contains(got),
            (Self::NotOneOf(set), Scalar::Text(got)) => !set.contains(got),
            (Self::Range { min, max }, Scalar::Int(got)) => (min..=max).contains(&got),
            (Self::Prefix(prefix), Scalar::Text(got)) => got.starts_with(&**prefix),
            (Self::Present, _) => true,
            (Self::OneOf(_) | Self::OneOfNumbers(_) | Self::NotOneOf(_) | Self::Range { .. } | Self::Prefix(_), _) => {
                false
            }
        }
    }
}

/// One condition on the calls that a token allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caveat {
    /// Only this tool.
    Tool(ToolName),
    /// Only one of these tools.
    ToolOneOf(BTreeSet<ToolName>),
    /// Only this operation.
    Operation(Operation),
    /// Only these resources.
    Resource(ResourcePattern),
    /// Only calls whose argument passes.
    Arg {
        /// Which argument.
        name: ArgName,
        /// What it must be.
        rule: ArgRule,
    },
    /// Only the call whose argument bytes have this SHA-256.
    ArgsDigest([u8; 32]),
    /// Only at this tool server.
    Audience(Audience),
    /// Only before this moment.
    ExpiresAt(Timestamp),
    /// Only once: the verifier remembers the nonce until the token has expired.
    Nonce([u8; 16]),
    /// Only from this peer.
    Holder(SpiffeId),
}

impl Caveat {
    /// Returns about how many bytes `caveats` take in memory, sets and texts among them.
    pub fn memory_len(caveats: &[Self]) -> usize {
        caveats.iter().map(|caveat| size_of::<Self>() + caveat.texts_len()).sum()
    }

    fn texts_len(&self) -> usize {
        let all = |texts: &BTreeSet<Box<str>>| texts.iter().map(|text| size_of::<Box<str>>() + text.len()).sum();
        match self {
            Self::ToolOneOf(tools) => tools.iter().map(|tool| size_of::<ToolName>() + tool.as_str().len()).sum(),
            Self::Arg { name, rule } => {
                name.as_str().len()
                    + match rule {
                        ArgRule::OneOf(texts) | ArgRule::NotOneOf(texts) => all(texts),
                        ArgRule::OneOfNumbers(numbers) => numbers.len() * size_of::<i64>(),
                        ArgRule::Prefix(text) | ArgRule::Is(Scalar::Text(text)) => text.len(),
                        ArgRule::Is(_) | ArgRule::Range { .. } | ArgRule::Present => 0,
                    }
            }
            Self::Resource(ResourcePattern::Exact(resource)) => resource.as_str().len(),
            Self::Resource(ResourcePattern::Under(prefix)) => prefix.len(),
            Self::Tool(_) | Self::Operation(_) | Self::Audience(_) | Self::Holder(_) => 64,
            Self::ArgsDigest(_) | Self::ExpiresAt(_) | Self::Nonce(_) => 0,
        }
    }
}
