//! Telling others what happened: events, kept in the store until everybody who wants them has them.
//!
//! Events go to the webhooks of the configuration, and to the log, which is told like a webhook that is always there. What
//! each event says is the contract of `docs/events.md`; an event is a notice, and whoever acts upon it looks first.
//!
//! # Invariants
//!
//! - At least once: an event that follows from a change is written in the transaction of the change (approvals asked for and
//!   decided, sessions contracted, halted and resumed, stops), and one that follows from the time or from what is in force
//!   is written together with the note that it was told (approvals that end, agents, issuers' keys). It is taken out when
//!   the other end has said that it has it.
//! - No event holds a token, a key, or an argument of a call.
//! - One task owns the deliveries, and ends with the broker. What waits is bounded, and what is dropped is counted and told.

mod delivery;
mod event;
mod facts;
mod secret;
mod standing;
mod webhook;

pub use event::{Data, Event, Kind};
pub use facts::{
    AgentFacts, ApprovalFacts, DriftFacts, DroppedFacts, IssuerFacts, Moment, ReviewFacts, Right, SessionAbove,
    SessionFacts, StopFacts, StrangerFacts, VoteFacts,
};
pub use secret::{InvalidSecret, SigningSecret};
pub use webhook::{InvalidWebhook, UnusableWebhook, Webhook, WebhookName, Webhooks};

use crate::{
    broker::Broker,
    store::{Store, StoreError},
};
use delivery::Outlet;
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// How long an event that is under way at the end gets to arrive, so that it need not be sent again.
const GRACE: Duration = Duration::from_secs(1);

/// Everybody who is told.
#[derive(Debug)]
pub(crate) struct Outlets(Vec<Outlet>);

/// Says who is told from now on: before anything can happen that they would miss.
///
/// # Errors
///
/// [`StoreError`], and nothing was changed.
pub(crate) async fn begin(store: &dyn Store, webhooks: Webhooks) -> Result<Outlets, StoreError> {
    let outlets = Outlet::all(webhooks);
    let forgotten = store.set_recipients(outlets.iter().map(Outlet::recipient).collect()).await?;
    if forgotten > 0 {
        tracing::warn!(forgotten, "events waited for webhooks that are not configured any more");
    }
    Ok(Outlets(outlets))
}

/// Tells events until `stop`.
pub(crate) async fn run(broker: Arc<Broker>, Outlets(outlets): Outlets, stop: CancellationToken) {
    let telling = async {
        let delivering = futures::future::join_all(outlets.iter().map(|outlet| outlet.deliver(&broker, &stop)));
        tokio::join!(standing::watch(&broker, &stop), delivering);
    };
    let end = async {
        stop.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        () = telling => {}
        () = end => {}
    }
}

/// Waits; says whether it is time to end.
async fn ends_within(pause: Duration, stop: &CancellationToken) -> bool {
    tokio::time::timeout(pause, stop.cancelled()).await.is_ok()
}
