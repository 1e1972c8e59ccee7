//! The edge: `crumb.v1.SidecarService`. Messages become vocabulary here, and denials become statuses.
//!
//! Nothing in a message says who calls. Every call takes a turn, asks the kernel again who is at the other end, and only
//! then looks at the message.

mod message;

use crate::{
    caller::{Attested, Caller},
    in_flight::{InFlight, REQUESTS, Turn, WAITS},
    narrow::CallTtl,
    sidecar::{Beginning, Begun, Sidecar},
    sparse::Sparse,
};
use bytes::Bytes;
use crumb_proto::{
    convert::to_denial,
    to_status,
    wire::{self, sidecar_service_server::SidecarService},
};
use crumb_sdk::broker::approval::awaited;
use crumb_token::{Ask, Denial, Reason, TokenText};
use message::{
    read, read_ask, read_beginning, read_delegating, read_digest, read_handing_over, read_opening, read_wait, to_begun,
    to_description,
};
use std::{future::ready, pin::pin, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use zeroize::Zeroizing;

/// The longest arguments of a call, in bytes: as the protocol says, and what a tool server accepts.
pub(crate) const ARGUMENTS_LEN_MAX: usize = 64 * 1024;
/// The longest message that is read at all, in bytes: the longest arguments, and the rest of a call.
pub(crate) const MESSAGE_LEN_MAX: usize = ARGUMENTS_LEN_MAX + 8 * 1024;

/// The service of one sidecar.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    sidecar: Arc<Sidecar>,
    in_flight: InFlight,
    waits: InFlight,
    turned_away: Arc<Sparse>,
    shutdown: CancellationToken,
}

/// Who calls, and its turn; held for as long as the call is answered.
struct Admitted {
    peer: Caller,
    caller: Attested,
    turn: Arc<Turn>,
}

impl Service {
    /// Serves what `sidecar` does. Nobody waits for people beyond `shutdown`.
    pub(crate) fn new(sidecar: Arc<Sidecar>, shutdown: CancellationToken) -> Self {
        let (in_flight, waits) = (InFlight::new(REQUESTS), InFlight::new(WAITS));
        Self { sidecar, in_flight, waits, turned_away: Arc::default(), shutdown }
    }

    async fn admit<T: Send>(&self, request: Request<T>) -> Result<(Admitted, T), Status> {
        let (_, extensions, message) = request.into_parts();
        let peer = extensions.get::<Caller>().cloned();
        let peer = peer.ok_or_else(|| to_status(&Denial::new(Reason::CallerUnattested)))?;
        let admitted = async {
            let turn = Arc::new(self.in_flight.enter(peer.unchecked_identity()?)?);
            let caller = peer.check(Arc::clone(&turn)).await?;
            Ok(Admitted { peer, caller, turn })
        };
        Ok((admitted.await.map_err(|denial| self.turn_away(&denial))?, message))
    }

    /// Waits for the approval that `denial` asks for, at most `wait`, and begins the task then.
    async fn begin_when_approved(
        &self,
        admitted: &Admitted,
        beginning: Beginning,
        wait: Duration,
        denial: Denial,
    ) -> Result<Begun, Denial> {
        let Some(approval) = awaited(&denial) else { return Err(denial) };
        let _place = self.waits.enter(&admitted.caller.identity)?;
        let approved = self.shutdown.run_until_cancelled(self.sidecar.await_approval(approval, wait)).await;
        if !approved.unwrap_or(Ok(false))? {
            return Err(denial);
        }
        // Minutes may have passed; what the broker is told now is about who is there now.
        let caller = admitted.peer.check(Arc::clone(&admitted.turn)).await?;
        self.sidecar.begin(&caller, beginning).await
    }

    /// Refuses a caller who may be anybody.
    fn turn_away(&self, denial: &Denial) -> Status {
        if let Some(count) = self.turned_away.count() {
            tracing::info!(reason = %denial.reason, asked = %denial.asked, rule = %denial.rule, count, "turned away");
        }
        to_status(denial)
    }
}

