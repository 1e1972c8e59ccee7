//! The formats are open: a page of Python, with nothing but its own library, comes to the same roots and takes the same proof.

use crumb_audit::{
    Chains, Checkpoint, Entry, Evidence, Frontier, Header, InclusionProof, Leaves, NoteSigner, Salt, SignedCheckpoint,
    TreeHash, Trust, VerifierKey, Writer, commit, export, note_key::KeyKind,
};
use ed25519_dalek::{Signer as _, SigningKey};
use std::{
    convert::Infallible,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

struct LogKey(SigningKey, VerifierKey);

impl NoteSigner for LogKey {
    type Error = Infallible;

    fn key(&self) -> &VerifierKey {
        &self.1
    }

    fn sign(&self, text: &[u8]) -> Result<[u8; 64], Infallible> {
        Ok(self.0.sign(text).to_bytes())
    }
}

fn key() -> LogKey {
    let secret = SigningKey::from_bytes(&[1; 32]);
    let name = "audit.acme.example/broker".parse().expect("a name");
    let public = VerifierKey::new(name, KeyKind::Log, secret.verifying_key().as_bytes()).expect("a key");
    LogKey(secret, public)
}

/// An export of 21 entries with three checkpoints, and the evidence of entry 6 in the last.
fn exported() -> (String, String) {
    let (key, writer): (_, Writer) = (key(), "broker-a".parse().expect("a writer"));
    let (mut frontier, mut chains) = (Frontier::new(), Chains::default());
    let header = Header::new(key.1.name().clone(), std::slice::from_ref(&key.1), &frontier, &chains);
    let (mut lines, mut leaves, mut seventh) = (vec![header.to_line()], Vec::new(), None);
    let mut signed: Option<SignedCheckpoint> = None;
    for n in 0..21u8 {
        let record = format!(r#"{{"kind":"decision","subject":"p{n}@acme.example"}}"#);
        let committed = commit(&record, &["subject"], || Salt::new([n; 32])).expect("a record");
        let head = chains.head(writer.as_str());
        let (number, previous) = head.map_or((1, TreeHash::ZERO), |head| (head.number + 1, head.hash));
        let entry = Entry::new(&writer, number, previous, &committed.body).expect("an entry");
        let leaf = entry.leaf_hash();
        assert_eq!(chains.follow(&entry, leaf, 0), None);
        frontier.append(leaf);
        leaves.push(leaf);
        lines.push(export::entry_line(&entry.encode(), &committed.disclosures, &[]));
        if n == 6 {
            seventh = Some((entry.encode(), committed.disclosures));
        }
        if [0, 12, 20].contains(&n) {
            let Ok(checkpoint) = Checkpoint::sign(frontier.size(), frontier.root(), &key);
            lines.push(export::checkpoint_line(&checkpoint));
            signed = Some(checkpoint);
        }
    }
    let (entry, disclosures) = seventh.expect("entry 6");
    let proof = InclusionProof::make(&Leaves(&leaves), 6, 21).expect("nodes").expect("a leaf");
    let entry = Entry::read(&entry).expect("an entry");
    let evidence = Evidence::new((6, &entry), proof, signed.expect("a checkpoint"), disclosures, vec![]);
    assert!(evidence.verify(&Trust::new(vec![key.1], 0).expect("a key")).is_ok());
    (lines.join("\n") + "\n", evidence.to_string())
}

fn written(name: &str, text: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, text).expect("the directory of tests' files can be written");
    path
}

/// Runs the script of the documentation; `None` when there is no Python here.
fn python(name: &str, export: &str, proof: &str) -> Option<bool> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/check_audit.py");
    let (export, proof) = (written(&format!("{name}.jsonl"), export), written(&format!("{name}.tlog-proof"), proof));
    let output = Command::new("python3").arg(script).arg(export).arg(proof).output().ok()?;
    Some(output.status.success())
}

#[test]
fn python_alone_recomputes_the_roots_and_checks_a_proof() {
    let (export, proof) = exported();
    let Some(passes) = python("whole", &export, &proof) else {
        let line = "the audit formats in Python: there is no python3\n";
        let _ = write!(std::io::stderr(), "skipped: {line}");
        if let Some(path) = std::env::var_os("CRUMB_SKIPPED") {
            let file = fs::OpenOptions::new().create(true).append(true).open(path);
            let _ = file.and_then(|mut file| file.write_all(line.as_bytes()));
        }
        return;
    };
    assert!(passes);
    let mut lines: Vec<_> = export.lines().collect();
    lines.swap(4, 5);
    assert_eq!(python("swapped", &lines.join("\n"), &proof), Some(false));
    lines.remove(4);
    assert_eq!(python("missing", &lines.join("\n"), &proof), Some(false));
    assert_eq!(python("moved", &export, &proof.replace("\nindex 6\n", "\nindex 7\n")), Some(false));
}
