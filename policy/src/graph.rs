//! Which rule uses which: no circle, and no chain so long that evaluating it would eat the stack.
//!
//! The engine notices a circle of rules only while it runs, and one of functions never: that would end the process, not the
//! decision. Names are taken as written, so a rule whose own name is also a local variable in it counts as a circle.

use crate::{
    defect::{Defect, Place},
    dialect::Names,
    source::{Kind, SourceFile},
    tree,
};
use std::collections::{BTreeMap, BTreeSet};

/// The deepest that expressions nest, added up along the longest chain of rules. A test shows that this deep fits half of the
/// two megabytes of stack that a thread has, in a build without optimisation.
pub(crate) const DEPTH_MAX: usize = 128;
/// What one rule of a chain costs in the stack besides its expressions, as so many levels of them.
const RULE_DEPTH: usize = 8;

type Name<'a> = (Kind, &'a str);

struct Node<'a> {
    place: Place,
    depth: usize,
    uses: BTreeSet<Name<'a>>,
}

/// Finds circles, and chains that are too deep.
pub(crate) fn check(files: &[SourceFile], names: &Names<'_>) -> Vec<Defect> {
    let mut nodes = read(files, names);
    let known: BTreeSet<_> = nodes.keys().copied().collect();
    nodes.values_mut().for_each(|node| node.uses.retain(|used| known.contains(used)));
    let mut done: BTreeMap<Name<'_>, usize> = BTreeMap::new();
    let mut users: BTreeMap<Name<'_>, Vec<Name<'_>>> = BTreeMap::new();
    let mut missing: BTreeMap<Name<'_>, usize> = BTreeMap::new();
    for (name, node) in &nodes {
        missing.insert(*name, node.uses.len());
        node.uses.iter().for_each(|used| users.entry(*used).or_default().push(*name));
    }
    let mut ready: Vec<_> = missing.iter().filter(|(_, n)| **n == 0).map(|(name, _)| *name).collect();
    let mut defects = Vec::new();
    while let Some(name) = ready.pop() {
        let Some(node) = nodes.get(&name) else { continue };
        let below = node.uses.iter().filter_map(|used| done.get(used)).max().copied().unwrap_or_default();
        let depth = below.saturating_add(node.depth);
        if depth > DEPTH_MAX && below <= DEPTH_MAX {
            defects.push(Defect::at(&node.place, format!("nests deeper than {DEPTH_MAX}, counting the rules it uses")));
        }
        done.insert(name, depth);
        for user in users.get(&name).into_iter().flatten() {
            let Some(left) = missing.get_mut(user) else { continue };
            *left = left.saturating_sub(1);
            if *left == 0 {
                ready.push(*user);
            }
        }
    }
    let circle = nodes.iter().filter(|(name, _)| !done.contains_key(*name));
    defects
        .extend(circle.map(|(name, node)| Defect::at(&node.place, format!("`{}` uses itself, or what does", name.1))));
    defects
}

fn read<'a>(files: &'a [SourceFile], names: &Names<'_>) -> BTreeMap<Name<'a>, Node<'a>> {
    let mut nodes: BTreeMap<Name<'_>, Node<'_>> = BTreeMap::new();
    for file in files {
        for rule in &file.module.policy {
            let reference = tree::reference(rule);
            let Some((root, _)) = tree::path(reference) else { continue };
            let place = Place::new(file.name.clone(), rule.span().line);
            let node = nodes.entry((file.kind, root)).or_insert(Node { place, depth: 0, uses: BTreeSet::new() });
            node.depth = node.depth.max(RULE_DEPTH);
            tree::each_expr(rule, &mut |expr, depth| {
                node.depth = node.depth.max(depth + RULE_DEPTH);
                // The head names the rule itself; everything else that does, uses it.
                let used = tree::path(expr).filter(|_| !std::ptr::eq(expr, reference));
                node.uses.extend(used.and_then(|(root, steps)| names.resolve(file, root, &steps)));
            });
        }
    }
    nodes
}
