//! One record of the trail, and how it reads on the wire.

use crate::{process::LocalProcess, session::Session};
use crumb_proto::{convert, wire};
use crumb_token::{Claims, Denial, Grants, Reason, RecordId};
use serde::{Deserialize, Serialize};

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Kind {
    /// A session was opened, or was not.
    #[serde(rename = "session.open")]
    SessionOpen,
    /// A session was closed, or was not.
    #[serde(rename = "session.close")]
    SessionClose,
    /// A session was opened for another agent, inside one's own, or was not.
    #[serde(rename = "session.delegate")]
    SessionDelegate,
    /// A session broke a rule of drift that only says so.
    #[serde(rename = "session.note")]
    SessionNote,
    /// A session that behaved unlike its kind was contracted.
    #[serde(rename = "session.contract")]
    SessionContract,
    /// A session that behaved unlike its kind was halted.
    #[serde(rename = "session.halt")]
    SessionHalt,
    /// An operator let a session go on.
    #[serde(rename = "session.resume")]
    SessionResume,
    /// An operator revoked something.
    #[serde(rename = "revoke")]
    Revoke,
    /// An operator lifted a stop.
    #[serde(rename = "lift")]
    Lift,
    /// Somebody approved or refused a request for approval, or appealed.
    #[serde(rename = "approval")]
    Approval,
    /// A token was issued, or was not.
    #[serde(rename = "exchange")]
    Exchange,
    /// A tool server decided on a call.
    #[serde(rename = "decision")]
    Decision,
    /// Manifests were applied, or were not.
    #[serde(rename = "registry.apply")]
    RegistryApply,
    /// Somebody reviewed what an agent may do.
    #[serde(rename = "registry.review")]
    RegistryReview,
    /// The broker started.
    #[serde(rename = "broker.start")]
    BrokerStart,
}

impl Kind {
    /// Returns the word that the trail carries.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SessionOpen => "session.open",
            Self::SessionClose => "session.close",
            Self::SessionDelegate => "session.delegate",
            Self::SessionNote => "session.note",
            Self::SessionContract => "session.contract",
            Self::SessionHalt => "session.halt",
            Self::SessionResume => "session.resume",
            Self::Revoke => "revoke",
            Self::Lift => "lift",
            Self::Approval => "approval",
            Self::Exchange => "exchange",
            Self::Decision => "decision",
            Self::RegistryApply => "registry.apply",
            Self::RegistryReview => "registry.review",
            Self::BrokerStart => "broker.start",
        }
    }
}

/// One right, as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Right {
    tool: String,
    operation: String,
    resource: String,
}

/// The local process behind a caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    pid: i32,
    uid: u32,
    gid: u32,
    exe: String,
    exe_sha256: String,
}

/// Why something was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Refused {
    reason: String,
    asked: String,
    rule: String,
    author: String,
    next: String,
}

/// One record. Empty texts are facts that are not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of crumb.v1.AuditRecord, which says what they are")]
pub struct Record {
    pub record_id: String,
    pub at_unix_ms: u64,
    pub kind: Kind,
    pub allowed: bool,
    denial: Option<Refused>,
    pub request_id: String,
    pub peer: String,
    pub agent: String,
    pub agent_version: String,
    pub owner: String,
    pub session_id: String,
    pub intent: String,
    pub origin: String,
    pub token_id: String,
    pub holder: String,
    pub audience: String,
    asked: Vec<Right>,
    granted: Vec<Right>,
    pub args_digest: String,
    process: Option<Process>,
    pub outcome_status: u32,
    pub duration_us: u64,
    pub expires_at: u64,
    /// Which manifests were in force.
    pub registry_version: String,
    #[serde(default)]
    pub policy_version: String,
    #[serde(default)]
    pub task: String,
    #[serde(default)]
    pub subject: String,
    #[serde(default)]
    actors: Vec<String>,
    #[serde(default)]
    ancestors: Vec<String>,
    #[serde(default)]
    pub detail: String,
}