#[tonic::async_trait]
impl SidecarService for Service {
    async fn open(&self, request: Request<wire::OpenRequest>) -> Result<Response<wire::OpenResponse>, Status> {
        let (admitted, mut message) = self.admit(request).await?;
        let opening = read(|v| read_opening(v, &mut message))?;
        let (session, end) = self.sidecar.open(&admitted.caller, opening).await.map_err(|denial| refused(&denial))?;
        Ok(Response::new(wire::OpenResponse { session_id: session.to_string(), expires_at: end.as_unix_s() }))
    }

    async fn close(&self, request: Request<wire::CloseRequest>) -> Result<Response<wire::CloseResponse>, Status> {
        let (admitted, message) = self.admit(request).await?;
        let session = read(|v| v.parse("session_id", &message.session_id))?;
        self.sidecar.close(&admitted.caller, session).await.map_err(|denial| refused(&denial))?;
        Ok(Response::new(wire::CloseResponse {}))
    }

    async fn delegate(
        &self,
        request: Request<wire::DelegateWithinRequest>,
    ) -> Result<Response<wire::OpenResponse>, Status> {
        let (admitted, message) = self.admit(request).await?;
        let delegating = read(|v| read_delegating(v, &message))?;
        let delegated = self.sidecar.delegate(&admitted.caller, delegating).await;
        let (session, end) = delegated.map_err(|denial| refused(&denial))?;
        Ok(Response::new(wire::OpenResponse { session_id: session.to_string(), expires_at: end.as_unix_s() }))
    }

    async fn adopt(
        &self,
        request: Request<wire::AdoptRequest>,
    ) -> Result<Response<wire::DescribeSessionResponse>, Status> {
        let (admitted, message) = self.admit(request).await?;
        let session = read(|v| v.parse("session_id", &message.session_id))?;
        let adopted = self.sidecar.adopt(&admitted.caller, session).await.map_err(|denial| refused(&denial))?;
        Ok(Response::new(to_description(&adopted)))
    }

    async fn describe_session(
        &self,
        request: Request<wire::DescribeSessionRequest>,
    ) -> Result<Response<wire::DescribeSessionResponse>, Status> {
        let (admitted, message) = self.admit(request).await?;
        let session = read(|v| v.parse("session_id", &message.session_id))?;
        let described = self.sidecar.describe(&admitted.caller, session).await.map_err(|denial| refused(&denial))?;
        Ok(Response::new(to_description(&described)))
    }

    async fn begin_task(
        &self,
        request: Request<wire::BeginTaskRequest>,
    ) -> Result<Response<wire::BeginTaskResponse>, Status> {
        let (admitted, message) = self.admit(request).await?;
        let (beginning, wait) = read(|v| {
            let wait = read_wait(v, message.wait_s);
            Some((read_beginning(v, &message)?, wait?))
        })?;
        let begun = match self.sidecar.begin(&admitted.caller, beginning.clone()).await {
            Err(denial) if !wait.is_zero() => self.begin_when_approved(&admitted, beginning, wait, denial).await,
            begun => begun,
        };
        let begun = begun.map_err(|denial| refused(&denial))?;
        Ok(Response::new(to_begun(&begun)))
    }

    async fn hand_over(
        &self,
        request: Request<wire::HandOverRequest>,
    ) -> Result<Response<wire::HandOverResponse>, Status> {
        let (admitted, message) = self.admit(request).await?;
        let handing = read(|v| read_handing_over(v, &message))?;
        let handed = self.sidecar.hand_over(&admitted.caller, handing).await;
        let (token, end) = handed.map_err(|denial| refused(&denial))?;
        // The broker may have been asked in between; as with a call token.
        admitted.peer.check(admitted.turn).await.map_err(|denial| refused(&denial))?;
        let (token, expires_at) = (token.expose().to_owned(), end.as_unix_s());
        Ok(Response::new(wire::HandOverResponse { token, expires_at }))
    }

