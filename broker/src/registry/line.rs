//! Where a node of a manifest stands: found by reading the document again and failing at that node.
//!
//! Apart because checks across manifests run on parsed values, which have no place any more. serde_yaml has no spans, but
//! an error raised at a node carries the node's line.

use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// One step from a node to a node inside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The value of this key.
    Key(&'static str),
    /// The element at this place.
    At(usize),
}

/// Returns the line, counted from 1, of the node at `path` of the one document in `text`; `None` when there is no such node.
pub(super) fn find(text: &str, path: &[Step]) -> Option<usize> {
    let failed = Walk(path).deserialize(serde_yaml_ng::Deserializer::from_str(text)).err()?;
    failed.location().map(|at| at.line())
}

/// What the search fails with when it has arrived; nobody reads it.
const ARRIVED: &str = "arrived";

#[derive(Clone, Copy)]
struct Walk<'p>(&'p [Step]);

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(ARRIVED)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((Step::Key(wanted), rest)) = self.0.split_first() else { return Err(A::Error::custom(ARRIVED)) };
        while let Some(key) = map.next_key::<String>()? {
            if key == *wanted {
                map.next_value_seed(Walk(rest))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Some((Step::At(wanted), rest)) = self.0.split_first() else { return Err(A::Error::custom(ARRIVED)) };
        for _ in 0..*wanted {
            seq.next_element::<IgnoredAny>()?;
        }
        seq.next_element_seed(Walk(rest))?;
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    // Scalars: all other `visit_*` fail by default, which is to arrive.
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# a comment\na:\n  b:\n    - x\n    - c: 2\n";

    #[test]
    fn finds_scalars_in_maps_and_lists() {
        assert_eq!(find(TEXT, &[Step::Key("a"), Step::Key("b"), Step::At(1), Step::Key("c")]), Some(5));
        assert_eq!(find(TEXT, &[Step::Key("a"), Step::Key("b")]), Some(4));
    }

    #[test]
    fn says_so_when_there_is_no_such_node() {
        assert_eq!(find(TEXT, &[Step::Key("z")]), None);
        assert_eq!(find(TEXT, &[Step::Key("a"), Step::Key("b"), Step::At(2)]), None);
    }
}
