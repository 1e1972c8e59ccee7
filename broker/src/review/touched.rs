//! Which resources were touched, as a bounded set of folders that covers every one of them.
//!
//! A used file stands for its folder: an agent that read one document of a folder yesterday reads another tomorrow. When there
//! are more folders than are kept, the deepest make room by standing for the folder above; nothing that was touched is ever
//! outside.

use crumb_token::{Resource, ResourcePattern};
use std::collections::BTreeSet;

/// Touched resources.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Touched {
    folders: BTreeSet<ResourcePattern>,
    /// The first few as they were, for people.
    named: BTreeSet<String>,
    more: bool,
}

impl Touched {
    /// The most folders that are kept while counting.
    const FOLDERS_MAX: usize = 64;

    /// The most resources that are named.
    pub const NAMED_MAX: usize = 16;

    /// Adds a resource.
    pub fn add(&mut self, resource: &Resource) {
        self.name(resource.as_str());
        self.folders.insert(folder_of(resource));
        self.fold(Self::FOLDERS_MAX);
    }

    /// Adds everything that a pattern covers, as of a token whose calls nobody reported.
    pub fn add_pattern(&mut self, pattern: &ResourcePattern) {
        match pattern {
            ResourcePattern::Exact(resource) => self.add(resource),
            ResourcePattern::Under(_) => {
                self.name(&pattern.to_string());
                self.folders.insert(pattern.clone());
                self.fold(Self::FOLDERS_MAX);
            }
        }
    }

    /// Says whether nothing was touched.
    pub fn is_empty(&self) -> bool {
        self.folders.is_empty()
    }

    /// Walks the resources that are named.
    pub fn named(&self) -> impl Iterator<Item = &str> {
        self.named.iter().map(String::as_str)
    }

    /// Says whether more were touched than are named.
    pub fn has_more(&self) -> bool {
        self.more
    }

    /// Returns at most `most` patterns, at least one, that cover all that was touched and nothing outside `given`; nothing when
    /// nothing was touched.
    pub fn within(&self, given: &ResourcePattern, most: usize) -> Vec<ResourcePattern> {
        let mut folded = self.clone();
        folded.fold(most.max(1));
        // Clipped, two folders can be one.
        let clipped: BTreeSet<_> = folded.folders.iter().filter_map(|folder| folder.meet(given)).collect();
        clipped.into_iter().collect()
    }

    fn name(&mut self, text: &str) {
        if self.named.len() < Self::NAMED_MAX {
            self.named.insert(text.to_owned());
        } else if !self.named.contains(text) {
            self.more = true;
        }
    }

    fn fold(&mut self, most: usize) {
        self.absorb();
        while self.folders.len() > most {
            let deepest = self.folders.iter().map(depth).max().unwrap_or_default();
            let raised =
                self.folders.iter().map(|folder| if depth(folder) == deepest { above(folder) } else { folder.clone() });
            self.folders = raised.collect();
            self.absorb();
        }
    }

    /// Drops what another folder covers.
    fn absorb(&mut self) {
        let covered = |folder: &&ResourcePattern| {
            self.folders.iter().any(|other| other != *folder && other.meet(folder).as_ref() == Some(*folder))
        };
        let covered: Vec<_> = self.folders.iter().filter(covered).cloned().collect();
        for folder in covered {
            self.folders.remove(&folder);
        }
    }
}

/// Returns the folder that a resource stands for; the resource itself when it stands in none.
fn folder_of(resource: &Resource) -> ResourcePattern {
    match folder_above(resource.as_str()) {
        Some(folder) => folder,
        None => ResourcePattern::Exact(resource.clone()),
    }
}

/// Returns the folder above a folder; everything, above the outermost.
fn above(folder: &ResourcePattern) -> ResourcePattern {
    let text = folder.to_string();
    let inner = text.trim_end_matches('*');
    let inner = inner.strip_suffix(['/', ':']).unwrap_or(inner);
    folder_above(inner).unwrap_or_else(|| ResourcePattern::Under("".into()))
}

/// Returns the innermost folder that a text stands in.
fn folder_above(text: &str) -> Option<ResourcePattern> {
    let ends = text.rmatch_indices(['/', ':']).map(|(at, _)| at + 1);
    let mut folders = ends.filter_map(|end| format!("{}*", &text[..end]).parse::<ResourcePattern>().ok());
    folders.find(|folder| *folder != ResourcePattern::Under("".into()))
}

/// Returns how many separators a folder has; everything has none.
fn depth(folder: &ResourcePattern) -> usize {
    match folder {
        ResourcePattern::Under(prefix) => prefix.matches(['/', ':']).count(),
        // One that stands in no folder gives way to everything, and to nothing else.
        ResourcePattern::Exact(_) => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn touched(resources: &[&str]) -> Touched {
        let mut touched = Touched::default();
        resources.iter().for_each(|r| touched.add(&r.parse().expect("a resource")));
        touched
    }

    fn within(resources: &[&str], given: &str, most: usize) -> Vec<String> {
        let patterns = touched(resources).within(&given.parse().expect("a pattern"), most);
        patterns.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_file_stands_for_its_folder_and_for_nothing_outside_the_right() {
        assert_eq!(within(&["file:///docs/a/x.md", "file:///docs/a/y.md"], "*", 4), ["file:///docs/a/*"]);
        assert_eq!(within(&["file:///docs/x.md"], "file:///docs/x.md", 4), ["file:///docs/x.md"]);
        assert_eq!(within(&["repo:acme/web", "repo:acme/app"], "repo:*", 4), ["repo:acme/*"]);
        assert_eq!(within(&["readme"], "*", 4), ["readme"]);
        assert_eq!(within(&[], "*", 4), [""; 0]);
    }

    #[test]
    fn the_deepest_folders_make_room_first() {
        let many = ["file:///a/1/x", "file:///a/2/x", "file:///a/3/x", "file:///b/x"];
        assert_eq!(within(&many, "*", 4).len(), 4);
        assert_eq!(within(&many, "*", 2), ["file:///a/*", "file:///b/*"]);
        assert_eq!(within(&many, "*", 1), ["file:///*"]);
        assert_eq!(within(&["file:///a/x", "repo:acme/web", "readme"], "*", 1), ["*"]);
    }

    #[test]
    fn people_are_told_some_and_that_there_are_more() {
        let names: Vec<String> = (0..20).map(|n| format!("file:///docs/{n}")).collect();
        let touched = touched(&names.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(touched.has_more());
        assert_eq!(touched.named().count(), Touched::NAMED_MAX);
    }

    proptest! {
        #[test]
        fn everything_that_was_touched_is_inside(
            resources in prop::collection::vec("(file:///|repo:|)[ab]{1,2}(/[abc]{1,2}){0,5}", 1..200),
            most in 1usize..6,
        ) {
            let touched = touched(&resources.iter().map(String::as_str).collect::<Vec<_>>());
            let patterns = touched.within(&ResourcePattern::Under("".into()), most);
            prop_assert!(patterns.len() <= most);
            for resource in &resources {
                let resource: Resource = resource.parse().expect("a resource");
                prop_assert!(patterns.iter().any(|pattern| pattern.covers(&resource)), "{resource} is outside {patterns:?}");
            }
        }
    }
}
