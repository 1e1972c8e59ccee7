//! Resources and the patterns that cover them.
//!
//! A resource is compared as bytes and never normalised, so a spelling that a tool server might normalise (a dot
//! segment, a doubled or trailing slash in the middle, a percent escape of a separator, a backslash) is no resource at
//! all. A prefix ends at a separator, so `file:///docs/*` can never cover `file:///docs-secret`.

use std::{fmt, str::FromStr};

/// A text that is not a resource or not a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidResource {
    /// Nothing in it, or longer than [`Resource::LEN_MAX`] bytes.
    #[error("a resource has 1 to 1024 bytes")]
    Length,
    /// A character outside printable ASCII, or one of `\ * ? # " < > { } | ^` and the backquote.
    #[error("has a character that is not allowed in a resource")]
    Character,
    /// A `.` or `..` segment, or an empty one.
    #[error("has an empty or dot segment")]
    DotSegment,
    /// A percent sign; escapes make two spellings of one thing.
    #[error("has a percent escape")]
    Escape,
    /// A `*` that is not at the end, or does not follow `/` or `:`.
    #[error("`*` stands alone, or at the end after `/` or `:`")]
    Wildcard,
}

/// What a call acts on, such as `file:///docs/readme.md` or `repo:acme/web`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Resource(Box<str>);

impl Resource {
    /// The longest resource, in bytes.
    pub const LEN_MAX: usize = 1024;

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn check(s: &str) -> Result<(), InvalidResource> {
    if s.is_empty() || s.len() > Resource::LEN_MAX {
        return Err(InvalidResource::Length);
    }
    if s.contains('%') {
        return Err(InvalidResource::Escape);
    }
    let plain = |b: u8| {
        b.is_ascii_graphic()
            && !matches!(b, b'\\' | b'*' | b'?' | b'#' | b'"' | b'<' | b'>' | b'{' | b'}' | b'|' | b'^' | b'`')
    };
    if !s.bytes().all(plain) {
        return Err(InvalidResource::Character);
    }
    let path = s.split_once("://").map_or(s, |(_, rest)| rest.strip_prefix('/').unwrap_or(rest));
    let mut segments = path.split(['/', ':']).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        if matches!(segment, "." | "..") || (segment.is_empty() && !last) {
            return Err(InvalidResource::DotSegment);
        }
    }
    Ok(())
}

impl FromStr for Resource {
    type Err = InvalidResource;

    fn from_str(s: &str) -> Result<Self, InvalidResource> {
        check(s)?;
        Ok(Self(s.into()))
    }
}

/// Which resources a grant covers: one, those under a prefix, or all.
///
/// Written `file:///docs/a.md`, `file:///docs/*` or `*`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ResourcePattern {
    /// Exactly this resource.
    Exact(Resource),
    /// Every resource that begins with this text, which ends in `/` or `:`, or is empty.
    Under(Box<str>),
}

impl ResourcePattern {
    /// Says whether `resource` is covered.
    pub fn covers(&self, resource: &Resource) -> bool {
        match self {
            Self::Exact(one) => one == resource,
            Self::Under(prefix) => resource.0.starts_with(&**prefix),
        }
    }

    /// Returns the pattern that covers exactly what both cover, or `None` when they share nothing.
    pub fn meet(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (Self::Exact(one), wide) | (wide, Self::Exact(one)) => wide.covers(one).then(|| Self::Exact(one.clone())),
            (Self::Under(a), Self::Under(b)) if a.starts_with(&**b) => Some(Self::Under(a.clone())),
            (Self::Under(a), Self::Under(b)) => b.starts_with(&**a).then(|| Self::Under(b.clone())),
        }
    }
}

impl FromStr for ResourcePattern {
    type Err = InvalidResource;

    fn from_str(s: &str) -> Result<Self, InvalidResource> {
        let Some(prefix) = s.strip_suffix('*') else {
            return Resource::from_str(s).map(Self::Exact);
        };
        if !prefix.is_empty() {
            if prefix.contains('*') || !prefix.ends_with(['/', ':']) {
                return Err(InvalidResource::Wildcard);
            }
            check(prefix)?;
        }
        Ok(Self::Under(prefix.into()))
    }
}

impl fmt::Display for ResourcePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(one) => f.write_str(&one.0),
            Self::Under(prefix) => write!(f, "{prefix}*"),
        }
    }
}

impl fmt::Debug for ResourcePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(s: &str) -> ResourcePattern {
        s.parse().expect(s)
    }

    #[test]
    fn a_prefix_stops_at_its_separator() {
        let docs = pattern("file:///docs/*");
        assert!(docs.covers(&"file:///docs/a/b.md".parse().expect("resource")));
        assert!(!docs.covers(&"file:///docs-secret/a".parse().expect("resource")));
        assert!(!docs.covers(&"file:///other".parse().expect("resource")));
    }

    #[test]
    fn refuses_spellings_that_a_server_could_normalise() {
        for bad in [
            "",
            "file:///docs/../secret",
            "file:///docs/./a",
            "file:///docs//a",
            "file:///docs/%2e%2e/a",
            "a\\b",
            "a b",
            "a\n",
            "..",
            "file:///docs/..",
            "caf\u{e9}",
            "a?b",
            "a#b",
            "a*",
            "repo::x",
            &"a".repeat(1025),
        ] {
            assert!(bad.parse::<Resource>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn refuses_wildcards_that_do_not_end_a_segment() {
        for bad in ["file:///docs*", "*/a", "a/*/b", "**", "/**"] {
            assert!(bad.parse::<ResourcePattern>().is_err(), "{bad:?}");
        }
        assert_eq!(pattern("*"), ResourcePattern::Under("".into()));
    }

    #[test]
    fn meet_is_what_both_cover() {
        assert_eq!(pattern("a/*").meet(&pattern("a/b/*")), Some(pattern("a/b/*")));
        assert_eq!(pattern("a/b/*").meet(&pattern("*")), Some(pattern("a/b/*")));
        assert_eq!(pattern("a/*").meet(&pattern("a/b")), Some(pattern("a/b")));
        assert_eq!(pattern("a/*").meet(&pattern("b/*")), None);
        assert_eq!(pattern("a/b").meet(&pattern("a/c")), None);
    }
}
