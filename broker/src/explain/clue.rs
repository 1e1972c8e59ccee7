//! The numbers that something can be asked about, told apart by their prefix.

use super::About;
use crumb_token::{ApprovalId, RecordId, RequestId, SessionId, TokenId};
use std::{fmt, str::FromStr};

/// A text that is no number of anything that can be explained. The text itself is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is req_, tok_, apr_, ses_ or rec_ and 32 hexadecimal digits; `crumb audit tail -o json` shows them")]
pub struct InvalidNumber;

/// What somebody asks about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Number {
    /// A request.
    Request(RequestId),
    /// A token.
    Token(TokenId),
    /// A request for approval.
    Approval(ApprovalId),
    /// A session.
    Session(SessionId),
    /// A record.
    Record(RecordId),
}

impl Number {
    /// Returns what it is the number of.
    pub fn about(self) -> About {
        match self {
            Self::Request(_) => About::Request,
            Self::Token(_) => About::Token,
            Self::Approval(_) => About::Approval,
            Self::Session(_) => About::Session,
            Self::Record(_) => About::Record,
        }
    }
}

impl FromStr for Number {
    type Err = InvalidNumber;

    fn from_str(text: &str) -> Result<Self, InvalidNumber> {
        let read = match text.get(..4) {
            Some("req_") => text.parse().ok().map(Self::Request),
            Some("tok_") => text.parse().ok().map(Self::Token),
            Some("apr_") => text.parse().ok().map(Self::Approval),
            Some("ses_") => text.parse().ok().map(Self::Session),
            Some("rec_") => text.parse().ok().map(Self::Record),
            _ => None,
        };
        read.ok_or(InvalidNumber)
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(id) => id.fmt(f),
            Self::Token(id) => id.fmt(f),
            Self::Approval(id) => id.fmt(f),
            Self::Session(id) => id.fmt(f),
            Self::Record(id) => id.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_says_what_it_is_of() {
        for (prefix, about) in [
            ("req", About::Request),
            ("tok", About::Token),
            ("apr", About::Approval),
            ("ses", About::Session),
            ("rec", About::Record),
        ] {
            let text = format!("{prefix}_01983f00000070008000000000000001");
            let number: Number = text.parse().expect("a number");
            assert_eq!((number.about(), number.to_string()), (about, text));
        }
    }

    #[test]
    fn refuses_what_is_no_number_and_does_not_repeat_it() {
        let long = format!("ses_{}", "0".repeat(5000));
        for bad in
            ["", "ses", "ses_", "\u{e9}\u{e9}\u{e9}", "tsk_01983f00000070008000000000000001", "ses_\u{1b}[31m", &long]
        {
            let said = bad.parse::<Number>().expect_err("no number").to_string();
            assert!(bad.is_empty() || bad == "ses" || bad == "ses_" || !said.contains(bad), "{said}");
        }
    }
}
