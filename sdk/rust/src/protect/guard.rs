//! The order of the checks on one request, and its record.

use super::{
    BODY_LEN_MAX, BODY_TIME_MAX, CALL_TIME_MAX, CheckedBody, Dialect, IN_FLIGHT_MAX, IN_FLIGHT_PER_PEER_MAX,
    ProtectSettings, Unmapped,
    answer::{self, AnswerBody, BoxError},
    bearer, dialect,
    in_flight::{InFlight, Room},
    trail::Trail,
};
use crate::decisions::{Decision, Slot, new_record_id};
use bytes::Bytes;
use crumb_identity::{InvalidSvid, PeerSvid};
use crumb_token::{Ask, Audience, Denial, Now, Reason, TokenText};
use http::{Method, Request, Response, request::Parts};
use http_body::Body;
use http_body_util::{BodyExt as _, Full, Limited};
use sha2::{Digest as _, Sha256};
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;

/// Who wrote the rules of this file.
const SERVER: &str = "this tool server";

pub(super) struct Guard {
    settings: ProtectSettings,
    in_flight: InFlight,
}

/// What became of a request.
pub(super) enum Passed {
    /// It was refused, and this is the answer.
    Refused(Response<AnswerBody>),
    /// It needs no token.
    Unasked(Request<CheckedBody>),
    /// It is allowed.
    Allowed(Request<CheckedBody>, Trail),
}

/// A call that was read and not decided yet.
struct Call {
    token: TokenText,
    ask: Ask,
    received: Bytes,
    room: Room,
}

impl Guard {
    pub(super) fn new(settings: ProtectSettings) -> Self {
        Self { settings, in_flight: InFlight::new(IN_FLIGHT_MAX, IN_FLIGHT_PER_PEER_MAX) }
    }

    pub(super) fn audience(&self) -> &Audience {
        self.settings.verifier.audience()
    }

    pub(super) fn dialect(&self) -> Dialect {
        self.settings.dialect
    }

    /// Decides on one request.
    pub(super) async fn pass<B>(&self, request: Request<B>) -> Passed
    where
        B: Body,
        B::Error: Into<BoxError>,
    {
        // RFC 9110 §9.3.2, of HEAD: "the server MUST NOT send content in the response".
        let without_content = request.method() == Method::HEAD;
        match self.judge(request).await {
            Passed::Refused(refusal) if without_content => {
                Passed::Refused(refusal.map(|_| answer::body(Full::default())))
            }
            passed => passed,
        }
    }

    async fn judge<B>(&self, request: Request<B>) -> Passed
    where
        B: Body,
        B::Error: Into<BoxError>,
    {
        let (mut head, body) = request.into_parts();
        // First of all: from here on nobody but the verifier sees the token.
        let token = bearer::take(&mut head.headers);
        if self.dialect().is_health(&head) {
            return Passed::Unasked(Request::from_parts(head, Full::default()));
        }
        let Some(peer) = head.extensions.get::<PeerSvid>().cloned() else {
            // Not recorded, since a record names the peer; and it happens only where no mTLS listener is in front.
            tracing::error!("a request without a peer: the protected service is not served over mTLS");
            return self.refused(&Denial::new(Reason::SvidInvalid).by("the peer's SVID", SERVER));
        };
        let call = self.read(&head, body, &peer, token).await;
        let Ok(slot) = self.settings.recorder.reserve() else {
            return self.refused(&Denial::new(Reason::AuditUnavailable).by("the queue of decision records", SERVER));
        };
        self.decide(head, &peer, call, slot)
    }

    /// Reads the call. What costs little is checked before the body is.
    async fn read<B>(
        &self,
        head: &Parts,
        body: B,
        peer: &PeerSvid,
        token: Result<TokenText, Denial>,
    ) -> Result<Call, Denial>
    where
        B: Body,
        B::Error: Into<BoxError>,
    {
        self.revalidate(peer, self.settings.clock.now())?;
        let token = token?;
        let room = self.in_flight.enter(peer.id()).ok_or_else(|| {
            Denial::new(Reason::Overloaded)
                .by(format_args!("{IN_FLIGHT_PER_PEER_MAX} calls of one peer, {IN_FLIGHT_MAX} in all"), SERVER)
        })?;
        let received = whole(body).await?;
        let ask = self.ask(head, &received).map_err(|why| Denial::new(Reason::AskMalformed).by(why, SERVER))?;
        Ok(Call { token, ask, received, room })
    }