    async fn accept(&self, request: Request<wire::AcceptRequest>) -> Result<Response<wire::BeginTaskResponse>, Status> {
        let (admitted, mut message) = self.admit(request).await?;
        let token = Zeroizing::new(std::mem::take(&mut message.token));
        let token = read(|v| v.keep("token", TokenText::from_presented(&token)))?;
        let begun = self.sidecar.accept(&admitted.caller, &token).map_err(|denial| refused(&denial))?;
        Ok(Response::new(to_begun(&begun)))
    }

    async fn call_token(
        &self,
        request: Request<wire::CallTokenRequest>,
    ) -> Result<Response<wire::CallTokenResponse>, Status> {
        let (admitted, message) = self.admit(request).await?;
        let (task, ask, ttl) = read(|v| {
            let task = v.parse("task_id", &message.task_id);
            let ask = read_ask(v, &message.tool, &message.operation, &message.resource);
            let digest = read_digest(v, &message.args_digest);
            let ttl = v.keep("ttl_s", CallTtl::try_from_s(message.ttl_s));
            Some((task?, Ask { args_digest: digest?, ..ask? }, ttl?))
        })?;
        let mut making = pin!(self.sidecar.call_token(&admitted.caller, task, &ask, ttl));
        let (made, waited) = tokio::select! {
            biased;
            made = &mut making => (made, false),
            () = ready(()) => (making.await, true),
        };
        let token = made.map_err(|denial| refused(&denial))?;
        if waited {
            // The broker may have been asked in between, for seconds; a secret goes only to who is there now.
            admitted.peer.check(admitted.turn).await.map_err(|denial| refused(&denial))?;
        }
        let expires_at = token.expires_at.as_unix_s();
        Ok(Response::new(wire::CallTokenResponse { token: token.token.expose().to_owned(), expires_at }))
    }

    async fn call(&self, request: Request<wire::CallRequest>) -> Result<Response<wire::CallResponse>, Status> {
        let (admitted, message) = self.admit(request).await?;
        let (task, ask) = read(|v| {
            if message.arguments.len() > ARGUMENTS_LEN_MAX {
                v.add("arguments", format!("has more than {ARGUMENTS_LEN_MAX} bytes"));
            }
            let task = v.parse("task_id", &message.task_id);
            Some((task?, read_ask(v, &message.tool, &message.operation, &message.resource)?))
        })?;
        let answer = self.sidecar.call(&admitted.caller, task, ask, Bytes::from(message.arguments)).await;
        let answer = answer.map_err(|denial| refused(&denial))?;
        Ok(Response::new(wire::CallResponse {
            status: answer.status.into(),
            body: answer.body.into(),
            denial: answer.denial.as_ref().map(to_denial),
        }))
    }

    async fn status(&self, request: Request<wire::StatusRequest>) -> Result<Response<wire::StatusResponse>, Status> {
        let (_admitted, _) = self.admit(request).await?;
        let health = self.sidecar.health().await;
        Ok(Response::new(wire::StatusResponse {
            spiffe_id: health.spiffe_id.to_string(),
            identity_provider: health.identity_provider.to_owned(),
            svid_expires_at: health.svid_expires_at.map_or(0, crumb_token::Timestamp::as_unix_s),
            memory_locked: health.memory_locked,
            sessions: u32::try_from(health.sessions).unwrap_or(u32::MAX),
            task_tokens: u32::try_from(health.task_tokens).unwrap_or(u32::MAX),
            delegation_key: health.delegation_key.as_bytes().to_vec(),
            handed_tokens: u32::try_from(health.handed_tokens).unwrap_or(u32::MAX),
        }))
    }
}

fn refused(denial: &Denial) -> Status {
    tracing::info!(reason = %denial.reason, asked = %denial.asked, rule = %denial.rule, "refused");
    to_status(denial)
}
