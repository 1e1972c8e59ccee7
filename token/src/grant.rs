//! Rights: one [`Grant`] and a bounded set of them.
//!
//! The rights of a token are manifest AND envelope AND request. [`Grants::meet`] is that AND, and the only way the broker
//! combines rights, so a result can never be wider than any of its parts.

use crate::{Operation, Resource, ResourcePattern, ToolName};
use std::collections::BTreeSet;

/// One right: a tool, an operation, and the resources it may touch.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Grant {
    /// The tool.
    pub tool: ToolName,
    /// What the tool may do.
    pub operation: Operation,
    /// What it may do it to.
    pub resource: ResourcePattern,
}

impl Grant {
    /// Says whether this right allows the call.
    pub fn covers(&self, tool: &ToolName, operation: &Operation, resource: &Resource) -> bool {
        self.tool == *tool && self.operation == *operation && self.resource.covers(resource)
    }

    /// Returns the right that both give, or `None` when they share nothing.
    pub fn meet(&self, other: &Self) -> Option<Self> {
        if self.tool != other.tool || self.operation != other.operation {
            return None;
        }
        let resource = self.resource.meet(&other.resource)?;
        Some(Self { tool: self.tool.clone(), operation: self.operation.clone(), resource })
    }
}

impl std::fmt::Display for Grant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.tool, self.operation, self.resource)
    }
}

/// More rights than one token, manifest or envelope may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more than {} rights", Grants::LEN_MAX)]
pub struct TooManyGrants;

/// A set of rights, at most [`Grants::LEN_MAX`] of them. Empty means none, never all.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Grants(BTreeSet<Grant>);

impl Grants {
    /// The most rights in one set. A minted token of 4 KiB has room for about this many.
    pub const LEN_MAX: usize = 32;

    /// Collects rights.
    ///
    /// # Errors
    ///
    /// [`TooManyGrants`] past [`Self::LEN_MAX`] different ones.
    pub fn try_new(grants: impl IntoIterator<Item = Grant>) -> Result<Self, TooManyGrants> {
        let mut set = BTreeSet::new();
        for grant in grants {
            set.insert(grant);
            if set.len() > Self::LEN_MAX {
                return Err(TooManyGrants);
            }
        }
        Ok(Self(set))
    }

    /// Says whether some right allows the call.
    pub fn covers(&self, tool: &ToolName, operation: &Operation, resource: &Resource) -> bool {
        self.0.iter().any(|g| g.covers(tool, operation, resource))
    }

    /// Returns the rights that both sets give.
    ///
    /// # Errors
    ///
    /// [`TooManyGrants`] when overlapping patterns cross into more than [`Self::LEN_MAX`] rights.
    pub fn meet(&self, other: &Self) -> Result<Self, TooManyGrants> {
        Self::try_new(self.0.iter().flat_map(|a| other.0.iter().filter_map(|b| a.meet(b))))
    }

    /// Returns the first right of `self` that `wider` does not give in full, if there is one.
    pub fn first_outside(&self, wider: &Self) -> Option<&Grant> {
        self.0.iter().find(|g| !wider.0.iter().any(|w| w.meet(g).as_ref() == Some(*g)))
    }

    /// Walks the rights, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Grant> {
        self.0.iter()
    }

    /// Returns how many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Says whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(tool: &str, op: &str, resource: &str) -> Grant {
        Grant {
            tool: tool.parse().expect(tool),
            operation: op.parse().expect(op),
            resource: resource.parse().expect(resource),
        }
    }

    #[test]
    fn meet_never_gives_what_one_side_lacks() {
        let a = Grants::try_new([grant("read", "read", "d/*"), grant("drop", "delete", "*")]).expect("few");
        let b = Grants::try_new([grant("read", "read", "d/x"), grant("drop", "read", "*")]).expect("few");
        assert_eq!(a.meet(&b).expect("few"), Grants::try_new([grant("read", "read", "d/x")]).expect("few"));
        assert!(a.meet(&Grants::default()).expect("few").is_empty());
    }

    #[test]
    fn names_the_right_that_is_outside() {
        let wide = Grants::try_new([grant("read", "read", "d/*")]).expect("few");
        let ask = Grants::try_new([grant("read", "read", "d/x"), grant("read", "read", "e/x")]).expect("few");
        assert_eq!(ask.first_outside(&wide), Some(&grant("read", "read", "e/x")));
    }

    #[test]
    fn refuses_more_than_the_limit() {
        let many = (0..=Grants::LEN_MAX).map(|i| grant("t", "read", &format!("r/{i}")));
        assert_eq!(Grants::try_new(many), Err(TooManyGrants));
    }
}
