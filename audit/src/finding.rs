//! What a check finds, in plain words.
//!
//! A fault means that the export is not what was signed, or cannot be shown to be. The others are told because a reader
//! should know them: they are how a trail that nobody touched can look.

use crate::{
    chain::InvalidHeads, checkpoint::InvalidCheckpoint, commitment::InvalidCommitments, entry::InvalidEntry,
    frontier::InvalidFrontier, note_key::InvalidVerifierKey, trust::Untrusted,
};

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The line of the export, from 1; one past the last for what was found at the end.
    pub line: u64,
    /// What it is.
    pub problem: Problem,
}

/// Why a line cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unreadable {
    /// Longer than a line may be.
    #[error("the line is too long")]
    TooLong,
    /// Not an object of the format.
    #[error("the line is not one of crumb.audit/v1")]
    Malformed,
    /// The first line is no header.
    #[error("the export does not begin with a header of crumb.audit/v1")]
    NoHeader,
    /// The entry or a salt is not canonical base64.
    #[error("the line has something that is not canonical base64")]
    Base64,
    /// The entry's bytes are none.
    #[error("the line's entry cannot be read: {0}")]
    Entry(InvalidEntry),
    /// The entry's record cannot be searched for commitments.
    #[error("the line's record cannot be read: {0}")]
    Body(InvalidCommitments),
    /// The checkpoint is none.
    #[error("the line's checkpoint cannot be read: {0}")]
    Checkpoint(InvalidCheckpoint),
    /// A key of the header is none.
    #[error("the header names a key that cannot be read: {0}")]
    Key(InvalidVerifierKey),
    /// The header's frontier is none.
    #[error("the header's frontier cannot be: {0}")]
    Frontier(InvalidFrontier),
    /// The header's heads are none.
    #[error("the header's writers cannot be: {0}")]
    Heads(InvalidHeads),
    /// The header's proof is too long.
    #[error("the header's consistency proof is too long")]
    Proof,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// A line is not of the format.
    #[error("{0}")]
    Unreadable(Unreadable),
    /// The export is of another log.
    #[error("the export says that it is of the log {0}, which is not the one that was asked about")]
    OtherOrigin(String),
    /// The header names a key that is not trusted.
    #[error("the export names the key {0}, which is not among the trusted ones")]
    UntrustedKey(String),
    /// An entry's follower names another one.
    #[error(
        "entry {number} of {writer}, at line {line}, is not the one that its follower here was written after: one of them was changed or replaced"
    )]
    Changed {
        /// Whose chain.
        writer: String,
        /// The number of the entry before.
        number: u64,
        /// Where it is.
        line: u64,
    },
    /// Entries are not there.
    #[error("entries {from} to {to} of {writer} are missing before this one")]
    Missing {
        /// Whose chain.
        writer: String,
        /// The first that is missing.
        from: u64,
        /// The last.
        to: u64,
    },
    /// The same entry again.
    #[error("entry {number} of {writer} is here again, after line {line}")]
    Repeated {
        /// Whose chain.
        writer: String,
        /// The number.
        number: u64,
        /// Where it is first.
        line: u64,
    },
    /// An entry whose number has gone by.
    #[error("entry {number} of {writer} comes after its entry {after}: it was added, or stands elsewhere in the trail")]
    OutOfOrder {
        /// Whose chain.
        writer: String,
        /// The number.
        number: u64,
        /// The last number before.
        after: u64,
    },
    /// More writers than a check keeps.
    #[error("the export has too many writers")]
    TooManyWriters,
    /// A disclosure does not open its commitment.
    #[error("what is disclosed for {0} is not what the writer committed to")]
    WrongDisclosure(String),
    /// A disclosure, or what is said to be erased, has no commitment in its place.
    #[error("{0} is disclosed or said to be erased, but the entry has no such commitment there")]
    StrayDisclosure(String),
    /// A commitment without either.
    #[error("{0} is neither disclosed nor said to be erased")]
    Undisclosed(String),
    /// A checkpoint is not signed as it has to be.
    #[error("the checkpoint cannot be relied upon: {}", with_cause(.0))]
    Untrusted(Untrusted),
    /// A checkpoint stands before entries that it counts.
    #[error("the checkpoint counts {size} entries, and only {found} come before it: entries are missing")]
    TooFew {
        /// What it counts.
        size: u64,
        /// How many there are.
        found: u64,
    },
    /// A checkpoint stands behind entries that it does not count.
    #[error("the checkpoint counts {size} entries, and {found} come before it: entries were added")]
    TooMany {
        /// What it counts.
        size: u64,
        /// How many there are.
        found: u64,
    },
    /// A checkpoint is not larger than the one before it.
    #[error(
        "the checkpoint counts {size} entries, no more than the one before it ({before}): it was moved or repeated"
    )]
    WentBack {
        /// What it counts.
        size: u64,
        /// What the one before counted.
        before: u64,
    },
    /// The entries do not lead to the root that was signed.
    #[error(
        "the first {size} entries are not those that were signed: something from entry {from} on was changed, moved, added or left out"
    )]
    WrongRoot {
        /// What the checkpoint counts.
        size: u64,
        /// The first position, from 0, that no earlier checkpoint vouches for.
        from: u64,
    },
    /// Two trees were signed.
    #[error(
        "the checkpoint that you kept, of {0} entries, is of another trail: the log has signed two histories, or this one was rewritten"
    )]
    Forked(u64),
    /// The export ends before a checkpoint that is known.
    #[error("the checkpoint that you kept counts {kept} entries, and the export ends after {found}: it was cut off")]
    Truncated {
        /// What the known checkpoint counts.
        kept: u64,
        /// How many there are.
        found: u64,
    },
    /// A known checkpoint is from before this export, and no proof ties the two.
    #[error(
        "the checkpoint that you kept counts {kept} entries, and the export begins at {first} without a proof that it goes on from there: ask for one that begins earlier, or with the proof"
    )]
    NotTied {
        /// What the known checkpoint counts.
        kept: u64,
        /// Where the export begins.
        first: u64,
    },
    /// Told: the header proves a step that was not asked about.
    #[error("the export proves that it goes on from {0} entries; name the checkpoint of that size to have it checked")]
    UnusedProof(u64),
    /// Nothing is signed.
    #[error("the export has no checkpoint that can be relied upon: nothing in it is proven")]
    NothingSigned,
    /// Told: the last entries are younger than the last checkpoint.
    #[error("the last {0} entries are younger than the last checkpoint: only their writers' chains speak for them")]
    Tail(u64),
    /// Told: a field's disclosure is not here.
    #[error("{0} was erased, or is left out of this export: what it was cannot be told, that it was is proven")]
    Erased(String),
    /// Told: the header's word for a chain that nothing here goes on from.
    #[error("nothing here proves what the header says of the writer {0}, who wrote nothing in this stretch")]
    UnprovenHead(String),
}

fn with_cause(untrusted: &Untrusted) -> String {
    match std::error::Error::source(untrusted) {
        Some(cause) => format!("{untrusted}: {cause}"),
        None => untrusted.to_string(),
    }
}

impl Problem {
    /// Says whether it is a fault. What is none is told, and a check passes with it.
    pub fn is_fault(&self) -> bool {
        !matches!(self, Self::Tail(_) | Self::Erased(_) | Self::UnprovenHead(_) | Self::UnusedProof(_))
    }
}
