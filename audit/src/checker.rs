//! The check of an export, line by line, in bounded memory.
//!
//! It keeps the right edge of the tree, the heads of the writers' chains, and one line. Every entry is hashed into the tree;
//! at each checkpoint that a trusted key signed, the root has to be the signed one. For a stretch that begins in the middle,
//! the header tells the edge before it, and the first checkpoint that fits proves that too: no other edge leads to its root.
//!
//! After a fault it goes on as far as it makes sense, so that a reader sees more than the first, and says each thing once.

mod disclosed;

pub(crate) use disclosed::{Told, account};

use crate::{
    Chains, ConsistencyProof, Entry, Finding, Frontier, Header, Problem, SignedCheckpoint, TreeHash, Trust,
    VerifiedCheckpoint, VerifierKey, base64_text,
    consistency::Tree,
    export::{LINE_LEN_MAX, Line},
    finding::Unreadable,
};

/// A check of one export. Lines go in, findings come out.
#[derive(Debug)]
pub struct Checker {
    trust: Trust,
    /// What was kept from before, the smallest first; `next_kept` is the first whose size has not come by.
    kept: Vec<VerifiedCheckpoint>,
    next_kept: usize,
    line: u64,
    faults: u64,
    walk: Option<Walk>,
}

/// Where in the trail the check is.
#[derive(Debug)]
struct Walk {
    first: u64,
    frontier: Frontier,
    chains: Chains,
    /// How many entries a signed root, that fits, vouches for.
    covered: Option<u64>,
    /// The size of the last checkpoint.
    last: Option<u64>,
    /// Whether a root or a number did not fit: no later one can.
    strayed: bool,
    checkpoints: u64,
    erased: u64,
    /// The bytes of one entry, kept for its memory.
    bytes: Vec<u8>,
}

/// What was checked, in numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The position of the first entry.
    pub first: u64,
    /// The position after the last.
    pub end: u64,
    /// Up to which position a signed root vouches for all; `None` when none does for any.
    pub proven: Option<u64>,
    /// Checkpoints that a trusted key signed.
    pub checkpoints: u64,
    /// Fields whose disclosure is not there, and that are said to be erased.
    pub erased: u64,
    /// Findings that are faults.
    pub faults: u64,
}

impl Checker {
    /// Begins. `kept` are checkpoints of the same log from elsewhere: the export has to agree with each of them.
    pub fn new(trust: Trust, mut kept: Vec<VerifiedCheckpoint>) -> Self {
        kept.sort_by_key(|kept| kept.checkpoint().size);
        Self { trust, kept, next_kept: 0, line: 0, faults: 0, walk: None }
    }

    /// Takes the next line, without its newline, and says what is wrong with it.
    pub fn line(&mut self, line: &[u8]) -> Vec<Finding> {
        self.line += 1;
        let mut problems = Vec::new();
        let read = self.read(line, &mut problems);
        problems.extend(read.err().map(Problem::Unreadable));
        self.findings(problems)
    }

    /// Ends, and says what can only be said then.
    pub fn finish(mut self) -> (Vec<Finding>, Summary) {
        self.line += 1;
        let mut problems = Vec::new();
        let Some(walk) = self.walk.take() else {
            if self.line == 1 {
                problems.push(Problem::Unreadable(Unreadable::NoHeader));
            }
            let findings = self.findings(problems);
            let summary = Summary { first: 0, end: 0, proven: None, checkpoints: 0, erased: 0, faults: self.faults };
            return (findings, summary);
        };
        let end = walk.frontier.size();
        let beyond = self.kept.get(self.next_kept..).unwrap_or_default();
        problems.extend(beyond.iter().map(|kept| Problem::Truncated { kept: kept.checkpoint().size, found: end }));
        problems.extend(walk.chains.unseen().map(|writer| Problem::UnprovenHead(writer.to_owned())));
        match walk.covered {
            None => problems.push(Problem::NothingSigned),
            Some(covered) if covered < end && !walk.strayed => problems.push(Problem::Tail(end - covered)),
            Some(_) => {}
        }
        let findings = self.findings(problems);
        let Walk { first, covered: proven, checkpoints, erased, .. } = walk;
        (findings, Summary { first, end, proven, checkpoints, erased, faults: self.faults })
    }

    fn findings(&mut self, problems: Vec<Problem>) -> Vec<Finding> {
        let faults = problems.iter().filter(|problem| problem.is_fault()).count();
        self.faults = self.faults.saturating_add(u64::try_from(faults).unwrap_or(u64::MAX));
        let line = self.line;
        problems.into_iter().map(|problem| Finding { line, problem }).collect()
    }

    fn read(&mut self, line: &[u8], problems: &mut Vec<Problem>) -> Result<(), Unreadable> {
        if line.len() > LINE_LEN_MAX {
            return Err(Unreadable::TooLong);
        }
        if self.line == 1 {
            self.header(line, problems)?;
            self.compare_kept(problems);
            return Ok(());
        }
        // Without a header nothing can be said of what follows, and that was told at the header.
        let Some(walk) = &mut self.walk else { return Ok(()) };
        let line: Line<'_> = serde_json::from_slice(line).map_err(|_| Unreadable::Malformed)?;
        match (&line.entry, &line.checkpoint) {
            (Some(entry), None) => {
                walk.entry(&entry.0, &line, self.line, problems)?;
                self.compare_kept(problems);
            }
            (None, Some(text)) if line.disclosed.is_empty() && line.erased.is_empty() => {
                let signed = text.0.parse().map_err(Unreadable::Checkpoint)?;
                walk.checkpoint(&signed, &self.trust, problems);
            }
            _ => return Err(Unreadable::Malformed),
        }
        Ok(())
    }

