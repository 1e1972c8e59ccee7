//! What an actor is told, and what it answers: the words on the pipe between the demo and its agents.
//!
//! A token is named by its id and is never in a message.

use crumb_token::Denial;
use serde::{Deserialize, Serialize};

/// One thing to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "do")]
pub(crate) enum Order {
    /// Open a session for a user. Rights are written as `--allow` takes them.
    Open { agent: String, user: String, intent: String, allow: Vec<String> },
    /// Open a session for another agent inside one's own.
    Delegate { session: String, to: String, intent: String, allow: Vec<String> },
    /// Ask what a session is.
    Describe { session: String },
    /// Ask for a task token.
    Exchange { session: String, allow: Vec<String> },
    /// Use a token at a tool server.
    Call { token: String, server: String, tool: String, path: String },
    /// Approve a request, as this workload.
    Approve { approval: String },
}

/// What came of it. What does not apply is empty.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Reply {
    /// Why it was refused, when it was.
    pub(crate) refused: Option<Refused>,
    /// The session that was opened.
    pub(crate) session: String,
    /// The id of the token that was issued.
    pub(crate) token: String,
    /// What it allows.
    pub(crate) grants: Vec<String>,
    /// The sessions above, the outermost first.
    pub(crate) above: Vec<String>,
    /// What set off the outermost one.
    pub(crate) origin: String,
    /// What the tool server answered, as HTTP has it.
    pub(crate) status: u16,
}

impl Reply {
    pub(crate) fn refused(denial: &Denial) -> Self {
        Self { refused: Some(denial.into()), ..Self::default() }
    }
}

/// A denial, in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refused {
    pub(crate) reason: String,
    pub(crate) asked: String,
    pub(crate) rule: String,
    pub(crate) author: String,
    pub(crate) next: String,
}

impl From<&Denial> for Refused {
    fn from(denial: &Denial) -> Self {
        Self {
            reason: denial.reason.code().to_owned(),
            asked: denial.asked.clone(),
            rule: denial.rule.clone(),
            author: denial.author.clone(),
            next: denial.next.clone(),
        }
    }
}

impl Refused {
    /// What of the ask would have passed, when the refusal says so.
    pub(crate) fn narrowing(&self) -> Option<&str> {
        self.next.strip_prefix("this would pass: ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crumb_token::Reason;

    #[test]
    fn a_refusal_keeps_its_words_on_the_way_and_tells_its_narrowing() {
        let denial = Denial::new(Reason::OutsideEnvelope).asked("a").next("this would pass: read_file read docs/*");
        let line = serde_json::to_string(&Reply::refused(&denial)).expect("plain data");
        let read: Reply = serde_json::from_str(&line).expect("the same");
        let refused = read.refused.expect("refused");
        assert_eq!((refused.reason.as_str(), refused.narrowing()), ("outside_envelope", Some("read_file read docs/*")));
        assert_eq!(Refused::from(&Denial::new(Reason::TokenRevoked)).narrowing(), None);
    }
}
