//! Tokens that a person has in a file or in a pipe. Never in an argument, which every process of the host can read.

use crate::exit::{Exit, Failure};
use crumb_sdk::broker::SubjectToken;
use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};
use zeroize::Zeroizing;

/// Reads a token from `path`; `-` is standard input. Line ends around it are not part of it.
pub(crate) fn read(path: &Path) -> Result<SubjectToken, Failure> {
    let text = text(path, SubjectToken::LEN_MAX)?;
    SubjectToken::from_presented(text.trim()).map_err(|e| {
        let next = "get a token from the identity provider, with the audience that the broker's configuration names";
        Failure::new(Exit::Usage, format!("{}: {e}", path.display()), next)
    })
}

/// Reads a text of at most `longest` bytes from `path`, and no more than shows that it is longer; `-` is standard input.
pub(crate) fn text(path: &Path, longest: usize) -> Result<Zeroizing<String>, Failure> {
    let most = longest + 64;
    let take = |from: &mut dyn Read| {
        let mut text = Zeroizing::new(String::with_capacity(most));
        from.take(most as u64).read_to_string(&mut text).map(|_| text)
    };
    let text = if path == Path::new("-") {
        take(&mut io::stdin().lock())
    } else {
        File::open(path).and_then(|mut file| take(&mut file))
    };
    text.map_err(|e| {
        Failure::new(Exit::Usage, format!("{} cannot be read: {e}", path.display()), "name a file with the token, or -")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(text.as_bytes()).expect("written");
        file
    }

    #[test]
    fn a_line_end_is_not_part_of_the_token() {
        assert_eq!(read(file("abc.def.ghi\n").path()).expect("a token").expose(), "abc.def.ghi");
    }

    #[test]
    fn refuses_what_holds_no_token_and_shows_nothing_of_it() {
        for text in ["", "\n", "canary one", &"c".repeat(10_000)] {
            let failure = read(file(text).path()).expect_err("no token");
            assert_eq!(failure.exit, Exit::Usage);
            assert!(!failure.what.contains("canary"), "{}", failure.what);
        }
        assert_eq!(read(Path::new("/nowhere/at/all")).expect_err("no file").exit, Exit::Usage);
    }
}