impl Record {
    /// The longest text of a record, in bytes: a resource, the longest thing that a well-formed request can hold.
    pub const TEXT_LEN_MAX: usize = 1024;

    /// Begins a record of something that is not allowed, until [`allow`](Self::allow) says so.
    pub fn new(id: RecordId, at_unix_ms: u64, kind: Kind, registry_version: &str) -> Self {
        Self {
            record_id: id.to_string(),
            at_unix_ms,
            kind,
            allowed: false,
            denial: None,
            request_id: String::new(),
            peer: String::new(),
            agent: String::new(),
            agent_version: String::new(),
            owner: String::new(),
            session_id: String::new(),
            intent: String::new(),
            origin: String::new(),
            token_id: String::new(),
            holder: String::new(),
            audience: String::new(),
            asked: Vec::new(),
            granted: Vec::new(),
            args_digest: String::new(),
            process: None,
            outcome_status: 0,
            duration_us: 0,
            expires_at: 0,
            registry_version: registry_version.to_owned(),
            policy_version: String::new(),
            task: String::new(),
            subject: String::new(),
            actors: Vec::new(),
            ancestors: Vec::new(),
            detail: String::new(),
        }
    }

    /// Notes that it was allowed.
    pub fn allow(&mut self) {
        self.allowed = true;
        self.denial = None;
    }

    /// Notes that it was refused, and why.
    pub fn refuse(&mut self, denial: &Denial) {
        self.allowed = false;
        self.denial = Some(Refused {
            reason: denial.reason.code().to_owned(),
            asked: cut(&denial.asked),
            rule: cut(&denial.rule),
            author: cut(&denial.author),
            next: cut(&denial.next),
        });
    }

    /// Notes what was asked, as it was written, well-formed or not.
    pub fn ask(&mut self, rights: &[wire::Grant]) {
        let read =
            |g: &wire::Grant| Right { tool: cut(&g.tool), operation: cut(&g.operation), resource: cut(&g.resource) };
        self.asked = rights.iter().take(Grants::LEN_MAX).map(read).collect();
    }

    /// Notes what was given.
    fn grant(&mut self, grants: &Grants) {
        let read = |g: &crumb_token::Grant| Right {
            tool: g.tool.to_string(),
            operation: g.operation.to_string(),
            resource: g.resource.to_string(),
        };
        self.granted = grants.iter().map(read).collect();
    }

    /// Notes the local process.
    pub fn attest(&mut self, process: Option<&LocalProcess>) {
        self.process = process.map(|p| Process {
            pid: p.pid,
            uid: p.uid,
            gid: p.gid,
            exe: cut(&p.exe),
            exe_sha256: p.exe_sha256.map(hex::encode).unwrap_or_default(),
        });
    }

    /// Notes the session, and with it agent, person, intent, origin, and what it is inside of.
    pub fn describe(&mut self, session: &Session) {
        self.session_id = session.id.to_string();
        self.agent = session.agent.to_string();
        self.agent_version = session.version.to_string();
        self.owner = session.owner.to_string();
        self.intent = session.intent.to_string();
        self.origin = session.origin.to_string();
        let lineage = &session.lineage;
        self.subject = lineage.subject().map(|s| format!("{} ({})", s.name, s.assurance.as_str())).unwrap_or_default();
        self.actors = lineage.actors.iter().map(ToString::to_string).collect();
        self.ancestors = lineage.ancestors.iter().map(|above| above.session.to_string()).collect();
    }

    /// Notes the token.
    pub fn issue(&mut self, claims: &Claims) {
        self.token_id = claims.token.to_string();
        self.holder = claims.holder.to_string();
        self.audience = claims.audience.to_string();
        self.expires_at = claims.expires_at.as_unix_s();
        if let Some(may_act) = &claims.may_act {
            // Names first: should it be cut, nobody is left out for the length of an ID.
            let names: Vec<_> = may_act.delegates.iter().map(|to| to.agent.as_str()).collect();
            let ids: Vec<_> = may_act.delegates.iter().map(|to| to.holder.as_str()).collect();
            let (names, ids) = (names.join(", "), ids.join(", "));
            self.detail = cut(&format!("may be handed on offline to {names}: {ids}"));
        }
        self.grant(&claims.grants);
    }

