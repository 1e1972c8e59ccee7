//! What a token says about the agent: its registered name, version, owner and environment.

use crate::bounded_text;

bounded_text! {
    /// The registered name of an agent, such as `research-bot`: the key of its manifest.
    AgentName, 64, |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'
}

bounded_text! {
    /// The version an agent was registered with, such as `1.4.0`.
    Version, 64, |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '+')
}

bounded_text! {
    /// The named human who answers for an agent or a tool server, by mail address.
    Owner, 254, |c| c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '<' | '>')
}

bounded_text! {
    /// Where an agent is allowed to run, such as `development` or `production`.
    Environment, 32, |c| c.is_ascii_lowercase() || c == '-'
}
