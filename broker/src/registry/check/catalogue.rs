//! Bundles and personas: what they include and extend has to exist, and must not lead back to itself.

use super::{
    super::{
        ManifestName, Persona, ToolBundle,
        catalogue::{DEPTH_MAX, unite},
        document::{Content, Document},
        line::Step::{self, At, Key},
        manifest::{PersonaSpec, ToolBundleSpec},
        parsed::Parsed,
    },
    Building,
};
use std::collections::{BTreeMap, BTreeSet};

type BundleSpecs<'d> = BTreeMap<&'d ManifestName, (&'d Document, &'d ToolBundleSpec)>;
type PersonaSpecs<'d> = BTreeMap<&'d ManifestName, (&'d Document, &'d PersonaSpec)>;

impl Building<'_> {
    pub(super) fn bundles(&mut self, documents: &[&Document]) {
        let specs: BundleSpecs<'_> = documents
            .iter()
            .filter_map(|document| match &document.content {
                Content::ToolBundle(manifest) => Some((&manifest.metadata.name.0, (*document, &manifest.spec))),
                _ => None,
            })
            .collect();
        for name in specs.keys() {
            self.bundle(name, &specs, &mut Vec::new());
        }
    }

    /// Puts one bundle together. `above` are those that are waiting for it.
    fn bundle<'d>(&mut self, name: &'d ManifestName, specs: &BundleSpecs<'d>, above: &mut Vec<&'d ManifestName>) {
        let Some((document, spec)) = specs.get(name).copied().filter(|_| !self.bundles.contains_key(name)) else {
            return;
        };
        let mut scopes = self.scopes(document, &spec.scopes);
        above.push(name);
        for (i, included) in spec.includes.iter().enumerate() {
            let at = [Key("spec"), Key("includes"), At(i)];
            if !self.leads_on(document, &at, &included.0, specs.contains_key(&included.0), above) {
                continue;
            }
            self.bundle(&included.0, specs, above);
            let more = self.bundles.get(&included.0).map(|bundle| bundle.scopes.clone()).unwrap_or_default();
            if let Err((audience, error)) = unite(&mut scopes, &more) {
                self.wrong(document, &at, format!("{error} at {audience}"));
            }
        }
        above.pop();
        if spec.scopes.is_empty() && spec.includes.is_empty() {
            self.wrong(document, &[Key("spec")], "a bundle without scopes gives nothing");
        }
        let (owner, purpose) = (spec.owner.0.0.clone(), spec.purpose.0.clone());
        self.bundles.insert(name.clone(), ToolBundle { name: name.clone(), owner, purpose, scopes });
    }

    pub(super) fn personas(&mut self, documents: &[&Document]) {
        let specs: PersonaSpecs<'_> = documents
            .iter()
            .filter_map(|document| match &document.content {
                Content::Persona(manifest) => Some((&manifest.metadata.name.0, (*document, &manifest.spec))),
                _ => None,
            })
            .collect();
        for name in specs.keys() {
            self.persona(name, &specs, &mut Vec::new());
        }
    }

    fn persona<'d>(&mut self, name: &'d ManifestName, specs: &PersonaSpecs<'d>, above: &mut Vec<&'d ManifestName>) {
        let Some((document, spec)) = specs.get(name).copied().filter(|_| !self.personas.contains_key(name)) else {
            return;
        };
        let mut persona = Persona {
            name: name.clone(),
            owner: spec.owner.0.0.clone(),
            purpose: spec.purpose.0.clone(),
            bundles: self.named_bundles(document, &spec.bundles).into_iter().collect::<BTreeSet<_>>(),
            risk_ceiling: spec.risk_ceiling,
            ttl_max: spec.max_ttl_seconds.as_ref().map(|ttl| ttl.0.0),
            ttl_default: spec.default_ttl_seconds.as_ref().map(|ttl| ttl.0.0),
            session_default: spec.session_seconds.as_ref().map(|life| life.0.0),
        };
        above.push(name);
        if let Some(base) = &spec.extends {
            let at = [Key("spec"), Key("extends")];
            if self.leads_on(document, &at, &base.0, specs.contains_key(&base.0), above) {
                self.persona(&base.0, specs, above);
                if let Some(base) = self.personas.get(&base.0) {
                    persona.extend(base);
                }
            }
        }
        above.pop();
        self.personas.insert(name.clone(), persona);
    }

    /// Reads `spec.bundles` of a document; each has to exist.
    pub(super) fn named_bundles(&mut self, document: &Document, named: &[Parsed<ManifestName>]) -> Vec<ManifestName> {
        let mut bundles = Vec::new();
        for (i, name) in named.iter().enumerate() {
            let at = [Key("spec"), Key("bundles"), At(i)];
            if !self.bundles.contains_key(&name.0) {
                self.wrong(document, &at, format!("no tool bundle is registered as {}", name.0));
            } else if bundles.contains(&name.0) {
                self.wrong(document, &at, format!("{} is listed twice", name.0));
            } else {
                bundles.push(name.0.clone());
            }
        }
        bundles
    }

    /// Says whether a reference can be followed: to something that exists, that is not waiting for the answer itself, and
    /// that is not too deep.
    fn leads_on(
        &mut self,
        document: &Document,
        at: &[Step],
        to: &ManifestName,
        exists: bool,
        above: &[&ManifestName],
    ) -> bool {
        let kind = document.key().kind.noun();
        if !exists {
            self.wrong(document, at, format!("no {kind} is registered as {to}"));
        } else if let Some(first) = above.iter().position(|name| *name == to) {
            let way: Vec<_> = above[first..].iter().map(|name| name.as_str()).chain([to.as_str()]).collect();
            self.wrong(document, at, format!("{kind} {to} leads back to itself: {}", way.join(" → ")));
        } else if above.len() >= DEPTH_MAX {
            self.wrong(document, at, format!("a {kind} leads to others at most {DEPTH_MAX} deep"));
        } else {
            return true;
        }
        false
    }
}
