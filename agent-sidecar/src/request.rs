//! What a caller asked a task token for: the exact request, which is also what tokens are kept by.
//!
//! Everything that could make two tokens differ is in the key, so a token can never be handed out for another request,
//! or to another caller.

use crumb_attestors::unix_process::LocalIdentity;
use crumb_token::{AgentName, Audience, Grants, Intent, SessionId, SpiffeId};
use std::sync::Arc;

/// Who will present the token, and with whose SVID.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Presenter {
    /// The sidecar makes the calls.
    Sidecar,
    /// The agent makes the calls; this is its SPIFFE ID.
    Agent(SpiffeId),
}

/// One exact request for a task token.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RequestKey {
    /// Who asked.
    pub(crate) caller: Arc<LocalIdentity>,
    /// In which session.
    pub(crate) session: SessionId,
    /// For which step of it. It is in the key because the broker records it for each token.
    pub(crate) task: Option<Intent>,
    /// At which tool server.
    pub(crate) audience: Audience,
    /// For which rights.
    pub(crate) grants: Grants,
    /// For how many seconds; 0 leaves it to the broker.
    pub(crate) ttl_s: u32,
    /// Who will present it.
    pub(crate) presenter: Presenter,
    /// To whom it may be handed on, offline.
    pub(crate) may_act: Vec<(AgentName, SpiffeId)>,
}
