//! One thing that must be true of a process for an entry to be its own.
//!
//! Written as SPIRE's unix attestor writes them (`unix:uid:1000`), so that entries can be carried over. `unix:pid:` is
//! ours, for a parent that knows its child.

use std::{fmt, path::PathBuf, str::FromStr};

use crumb_attestors::unix_process::ProcessFacts;

/// A text that is not a selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSelector {
    /// Does not begin with a kind we know.
    #[error("begins with none of unix:uid: unix:gid: unix:path: unix:sha256: unix:pid:")]
    Kind,
    /// The value is not a number in range.
    #[error("the value of {0} is not a number in range")]
    Number(&'static str),
    /// The path is not absolute.
    #[error("the path is not absolute")]
    Path,
    /// The digest is not 64 hexadecimal digits in lower case.
    #[error("the digest is not 64 hexadecimal digits in lower case")]
    Digest,
}

/// A condition on the process that called.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Selector {
    /// Its effective uid.
    Uid(u32),
    /// Its effective gid.
    Gid(u32),
    /// Its executable is the file that lies here in our view of the file system. Absolute.
    Path(PathBuf),
    /// SHA-256 of its executable, 64 hexadecimal digits in lower case.
    Sha256(String),
    /// Its process id. Only for a parent that started the process and still holds it; numbers are used again.
    Pid(i32),
}

impl Selector {
    /// Says whether it is true of `facts`.
    pub fn matches(&self, facts: &ProcessFacts) -> bool {
        match self {
            Self::Uid(uid) => facts.uid == *uid,
            Self::Gid(gid) => facts.gid == *gid,
            Self::Path(path) => facts.runs(path),
            Self::Sha256(digest) => hex::encode(facts.exe_sha256) == *digest,
            Self::Pid(pid) => facts.pid == *pid,
        }
    }

    /// The variants are public, so a value can be made that no text gives; entries let none of these in.
    pub(crate) fn check(&self) -> Result<(), InvalidSelector> {
        match self {
            Self::Path(path) if !path.is_absolute() => Err(InvalidSelector::Path),
            Self::Sha256(digest) if !is_digest(digest) => Err(InvalidSelector::Digest),
            Self::Pid(pid) if *pid <= 0 => Err(InvalidSelector::Number("unix:pid")),
            _ => Ok(()),
        }
    }
}

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

impl FromStr for Selector {
    type Err = InvalidSelector;

    fn from_str(s: &str) -> Result<Self, InvalidSelector> {
        let (kind, value) =
            s.strip_prefix("unix:").and_then(|rest| rest.split_once(':')).ok_or(InvalidSelector::Kind)?;
        let selector = match kind {
            "uid" => Self::Uid(number(value, "unix:uid")?),
            "gid" => Self::Gid(number(value, "unix:gid")?),
            "path" => Self::Path(value.into()),
            "sha256" => Self::Sha256(value.to_owned()),
            "pid" => Self::Pid(number(value, "unix:pid")?),
            _ => return Err(InvalidSelector::Kind),
        };
        selector.check()?;
        Ok(selector)
    }
}

fn number<N: FromStr>(value: &str, kind: &'static str) -> Result<N, InvalidSelector> {
    // `FromStr` of numbers takes a leading plus sign; a selector has one spelling.
    let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| value.parse().ok()).flatten().ok_or(InvalidSelector::Number(kind))
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uid(uid) => write!(f, "unix:uid:{uid}"),
            Self::Gid(gid) => write!(f, "unix:gid:{gid}"),
            Self::Path(path) => write!(f, "unix:path:{}", path.display()),
            Self::Sha256(digest) => write!(f, "unix:sha256:{digest}"),
            Self::Pid(pid) => write!(f, "unix:pid:{pid}"),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    /// What the kernel would say of a shell that uid 1000 runs.
    pub(crate) fn shell() -> ProcessFacts {
        let exe = std::fs::canonicalize("/bin/sh").expect("every system has a shell");
        let file = std::fs::metadata(&exe).expect("it was just found");
        ProcessFacts {
            pid: 77,
            uid: 1000,
            gid: 100,
            exe,
            exe_sha256: [0xab; 32],
            exe_dev_ino: (file.dev(), file.ino()),
            starttime: 1,
            cgroup: "0::/".into(),
        }
    }

    #[test]
    fn text_and_value_are_the_same_thing() {
        let digest = "ab".repeat(32);
        for text in
            ["unix:uid:0", "unix:gid:4294967295", "unix:path:/bin/a:b", "unix:pid:1", &format!("unix:sha256:{digest}")]
        {
            assert_eq!(text.parse::<Selector>().expect(text).to_string(), text);
        }
    }

    #[test]
    fn refuses_every_other_text() {
        let upper = format!("unix:sha256:{}", "AB".repeat(32));
        for text in [
            "",
            "uid:1",
            "unix:",
            "unix:uid",
            "unix:uid:",
            "unix:uid:-1",
            "unix:uid:+1",
            "unix:uid: 1",
            "unix:uid:4294967296",
            "unix:user:root",
            "unix:path:bin",
            "unix:path:",
            "unix:sha256:ab",
            &upper,
            "unix:pid:0",
            "unix:pid:2147483648",
        ] {
            assert!(text.parse::<Selector>().is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn matches_what_the_kernel_says_and_nothing_else() {
        let facts = shell();
        let good = [
            Selector::Uid(1000),
            Selector::Gid(100),
            Selector::Path(facts.exe.clone()),
            Selector::Sha256("ab".repeat(32)),
            Selector::Pid(77),
        ];
        assert!(good.iter().all(|selector| selector.matches(&facts)));
        let bad = [
            Selector::Uid(0),
            Selector::Gid(0),
            Selector::Path("/bin/true".into()),
            Selector::Sha256("00".repeat(32)),
            Selector::Pid(78),
        ];
        assert!(!bad.iter().any(|selector| selector.matches(&facts)));
    }

    #[test]
    fn a_path_from_another_mount_namespace_is_not_ours() {
        let mut facts = shell();
        facts.exe_dev_ino.1 += 1;
        assert!(!Selector::Path(facts.exe.clone()).matches(&facts));
    }
}
