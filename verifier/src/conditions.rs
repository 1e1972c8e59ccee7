//! The rules that depend on the call, grants and caveats, in their plain form: which of them says no, and who wrote it.
//!
//! [`crate::program`] decides every call; this is asked only when the answer is no, and has to agree. Biscuit's own Datalog
//! evaluator is the oracle that a differential test compares both with; it does not run here, since its limits do not stop a
//! hostile token.

use crumb_token::{Ask, Audience, Caveat, Claims, Denial, Grant, Reason, SpiffeId, Timestamp};

/// Who wrote the authority block and signs revocations.
pub(crate) const BROKER: &str = "the broker";

/// One call, as its enforcement point saw it.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) ask: &'a Ask,
    pub(crate) peer: &'a SpiffeId,
    pub(crate) server: &'a Audience,
    pub(crate) time: Timestamp,
}

/// The rules of one token.
pub(crate) struct Rules<'a> {
    pub(crate) claims: &'a Claims,
    /// Who may present it, and in which block that stands: the last hop, or the authority block.
    pub(crate) holder: &'a SpiffeId,
    pub(crate) named_in: usize,
    /// The caveats of each appended block, in order.
    pub(crate) blocks: Vec<&'a [Caveat]>,
}

/// Returns the denial of the rule in block `block` (0 is the authority block) that `name` names.
pub(crate) fn broken(reason: Reason, block: usize, name: &str) -> Denial {
    match block {
        0 => Denial::new(reason).by(format_args!("authority block, {name}"), BROKER),
        n => Denial::new(reason).by(format_args!("block {n}, {name}"), format_args!("a holder (block {n})")),
    }
}

/// Holds the call to the token's end: the earliest of all blocks, named by the first block that has passed it.
pub(crate) fn check_expiry(rules: &Rules<'_>, time: Timestamp) -> Result<(), Denial> {
    let ended = |at: &Timestamp| time >= *at;
    if ended(&rules.claims.expires_at) {
        return Err(broken(Reason::TokenExpired, 0, "expiry"));
    }
    let block =
        rules.blocks.iter().position(|caveats| caveats.iter().any(|c| matches!(c, Caveat::ExpiresAt(at) if ended(at))));
    block.map_or(Ok(()), |i| Err(broken(Reason::TokenExpired, i + 1, "expiry")))
}

/// Holds the call to the holder, and to the authority block: audience, grants.
pub(crate) fn check_authority(rules: &Rules<'_>, call: &Call<'_>) -> Result<(), Denial> {
    if rules.holder != call.peer {
        return Err(broken(Reason::HolderMismatch, rules.named_in, "holder"));
    }
    let claims = rules.claims;
    if claims.audience != *call.server {
        return Err(broken(Reason::AudienceMismatch, 0, "audience"));
    }
    check_grants(claims, call.ask)
}

fn check_grants(claims: &Claims, ask: &Ask) -> Result<(), Denial> {
    if claims.grants.covers(&ask.tool, &ask.operation, &ask.resource) {
        return Ok(());
    }
    let of_tool: Vec<&Grant> = claims.grants.iter().filter(|g| g.tool == ask.tool).collect();
    let reason = if of_tool.is_empty() {
        Reason::ToolNotGranted
    } else if of_tool.iter().any(|g| g.operation == ask.operation) {
        Reason::ResourceNotGranted
    } else {
        Reason::OperationNotGranted
    };
    Err(broken(reason, 0, "grant"))
}

/// Holds the call to every caveat of every appended block, in order. Nonces are left to [`crate::nonces`].
pub(crate) fn check_caveats(rules: &Rules<'_>, call: &Call<'_>) -> Result<(), Denial> {
    for (i, caveats) in rules.blocks.iter().enumerate() {
        for caveat in *caveats {
            if !holds(caveat, call) {
                let (reason, name) = describe(caveat);
                return Err(broken(reason, i + 1, &name));
            }
        }
    }
    Ok(())
}

fn holds(caveat: &Caveat, call: &Call<'_>) -> bool {
    let ask = call.ask;
    match caveat {
        Caveat::Tool(tool) => *tool == ask.tool,
        Caveat::ToolOneOf(tools) => tools.contains(&ask.tool),
        Caveat::Operation(operation) => *operation == ask.operation,
        Caveat::Resource(pattern) => pattern.covers(&ask.resource),
        Caveat::Arg { name, rule } => rule.holds(name, &ask.args),
        Caveat::ArgsDigest(digest) => ask.args_digest.as_ref() == Some(digest),
        Caveat::Audience(audience) => audience == call.server,
        Caveat::ExpiresAt(at) => call.time < *at,
        Caveat::Holder(holder) => holder == call.peer,
        Caveat::Nonce(_) => true,
    }
}

/// Returns the reason to give when a caveat does not hold, and its name.
pub(crate) fn describe(caveat: &Caveat) -> (Reason, String) {
    let (reason, name) = match caveat {
        Caveat::Tool(_) | Caveat::ToolOneOf(_) => (Reason::ToolNotGranted, "tool"),
        Caveat::Operation(_) => (Reason::OperationNotGranted, "operation"),
        Caveat::Resource(_) => (Reason::ResourceNotGranted, "resource"),
        Caveat::Arg { name, .. } => return (Reason::ArgumentRefused, format!("argument {name}")),
        Caveat::ArgsDigest(_) => (Reason::ArgumentRefused, "arguments digest"),
        Caveat::Audience(_) => (Reason::AudienceMismatch, "audience"),
        Caveat::ExpiresAt(_) => (Reason::TokenExpired, "expiry"),
        Caveat::Nonce(_) => (Reason::NonceReplayed, "nonce"),
        Caveat::Holder(_) => (Reason::HolderMismatch, "holder"),
    };
    (reason, name.to_owned())
}