    fn ask(&self, head: &Parts, received: &Bytes) -> Result<Ask, Unmapped> {
        let arguments = self.dialect().arguments(head, received)?;
        let mut ask = self.settings.mapping.ask(head, &arguments)?;
        ask.args_digest = Some(Sha256::digest(&arguments).into());
        Ok(ask)
    }

    fn decide(&self, mut head: Parts, peer: &PeerSvid, call: Result<Call, Denial>, slot: Slot) -> Passed {
        let now = self.settings.clock.now();
        let mut record = self.record(peer);
        let call = match call {
            Ok(call) => call,
            Err(denial) => return self.deny(slot, record, denial.asked(dialect::asked(&head))),
        };
        record.ask = Some(call.ask.clone());
        // Once more, since the body may have taken its time.
        if let Err(denial) = self.revalidate(peer, now) {
            return self.deny(slot, record, denial.asked(&call.ask));
        }
        match self.settings.verifier.decide(&call.token, &call.ask, peer.id(), now).into_result() {
            Err(refused) => {
                record.claims = refused.claims;
                record.hops = refused.hops;
                self.deny(slot, record, refused.denial)
            }
            Ok(verified) => {
                record.claims = Some(Box::new(verified.claims().clone()));
                record.hops = verified.hops().cloned().collect();
                head.extensions.insert(call.ask);
                head.extensions.insert(verified.keep());
                let trail = Trail::begin(slot, Box::new(record), Arc::clone(&self.settings.clock), call.room);
                Passed::Allowed(Request::from_parts(head, Full::new(call.received)), trail)
            }
        }
    }

    /// Checks the peer against the bundles of this moment: the connection may be older than they are.
    fn revalidate(&self, peer: &PeerSvid, now: Now) -> Result<(), Denial> {
        self.settings.workload.revalidate(peer, now.wall).map_err(|why| {
            let reason = if why == InvalidSvid::Expired { Reason::SvidExpired } else { Reason::SvidInvalid };
            Denial::new(reason).by(why.code(), SERVER)
        })
    }

    fn record(&self, peer: &PeerSvid) -> Decision {
        Decision {
            id: new_record_id(),
            at_unix_ms: self.settings.clock.unix_ms(),
            audience: self.audience().clone(),
            peer: peer.id().clone(),
            claims: None,
            hops: Vec::new(),
            ask: None,
            denial: None,
            outcome_status: 0,
            duration: Duration::ZERO,
        }
    }

    fn deny(&self, slot: Slot, mut record: Decision, denial: Denial) -> Passed {
        tracing::info!(peer = %record.peer, asked = denial.asked, reason = %denial.reason, rule = denial.rule, record = %record.id, "call refused");
        let passed = self.refused(&denial);
        record.denial = Some(denial);
        slot.fill(record);
        passed
    }

    fn refused(&self, denial: &Denial) -> Passed {
        Passed::Refused(self.dialect().refusal(denial, self.audience()))
    }

    /// Answers for a tool that does not.
    pub(super) fn tool_hangs(&self) -> Response<AnswerBody> {
        let rule = format!("an answer within {} s", CALL_TIME_MAX.as_secs());
        self.dialect().refusal(&Denial::new(Reason::Indeterminate).by(rule, SERVER), self.audience())
    }
}

/// Reads a body to its end, within the limits.
async fn whole<B>(body: B) -> Result<Bytes, Denial>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    let malformed = |rule: String| Denial::new(Reason::AskMalformed).by(rule, SERVER);
    let too_long = || malformed(format!("a body of at most {BODY_LEN_MAX} bytes"));
    if body.size_hint().lower() > BODY_LEN_MAX as u64 {
        return Err(too_long());
    }
    let read = timeout(BODY_TIME_MAX, Limited::new(body, BODY_LEN_MAX).collect()).await;
    let read = read.map_err(|_| malformed(format!("a body within {} s", BODY_TIME_MAX.as_secs())))?;
    match read {
        Ok(body) => Ok(body.to_bytes()),
        Err(why) if why.is::<http_body_util::LengthLimitError>() => Err(too_long()),
        Err(_) => Err(malformed("a whole body".to_owned())),
    }
}
