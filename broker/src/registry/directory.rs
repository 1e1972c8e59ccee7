//! Who has left: the part of the company's directory that the registry has to know.

use super::ManifestName;
use crumb_token::Owner;
use std::collections::BTreeSet;

/// A list of people who have left. What they own is orphaned, and approvals are not theirs to give any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// The registered name.
    pub name: ManifestName,
    /// The person who answers for the list.
    pub owner: Owner,
    /// Mail addresses in lower case.
    pub departed: BTreeSet<String>,
}
