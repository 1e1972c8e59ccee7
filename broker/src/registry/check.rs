//! What no manifest can say about itself: names that are taken, and what it refers to.
//!
//! In the order of the arrows: people and groups, tool servers, bundles, personas, agents. Each kind finds what it refers
//! to whatever file that is in.

mod agents;
mod catalogue;
mod scopes;
mod tool_servers;

use super::{
    Agent, ApprovalRule, Directory, Key, ManifestName, Persona, Policy, Registry, ToolBundle, ToolServer,
    ToolServerName,
    document::{Content, Document},
    line::Step::{self, Key as At},
    load::Defect,
    manifest::{ApprovalRuleManifest, PolicyManifest},
    policy,
};
use crumb_token::{AgentName, Audience};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
};

/// Makes the snapshot, unless there is a defect among `found` or a new one. `in_force` saves work on what stays the same.
pub(super) fn registry(
    documents: &[&Document],
    found: Vec<Defect>,
    in_force: Option<&Registry>,
) -> Result<Registry, Vec<Defect>> {
    let mut building = Building { defects: found, in_force, ..Building::default() };
    building.sizes(documents);
    for document in documents {
        building.people(document);
    }
    for document in documents {
        if let Content::ToolServer(manifest) = &document.content {
            building.tool_server(document, &manifest.metadata.name.0, &manifest.spec);
        }
    }
    building.bundles(documents);
    building.personas(documents);
    for document in documents {
        if let Content::Agent(manifest) = &document.content {
            building.agent(document, &manifest.metadata.name.0, &manifest.spec);
        }
    }
    building.finish(documents)
}

#[derive(Default)]
struct Building<'r> {
    defects: Vec<Defect>,
    in_force: Option<&'r Registry>,
    directories: BTreeMap<ManifestName, Directory>,
    approval_rules: BTreeMap<ManifestName, ApprovalRule>,
    policies: BTreeMap<ManifestName, Policy>,
    audiences: HashMap<ToolServerName, Audience>,
    tool_servers: BTreeMap<Audience, ToolServer>,
    bundles: BTreeMap<ManifestName, ToolBundle>,
    personas: BTreeMap<ManifestName, Persona>,
    agents: BTreeMap<AgentName, Agent>,
}

const NAME: &[Step] = &[At("metadata"), At("name")];

impl Building<'_> {
    fn finish(mut self, documents: &[&Document]) -> Result<Registry, Vec<Defect>> {
        if self.defects.is_empty() {
            return Ok(Registry {
                agents: self.agents,
                tool_servers: self.tool_servers,
                personas: self.personas,
                bundles: self.bundles,
                policies: self.policies,
                approval_rules: self.approval_rules,
                directories: self.directories,
                version: version(documents).into(),
                revision: 0,
            });
        }
        self.defects.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        Err(self.defects)
    }

    /// Notes that something is wrong at `path` of `document`.
    fn wrong(&mut self, document: &Document, path: &[Step], reason: impl fmt::Display) {
        self.defects.push(document.defect(path, reason));
    }

    fn sizes(&mut self, documents: &[&Document]) {
        if let Some(document) = documents.get(Registry::LEN_MAX) {
            self.wrong(document, &[], format!("more than {} manifests", Registry::LEN_MAX));
        }
        let mut room = Registry::TEXT_LEN_MAX;
        let mut seen = BTreeSet::<&Key>::new();
        for document in documents {
            let key = document.key();
            if !seen.insert(key) {
                self.wrong(document, NAME, format!("{} {} is registered twice", key.kind.noun(), key.name));
            }
            match room.checked_sub(document.text().len()) {
                Some(left) => room = left,
                None => {
                    let reason = format!("the manifests have {} bytes together at most", Registry::TEXT_LEN_MAX);
                    return self.wrong(document, &[], reason);
                }
            }
        }
    }

    fn people(&mut self, document: &Document) {
        match &document.content {
            Content::ApprovalRule(manifest) => self.approval_rule(document, manifest),
            Content::Policy(manifest) => self.policy(document, manifest),
            Content::Directory(manifest) => {
                let (name, spec) = (manifest.metadata.name.0.clone(), &manifest.spec);
                let departed = spec.departed.iter().map(|person| person.0.0.as_str().to_ascii_lowercase()).collect();
                let owner = spec.owner.0.0.clone();
                self.directories.insert(name.clone(), Directory { name, owner, departed });
            }
            _ => {}
        }
    }

    fn approval_rule(&mut self, document: &Document, manifest: &ApprovalRuleManifest) {
        let spec = &manifest.spec;
        let name = manifest.metadata.name.0.clone();
        let members: BTreeSet<_> = spec.members.iter().map(|member| member.0.clone()).collect();
        if members.len() != spec.members.len() {
            self.wrong(document, &[At("spec"), At("members")], "a member is listed twice");
        }
        if members.is_empty() || members.len() > ApprovalRule::MEMBERS_MAX {
            let reason = format!("a group has 1 to {} members", ApprovalRule::MEMBERS_MAX);
            self.wrong(document, &[At("spec"), At("members")], reason);
        }
        if spec.count == 0 || spec.count as usize > members.len() {
            let reason = format!("a count is from 1 to the number of members, {}", members.len());
            self.wrong(document, &[At("spec"), At("count")], reason);
        }
        let owner = spec.owner.0.0.clone();
        let rule = ApprovalRule { name: name.clone(), owner, members, count: spec.count };
        self.approval_rules.insert(name, rule);
    }

    fn policy(&mut self, document: &Document, manifest: &PolicyManifest) {
        let spec = &manifest.spec;
        let name = manifest.metadata.name.0.clone();
        let in_force = self.in_force.and_then(|registry| registry.policy(&name));
        match policy::compile(&spec.files, spec.digest.as_ref().map(|digest| digest.0), in_force) {
            Ok(compiled) => {
                let policy = Policy { name: name.clone(), owner: spec.owner.0.0.clone(), compiled };
                self.policies.insert(name, policy);
            }
            Err(reasons) => {
                for reason in reasons {
                    self.wrong(document, &[At("spec"), At("files")], reason);
                }
            }
        }
    }
}

/// Returns SHA-256 over keys and texts, in hexadecimal.
pub(super) fn version(documents: &[&Document]) -> String {
    let texts: BTreeMap<_, _> = documents.iter().map(|document| (document.key(), document.text())).collect();
    let mut digest = Sha256::new();
    for (key, text) in texts {
        // Lengths first, so that no other cut of names and contents has the same digest.
        for part in [&key.to_string(), text] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
    }
    hex::encode(digest.finalize())
}
