//! Decisions that tool servers report, and how each becomes a record of the trail.
//!
//! A tool server knows the token; the broker knows the session. The record joins both, so that every step is attributed to
//! an agent, a person who answers for it, an intent and an origin.

use super::{Kind, Record, cut};
use crate::session::Session;
use crumb_proto::{Violations, convert, wire};
use crumb_token::{AgentName, Audience, RecordId, SessionId, handover::MayAct};
use prost::Message as _;
use sha2::{Digest, Sha256};

/// One decision as a tool server reported it, well-formed.
#[derive(Debug, Clone)]
pub struct Decision {
    /// Its number, made by the tool server; the same again is the same decision.
    pub id: RecordId,
    /// In whose name it was made.
    pub audience: Audience,
    /// The session of the token, when a token was read.
    pub session: Option<SessionId>,
    /// SHA-256 of what was reported, so that one number cannot stand for two decisions.
    pub digest: [u8; 32],
    told: wire::Decision,
}

impl Decision {
    /// The most decisions in one request.
    pub const BATCH_MAX: usize = 256;

    /// Reads a decision; what is wrong with it is noted under `field`.
    pub fn read(v: &mut Violations, field: &str, told: wire::Decision) -> Option<Self> {
        let digest = Sha256::digest(told.encode_to_vec()).into();
        let id = v.parse(format!("{field}.record_id"), &told.record_id);
        let audience = v.parse(format!("{field}.audience"), &told.audience);
        let session = match told.session_id.as_str() {
            "" => Some(None),
            text => v.parse(format!("{field}.session_id"), text).map(Some),
        };
        if !matches!(told.args_digest.len(), 0 | 32) {
            v.add(format!("{field}.args_digest"), "has 32 bytes, or none");
            return None;
        }
        if told.handed_to.len() > MayAct::DELEGATES_MAX {
            v.add(format!("{field}.handed_to"), format!("has at most {} agents", MayAct::DELEGATES_MAX));
            return None;
        }
        for agent in &told.handed_to {
            let _: AgentName = v.parse(format!("{field}.handed_to"), agent)?;
        }
        Some(Self { id: id?, audience: audience?, session: session?, digest, told })
    }

    /// Makes the record, with what the broker knows about the session.
    pub fn into_record(self, session: Option<&Session>, registry_version: &str) -> Record {
        let told = self.told;
        let mut record = Record::new(self.id, told.at_unix_ms, Kind::Decision, registry_version);
        if !told.tool.is_empty() {
            record.ask(&[wire::Grant { tool: told.tool, operation: told.operation, resource: told.resource }]);
        }
        record.peer = cut(&told.peer);
        record.token_id = cut(&told.token_id);
        record.session_id = told.session_id;
        record.agent = cut(&told.agent);
        record.audience = told.audience;
        record.args_digest = hex::encode(told.args_digest);
        record.outcome_status = told.outcome_status;
        record.duration_us = told.duration_us;
        // What the tool server says about the agent counts only as far as the session agrees.
        if let Some(session) = session.filter(|s| record.agent.is_empty() || s.agent.as_str() == record.agent) {
            record.describe(session);
        }
        if !told.handed_to.is_empty() {
            record.detail =
                cut(&format!("handed on offline, by its holders' word, to {}", told.handed_to.join(", then ")));
        }
        match (told.allowed, told.denial) {
            (true, _) => record.allow(),
            (false, Some(denial)) => record.refuse(&convert::denial(&denial)),
            (false, None) => {}
        }
        record
    }
}