    fn header(&mut self, line: &[u8], problems: &mut Vec<Problem>) -> Result<(), Unreadable> {
        let header: Header = serde_json::from_slice(line).map_err(|_| Unreadable::NoHeader)?;
        if header.origin != *self.trust.origin() {
            problems.push(Problem::OtherOrigin(shown(header.origin.as_str())));
        }
        for text in &header.vkeys {
            let key: VerifierKey = text.parse().map_err(Unreadable::Key)?;
            if !self.trust.knows(&key) {
                problems.push(Problem::UntrustedKey(shown(text)));
            }
        }
        let frontier = Frontier::resume(header.first, header.frontier).map_err(Unreadable::Frontier)?;
        let chains = Chains::resume(&header.writers, self.line).map_err(Unreadable::Heads)?;
        let since = header.since.map(|since| Ok((since.size, ConsistencyProof::new(since.proof)?)));
        let since = since.transpose().map_err(|_: crate::inclusion::ProofTooLong| Unreadable::Proof)?;
        self.tie_kept(&frontier, since.as_ref(), problems);
        self.walk = Some(Walk {
            first: header.first,
            frontier,
            chains,
            covered: None,
            last: None,
            strayed: false,
            checkpoints: 0,
            erased: 0,
            bytes: Vec::new(),
        });
        Ok(())
    }

    /// Looks at what was kept from before the export's beginning: the header has to prove that the trail goes on from it.
    fn tie_kept(&mut self, frontier: &Frontier, since: Option<&(u64, ConsistencyProof)>, problems: &mut Vec<Problem>) {
        let first = frontier.size();
        let new = Tree { size: first, root: frontier.root() };
        let mut since_is_used = false;
        while let Some(kept) = self.kept.get(self.next_kept).map(VerifiedCheckpoint::checkpoint) {
            if kept.size >= first {
                break;
            }
            self.next_kept += 1;
            match since.filter(|(size, _)| *size == kept.size) {
                None => problems.push(Problem::NotTied { kept: kept.size, first }),
                Some((_, proof)) => {
                    since_is_used = true;
                    let old = Tree { size: kept.size, root: kept.root };
                    if !proof.proves(&old, &new) {
                        problems.push(Problem::Forked(kept.size));
                    }
                }
            }
        }
        if let Some((size, _)) = since.filter(|_| !since_is_used) {
            problems.push(Problem::UnusedProof(*size));
        }
    }

    /// Looks at what was kept of exactly the size that the walk has come to.
    fn compare_kept(&mut self, problems: &mut Vec<Problem>) {
        let Some(walk) = &mut self.walk else { return };
        let size = walk.frontier.size();
        while let Some(kept) = self.kept.get(self.next_kept).map(VerifiedCheckpoint::checkpoint) {
            if kept.size != size {
                break;
            }
            self.next_kept += 1;
            if walk.frontier.root() == kept.root {
                walk.cover(size);
            } else if !walk.strayed {
                problems.push(Problem::Forked(size));
            }
        }
    }
}

impl Walk {
    fn entry(
        &mut self,
        text: &str,
        line: &Line<'_>,
        number: u64,
        problems: &mut Vec<Problem>,
    ) -> Result<(), Unreadable> {
        base64_text::decode_into(text, &mut self.bytes).ok_or(Unreadable::Base64)?;
        let entry = Entry::read(&self.bytes).map_err(Unreadable::Entry)?;
        let hash = TreeHash::of_leaf(&self.bytes);
        self.frontier.append(hash);
        problems.extend(self.chains.follow(&entry, hash, number));
        let told = line.disclosed.iter().map(|d| Told { place: &d.at.0, salt: d.salt(), value: &d.value.0 });
        let erased = line.erased.iter().map(|place| place.0.as_ref());
        let found = account(entry.body(), told, erased).map_err(Unreadable::Body)?;
        let erased = found.iter().filter(|problem| matches!(problem, Problem::Erased(_))).count();
        self.erased = self.erased.saturating_add(u64::try_from(erased).unwrap_or(u64::MAX));
        problems.extend(found);
        Ok(())
    }

    fn checkpoint(&mut self, signed: &SignedCheckpoint, trust: &Trust, problems: &mut Vec<Problem>) {
        // What nobody known has signed says nothing about the entries.
        let verified = match trust.verify(signed) {
            Ok(verified) => verified,
            Err(untrusted) => return problems.push(Problem::Untrusted(untrusted)),
        };
        let (size, root) = (verified.checkpoint().size, verified.checkpoint().root);
        if let Some(before) = self.last.filter(|before| size <= *before) {
            return problems.push(Problem::WentBack { size, before });
        }
        self.last = Some(size);
        self.checkpoints += 1;
        if self.strayed {
            return;
        }
        let found = self.frontier.size();
        if size == found && root == self.frontier.root() {
            return self.cover(size);
        }
        self.strayed = true;
        problems.push(match size.cmp(&found) {
            std::cmp::Ordering::Greater => Problem::TooFew { size, found },
            std::cmp::Ordering::Less => Problem::TooMany { size, found },
            std::cmp::Ordering::Equal => Problem::WrongRoot { size, from: self.covered.unwrap_or(self.first) },
        });
    }

    fn cover(&mut self, size: u64) {
        if !self.strayed {
            self.covered = Some(size);
        }
    }
}

/// Makes a text of somebody else's fit for a terminal.
fn shown(text: &str) -> String {
    text.escape_default().to_string()
}

#[cfg(test)]
mod tests;
