//! Values of a JSON text by their place, without writing the text anew.
//!
//! A place is a JSON Pointer (RFC 6901). Values are slices of the text itself, so that they can be hashed or replaced byte
//! for byte. Refused: members of one name in one object, since two readers could see two records, and deep nesting.

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt};

/// The deepest nesting of a record. The broker's take three levels.
const DEPTH_MAX: usize = 16;

/// A text is not a JSON object that can be walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRecord {
    /// Not JSON, or not an object.
    #[error("the record is not a JSON object")]
    Malformed,
    /// Two members of one object have one name.
    #[error("the record has two members of one name")]
    DuplicateName,
    /// Nested deeper than 16 levels.
    #[error("the record is nested too deep")]
    TooDeep,
}

/// One member of an object, on the way through a text.
#[derive(Debug)]
pub(crate) struct Member<'p, 'a> {
    /// Its place.
    pub(crate) place: &'p str,
    /// Its name.
    pub(crate) name: &'p str,
    /// Its value, a slice of the text.
    pub(crate) value: &'a str,
}

/// What to do with a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Into,
    Over,
}

/// Shows every member of every object in `text`, which is one object, to `visit`, in the order of the text.
pub(crate) fn walk<'a, E: From<InvalidRecord>>(
    text: &'a str,
    visit: &mut impl FnMut(Member<'_, 'a>) -> Result<Step, E>,
) -> Result<(), E> {
    walk_object(text, &mut String::new(), DEPTH_MAX, visit)
}

fn walk_object<'a, E: From<InvalidRecord>>(
    text: &'a str,
    place: &mut String,
    depth: usize,
    visit: &mut impl FnMut(Member<'_, 'a>) -> Result<Step, E>,
) -> Result<(), E> {
    let Members(members) = read(text)?;
    let mut names: Vec<_> = members.iter().map(|(name, _)| name.0.as_ref()).collect();
    names.sort_unstable();
    if names.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(InvalidRecord::DuplicateName.into());
    }
    for (Text(name), value) in &members {
        let above = place.len();
        place.push('/');
        push_escaped(place, name);
        let value = value.get();
        if visit(Member { place, name, value })? == Step::Into {
            walk_value(value, place, depth, visit)?;
        }
        place.truncate(above);
    }
    Ok(())
}

fn walk_value<'a, E: From<InvalidRecord>>(
    text: &'a str,
    place: &mut String,
    depth: usize,
    visit: &mut impl FnMut(Member<'_, 'a>) -> Result<Step, E>,
) -> Result<(), E> {
    let is_list = text.starts_with('[');
    if !is_list && !text.starts_with('{') {
        return Ok(());
    }
    let depth = depth.checked_sub(1).ok_or(InvalidRecord::TooDeep)?;
    if !is_list {
        return walk_object(text, place, depth, visit);
    }
    for (index, element) in read::<Vec<&'a RawValue>>(text)?.into_iter().enumerate() {
        let above = place.len();
        place.push('/');
        place.push_str(&index.to_string());
        walk_value(element.get(), place, depth, visit)?;
        place.truncate(above);
    }
    Ok(())
}

/// Returns where `part`, a slice of `text`, begins in it.
pub(crate) fn offset(text: &str, part: &str) -> usize {
    part.as_ptr().addr().saturating_sub(text.as_ptr().addr())
}

fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, InvalidRecord> {
    serde_json::from_str(text).map_err(|_| InvalidRecord::Malformed)
}

/// RFC 6901 §3: "the characters '~' (%x7E) and '/' (%x2F) [...] need to be encoded as '~0' and '~1'".
fn push_escaped(place: &mut String, name: &str) {
    for c in name.chars() {
        match c {
            '~' => place.push_str("~0"),
            '/' => place.push_str("~1"),
            c => place.push(c),
        }
    }
}

/// A text that is borrowed where JSON did not have to escape it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Text<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

/// The members of an object in their order.
struct Members<'a>(Vec<(Text<'a>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}
