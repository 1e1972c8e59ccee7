//! The rule that an owner is a person: somebody who can be asked, not a mailbox that nobody reads.

use crumb_token::{Owner, text::InvalidText};
use std::str::FromStr;

/// An owner who is no named human.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotAPerson {
    /// Not a text that the field takes.
    #[error("an owner {0}")]
    Text(InvalidText),
    /// Not `name@domain`.
    #[error("an owner is the mail address of one person, such as ada@acme.example")]
    Address,
    /// A group or a function.
    #[error("`{0}` is a group or a function; an owner is one person who can be asked")]
    Group(String),
}

/// Names of mailboxes that are functions, not people, when they are the whole local part.
const FUNCTIONS: &[&str] = &[
    "abuse",
    "admin",
    "administrator",
    "agents",
    "ai",
    "all",
    "alerts",
    "billing",
    "bot",
    "compliance",
    "contact",
    "data",
    "dev",
    "developers",
    "devops",
    "everyone",
    "hello",
    "help",
    "helpdesk",
    "hostmaster",
    "info",
    "infra",
    "it",
    "legal",
    "mail",
    "no-reply",
    "nobody",
    "noreply",
    "office",
    "oncall",
    "on-call",
    "operations",
    "ops",
    "owner",
    "owners",
    "platform",
    "postmaster",
    "privacy",
    "root",
    "sales",
    "secops",
    "security",
    "service",
    "sre",
    "staff",
    "support",
    "system",
    "unknown",
    "user",
    "users",
    "webmaster",
];

/// Words that make a local part a group wherever they stand in it, as in `ai-team`.
const GROUP_WORDS: &[&str] = &["team", "teams", "group", "groups", "list", "squad", "dept", "department"];

/// An owner that passed the rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Person(pub(super) Owner);

impl FromStr for Person {
    type Err = NotAPerson;

    fn from_str(text: &str) -> Result<Self, NotAPerson> {
        let owner: Owner = text.parse().map_err(NotAPerson::Text)?;
        let (local, domain) = text.split_once('@').ok_or(NotAPerson::Address)?;
        let whole = !local.is_empty() && domain.contains('.') && !domain.contains('@') && !domain.starts_with('.');
        if !whole || domain.ends_with('.') {
            return Err(NotAPerson::Address);
        }
        let name = local.to_ascii_lowercase();
        let mut words = name.split(['.', '-', '_', '+']);
        if FUNCTIONS.contains(&name.as_str()) || words.any(|word| GROUP_WORDS.contains(&word)) {
            return Err(NotAPerson::Group(text.to_owned()));
        }
        Ok(Self(owner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_a_person() {
        for good in ["ada@acme.example", "ada.lovelace@mail.acme.example", "a-b@acme.example", "root.ada@acme.example"]
        {
            assert!(good.parse::<Person>().is_ok(), "{good}");
        }
    }

    #[test]
    fn refuses_groups_functions_and_what_is_no_address() {
        for group in
            ["team@a.example", "AI-Team@a.example", "security@a.example", "No-Reply@a.example", "ops@a.example"]
        {
            assert!(matches!(group.parse::<Person>(), Err(NotAPerson::Group(_))), "{group}");
        }
        for bad in
            ["", "ada", "@a.example", "ada@", "ada@localhost", "ada@b@c.example", "ada@.example", "a b@c.example"]
        {
            assert!(bad.parse::<Person>().is_err(), "{bad:?}");
        }
    }
}
