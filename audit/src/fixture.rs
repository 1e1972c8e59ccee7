//! What tests share: a log's and a witness's keys, and a trail to look at.

use crate::{
    Chains, Checkpoint, Disclosure, Entry, Frontier, Header, KeyName, NoteSignature, NoteSigner, Salt,
    SignedCheckpoint, TreeHash, Trust, VerifierKey, Writer, commit, export,
    note_key::{KeyKind, cosignature_message},
};
use ed25519_dalek::{Signer as _, SigningKey};
use std::convert::Infallible;

/// A log's private key.
pub(crate) struct LogKey {
    secret: SigningKey,
    public: VerifierKey,
}

impl LogKey {
    pub(crate) fn new(name: &str, seed: u8) -> Self {
        Self::of_kind(name, seed, KeyKind::Log)
    }

    pub(crate) fn of_kind(name: &str, seed: u8, kind: KeyKind) -> Self {
        let secret = SigningKey::from_bytes(&[seed; 32]);
        let name: KeyName = name.parse().expect("a name");
        let public = VerifierKey::new(name, kind, secret.verifying_key().as_bytes()).expect("a key");
        Self { secret, public }
    }

    /// Signs a checkpoint as a witness does.
    pub(crate) fn cosign(&self, checkpoint: &mut SignedCheckpoint, time: u64) {
        let message = cosignature_message(time, checkpoint.note().text());
        let bare = self.secret.sign(message.as_bytes()).to_bytes();
        let signature = [time.to_be_bytes().as_slice(), &bare].concat();
        checkpoint.cosign(NoteSignature::new(&self.public, signature)).expect("there is room");
    }
}

impl NoteSigner for LogKey {
    type Error = Infallible;

    fn key(&self) -> &VerifierKey {
        &self.public
    }

    fn sign(&self, text: &[u8]) -> Result<[u8; 64], Infallible> {
        Ok(self.secret.sign(text).to_bytes())
    }
}

pub(crate) const ORIGIN: &str = "audit.acme.example/broker";

pub(crate) fn log_key() -> LogKey {
    LogKey::new(ORIGIN, 1)
}

pub(crate) fn witness_key() -> LogKey {
    LogKey::of_kind("witness.example/w1", 2, KeyKind::Witness)
}

/// Trusts the log and one witness, who has to have signed.
pub(crate) fn trust() -> Trust {
    Trust::new(vec![log_key().public, witness_key().public], 1).expect("two keys")
}

pub(crate) fn checkpoint(size: u64, root: TreeHash) -> SignedCheckpoint {
    let Ok(mut signed) = Checkpoint::sign(size, root, &log_key());
    witness_key().cosign(&mut signed, 1_700_000_000);
    signed
}

/// A log that is written as a broker would.
pub(crate) struct Log {
    pub(crate) frontier: Frontier,
    pub(crate) chains: Chains,
    pub(crate) leaves: Vec<TreeHash>,
    pub(crate) entries: Vec<Vec<u8>>,
    pub(crate) disclosures: Vec<Vec<Disclosure>>,
    pub(crate) lines: Vec<String>,
    pub(crate) checkpoints: Vec<SignedCheckpoint>,
}

impl Log {
    /// Begins one, and an export of it with the header.
    pub(crate) fn new() -> Self {
        let (frontier, chains) = (Frontier::new(), Chains::default());
        let mut log = Self {
            frontier,
            chains,
            leaves: Vec::new(),
            entries: Vec::new(),
            disclosures: Vec::new(),
            lines: Vec::new(),
            checkpoints: Vec::new(),
        };
        log.begin_export();
        log
    }

    /// Leaves out what was exported, and begins anew from here.
    pub(crate) fn begin_export(&mut self) {
        self.lines = vec![self.header().to_line()];
    }

    pub(crate) fn header(&self) -> Header {
        let origin = ORIGIN.parse().expect("a name");
        Header::new(origin, &[log_key().public], &self.frontier, &self.chains)
    }

    /// Appends a record of this writer.
    pub(crate) fn record(&mut self, writer: &str) {
        let n = u8::try_from(self.leaves.len()).expect("few");
        let record = format!(
            r#"{{"number":{n},"kind":"decision","subject":"p{n}@acme.example","asked":[{{"tool":"mail","resource":"box/{n}"}}],"detail":""}}"#
        );
        let salt = || Salt::new([n; 32]);
        let committed = commit(&record, &["subject", "resource", "detail"], salt).expect("a record");
        let writer: Writer = writer.parse().expect("a writer");
        let head = self.chains.head(writer.as_str());
        let (number, previous) = head.map_or((1, TreeHash::ZERO), |head| (head.number + 1, head.hash));
        let entry = Entry::new(&writer, number, previous, &committed.body).expect("an entry");
        let leaf = entry.leaf_hash();
        assert_eq!(self.chains.follow(&entry, leaf, 0), None);
        self.frontier.append(leaf);
        self.leaves.push(leaf);
        self.lines.push(export::entry_line(&entry.encode(), &committed.disclosures, &[]));
        self.entries.push(entry.encode());
        self.disclosures.push(committed.disclosures);
    }

    /// Signs what there is.
    pub(crate) fn sign(&mut self) {
        let signed = checkpoint(self.frontier.size(), self.frontier.root());
        self.lines.push(export::checkpoint_line(&signed));
        self.checkpoints.push(signed);
    }

    /// Two writers, three checkpoints, two entries behind the last.
    pub(crate) fn filled() -> Self {
        let mut log = Self::new();
        for n in 0..13 {
            log.record(if n % 3 == 2 { "broker-b" } else { "broker-a" });
            if [3, 6, 10].contains(&n) {
                log.sign();
            }
        }
        log
    }
}