    /// Returns why it was refused.
    pub fn denial(&self) -> Option<Denial> {
        self.denial.clone().map(Refused::into_denial)
    }

    /// Walks what was asked: tool, operation and resource, as they were written.
    pub fn asked(&self) -> impl Iterator<Item = [&str; 3]> {
        self.asked.iter().map(Right::words)
    }

    /// Walks what was given, likewise.
    pub fn granted(&self) -> impl Iterator<Item = [&str; 3]> {
        self.granted.iter().map(Right::words)
    }

    /// Returns the reason code of a refusal.
    pub fn reason(&self) -> Option<&str> {
        self.denial.as_ref().map(|denial| denial.reason.as_str())
    }

    /// Writes it for the wire.
    pub fn into_wire(self, number: u64) -> wire::AuditRecord {
        wire::AuditRecord {
            number,
            record_id: self.record_id,
            at_unix_ms: self.at_unix_ms,
            kind: self.kind.as_str().to_owned(),
            allowed: self.allowed,
            denial: self.denial.map(Refused::into_wire),
            request_id: self.request_id,
            peer: self.peer,
            agent: self.agent,
            agent_version: self.agent_version,
            owner: self.owner,
            session_id: self.session_id,
            intent: self.intent,
            origin: self.origin,
            token_id: self.token_id,
            holder: self.holder,
            audience: self.audience,
            asked: self.asked.into_iter().map(Right::into_wire).collect(),
            granted: self.granted.into_iter().map(Right::into_wire).collect(),
            args_digest: hex::decode(self.args_digest).unwrap_or_default(),
            process: self.process.map(Process::into_wire),
            outcome_status: self.outcome_status,
            duration_us: self.duration_us,
            expires_at: self.expires_at,
            task: self.task,
            subject: self.subject,
            actors: self.actors,
            ancestors: self.ancestors,
            detail: self.detail,
            registry_version: self.registry_version,
            policy_version: self.policy_version,
        }
    }
}

impl Right {
    fn words(&self) -> [&str; 3] {
        [&self.tool, &self.operation, &self.resource]
    }

    fn into_wire(self) -> wire::Grant {
        wire::Grant { tool: self.tool, operation: self.operation, resource: self.resource }
    }
}

impl Process {
    fn into_wire(self) -> wire::Process {
        wire::Process {
            pid: self.pid,
            uid: self.uid,
            gid: self.gid,
            exe: self.exe,
            exe_sha256: hex::decode(self.exe_sha256).unwrap_or_default(),
        }
    }
}

impl Refused {
    fn into_wire(self) -> wire::Denial {
        // A code of a newer version leaves as it came.
        wire::Denial { reason: self.reason.clone(), ..convert::to_denial(&self.into_denial()) }
    }

    /// Reads it back. A code that this version does not know reads as unforeseen, and keeps its words.
    fn into_denial(self) -> Denial {
        let reason = self.reason.parse().unwrap_or(Reason::Unforeseen);
        Denial { reason, asked: self.asked, rule: self.rule, author: self.author, next: self.next }
    }
}

/// Cuts a text at [`Record::TEXT_LEN_MAX`] bytes, at a character, and takes out what could act on a terminal.
pub fn cut(text: &str) -> String {
    // Nearly all are like this, and then there is nothing to look at twice.
    if text.len() <= Record::TEXT_LEN_MAX && text.bytes().all(|b| matches!(b, b' '..=b'~')) {
        return text.to_owned();
    }
    let mut end = text.len().min(Record::TEXT_LEN_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let shown = |c| if crumb_token::text::is_printable(c) { c } else { '\u{fffd}' };
    text[..end].chars().map(shown).collect()
}
