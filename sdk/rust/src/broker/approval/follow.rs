//! Following a request for approval until people have decided, and asking again then.
//!
//! # Invariants
//!
//! - A wait ends by itself, whatever the broker does. Between two attempts there is a pause, and while nothing changes the
//!   broker is silent.
//! - What was approved is asked for with the same words, and with a request id of its own.

use super::{Approval, ApprovalState, awaited};
use crate::{
    backoff::Backoff,
    broker::{BrokerClient, Exchange, PAUSE, SubjectToken, TaskToken, new_request_id, subject_token::exposed},
    failure::{CallFailed, Party},
};
use crumb_proto::wire::{self, approval_service_client::ApprovalServiceClient};
use crumb_token::{ApprovalId, denial::Class};
use std::time::Duration;
use tokio::time::{sleep, timeout};
use tonic::Streaming;

/// The longest wait: a request is over by then.
pub const WAIT_MAX: Duration = Duration::from_secs(60 * 60);

/// The changes of one request.
#[derive(Debug)]
pub struct ApprovalWatch(Streaming<wire::Approval>);

impl ApprovalWatch {
    /// Waits for the next change; the first one is how the request is now. `None` after the last.
    ///
    /// # Errors
    ///
    /// [`CallFailed`].
    pub async fn next(&mut self) -> Result<Option<Approval>, CallFailed> {
        let told = self.0.message().await.map_err(|status| CallFailed::from_status(Party::Broker, &status))?;
        told.as_ref().map(Approval::read).transpose()
    }
}

impl BrokerClient {
    /// Follows a request; `by` says who looks, when it is a person and not this workload.
    ///
    /// # Errors
    ///
    /// [`CallFailed`].
    pub async fn watch_approval(&self, id: ApprovalId, by: Option<&SubjectToken>) -> Result<ApprovalWatch, CallFailed> {
        let message = wire::WatchApprovalRequest { approval_id: id.to_string(), approver_token: exposed(by) };
        let call = |channel| {
            let message = message.clone();
            async move { ApprovalServiceClient::new(channel).watch_approval(message).await }
        };
        Ok(ApprovalWatch(self.call(call).await?))
    }

    /// Waits until this workload's own request is approved, at most `wait`, and at most [`WAIT_MAX`].
    ///
    /// Returns `None` when the time was up first; the request stays open.
    ///
    /// # Errors
    ///
    /// [`CallFailed`] when it will never be approved: refused, expired, used, or not this workload's.
    pub async fn await_approval(&self, id: ApprovalId, wait: Duration) -> Result<Option<Approval>, CallFailed> {
        timeout(wait.min(WAIT_MAX), self.approved(id)).await.map_or(Ok(None), |approved| approved.map(Some))
    }

    /// Exchanges our X.509-SVID for a task token; when that needs an approval, waits for it, at most `wait`, and asks the
    /// same again.
    ///
    /// # Errors
    ///
    /// [`CallFailed`]; `approval_needed`, with the request's id as what was asked, when the time was up first.
    pub async fn exchange_waiting(&self, exchange: &Exchange, wait: Duration) -> Result<TaskToken, CallFailed> {
        let denied = match self.exchange(exchange).await {
            Err(CallFailed::Denied(denial)) => denial,
            done => return done,
        };
        let Some(id) = awaited(&denied) else { return Err(CallFailed::Denied(denied)) };
        match self.await_approval(id, wait).await? {
            // The broker answers the same request id with the same denial.
            Some(_) => self.exchange(&Exchange { request: new_request_id(), ..exchange.clone() }).await,
            None => Err(CallFailed::Denied(denied)),
        }
    }

    /// Follows a request over lost connections until it is approved.
    async fn approved(&self, id: ApprovalId) -> Result<Approval, CallFailed> {
        let mut backoff = Backoff::new(PAUSE.0, PAUSE.1);
        loop {
            match self.watched(id).await {
                Ok(Some(approval)) => return Ok(approval),
                Err(failed) if !passes(&failed) => return Err(failed),
                // The broker ended the stream, or cannot be reached for now.
                Ok(None) | Err(_) => sleep(backoff.pause()).await,
            }
        }
    }

    async fn watched(&self, id: ApprovalId) -> Result<Option<Approval>, CallFailed> {
        let mut watch = self.watch_approval(id, None).await?;
        while let Some(approval) = watch.next().await? {
            if let Some(denial) = approval.refusal() {
                return Err(CallFailed::Denied(Box::new(denial)));
            }
            if approval.state == ApprovalState::Approved {
                return Ok(Some(approval));
            }
        }
        Ok(None)
    }
}

/// Says whether the same may come out otherwise in a while.
fn passes(failed: &CallFailed) -> bool {
    match failed {
        CallFailed::Denied(denial) => matches!(denial.reason.class(), Class::Unavailable | Class::Exhausted),
        CallFailed::Unreachable { .. } => true,
        CallFailed::Unreadable { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crumb_token::{Denial, Reason};

    #[test]
    fn waits_on_through_what_passes_and_through_nothing_else() {
        let denied = |reason| CallFailed::Denied(Box::new(Denial::new(reason)));
        assert!(passes(&CallFailed::Unreachable { party: Party::Broker, why: "gone".into() }));
        assert!(passes(&denied(Reason::Overloaded)) && passes(&denied(Reason::StoreUnavailable)));
        assert!(!passes(&denied(Reason::ApprovalUnknown)) && !passes(&denied(Reason::ApprovalDenied)));
    }
}
