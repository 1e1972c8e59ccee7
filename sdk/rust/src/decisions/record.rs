//! One decision of a tool server on one call, with its outcome.

use crumb_proto::{convert::to_denial, wire};
use crumb_token::{Ask, Audience, Claims, Denial, RecordId, SpiffeId, handover::Hop};
use prost::Message as _;
use std::time::Duration;
use uuid::Uuid;

/// The most records in one message, by audit.proto.
pub(super) const MESSAGE_RECORDS_MAX: usize = 256;

/// The most bytes of records in one message: what a service takes, less some for the framing of each record.
const MESSAGE_BYTES_MAX: usize = crumb_proto::MESSAGE_LEN_MAX - 4 * 1024;

/// Makes a new record id. The same one is used however often the record is sent.
pub fn new_record_id() -> RecordId {
    RecordId::from_uuid(Uuid::now_v7())
}

/// What was decided about one call, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// This record.
    pub id: RecordId,
    /// When, in Unix milliseconds.
    pub at_unix_ms: u64,
    /// The tool server that decided.
    pub audience: Audience,
    /// Who presented the token.
    pub peer: SpiffeId,
    /// What the token says, when its signatures verified.
    pub claims: Option<Box<Claims>>,
    /// The hops by which the token came to who presented it, when its signatures verified.
    pub hops: Vec<Hop>,
    /// What was asked; `None` when it could not be read.
    pub ask: Option<Ask>,
    /// Why not; `None` when the call was allowed.
    pub denial: Option<Denial>,
    /// The HTTP status of the tool's answer; 0 when there was none.
    pub outcome_status: u16,
    /// How long the tool took, until its answer began.
    pub duration: Duration,
}

impl Decision {
    pub(crate) fn to_wire(&self) -> wire::Decision {
        let claims = self.claims.as_deref();
        let ask = self.ask.as_ref();
        let of = |text: Option<String>| text.unwrap_or_default();
        wire::Decision {
            record_id: self.id.to_string(),
            at_unix_ms: self.at_unix_ms,
            audience: self.audience.to_string(),
            peer: self.peer.to_string(),
            token_id: of(claims.map(|c| c.token.to_string())),
            session_id: of(claims.map(|c| c.session.to_string())),
            agent: of(claims.map(|c| c.agent.to_string())),
            tool: of(ask.map(|a| a.tool.to_string())),
            operation: of(ask.map(|a| a.operation.to_string())),
            resource: of(ask.map(|a| a.resource.to_string())),
            args_digest: ask.and_then(|a| a.args_digest).map(Vec::from).unwrap_or_default(),
            allowed: self.denial.is_none(),
            denial: self.denial.as_ref().map(to_denial),
            outcome_status: u32::from(self.outcome_status),
            duration_us: u64::try_from(self.duration.as_micros()).unwrap_or(u64::MAX),
            handed_to: self.hops.iter().map(|hop| hop.to.agent.to_string()).collect(),
        }
    }
}

/// Writes records as messages, none of them longer than a service takes.
pub(crate) fn messages(decisions: &[Decision]) -> Vec<wire::RecordDecisionsRequest> {
    let mut messages: Vec<wire::RecordDecisionsRequest> = Vec::new();
    let mut bytes = 0;
    for decision in decisions.iter().map(Decision::to_wire) {
        let len = decision.encoded_len();
        match messages.last_mut() {
            Some(last) if last.decisions.len() < MESSAGE_RECORDS_MAX && bytes + len <= MESSAGE_BYTES_MAX => {
                last.decisions.push(decision);
                bytes += len;
            }
            _ => {
                messages.push(wire::RecordDecisionsRequest { decisions: vec![decision] });
                bytes = len;
            }
        }
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::*;
    use crumb_token::Reason;

    fn unread() -> Decision {
        Decision {
            id: new_record_id(),
            at_unix_ms: 5000,
            audience: "spiffe://td/tool".parse().expect("audience"),
            peer: "spiffe://td/agent".parse().expect("id"),
            claims: None,
            hops: Vec::new(),
            ask: None,
            denial: Some(Denial::new(Reason::AskMalformed)),
            outcome_status: 0,
            duration: Duration::ZERO,
        }
    }

    #[test]
    fn no_message_is_longer_than_a_service_takes() {
        let long = Denial::new(Reason::AskMalformed).asked("x".repeat(2000));
        let decision = Decision { denial: Some(long), ..unread() };
        let messages = messages(&vec![decision; 300]);
        assert!(messages.iter().all(|m| m.encoded_len() <= crumb_proto::MESSAGE_LEN_MAX));
        assert_eq!(messages.iter().map(|m| m.decisions.len()).sum::<usize>(), 300);
    }

    #[test]
    fn no_message_has_more_records_than_the_broker_takes() {
        let messages = messages(&vec![unread(); 300]);
        assert!(messages.iter().all(|m| m.decisions.len() <= MESSAGE_RECORDS_MAX));
    }

    #[test]
    fn a_call_that_could_not_be_read_leaves_its_fields_empty() {
        let wire = unread().to_wire();
        assert!(!wire.allowed && wire.tool.is_empty() && wire.token_id.is_empty() && wire.at_unix_ms == 5000);
        assert_eq!(wire.denial.expect("denied").reason, "ask_malformed");
    }
}
