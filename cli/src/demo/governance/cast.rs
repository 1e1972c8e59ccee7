//! Everybody who has a part: the stack, three agents, the people behind them, and an operator's way to the broker.

use super::{act::defect, people::People};
use crate::{
    actor::{Actor, Order, Refused, Reply},
    audit::connect,
    exit::Failure,
    stack::Stack,
};
use anyhow::Context;
use crumb_identity::SystemClock;
use crumb_proto::{from_status, wire};
use tonic::{Status, transport::Channel};

/// On whose behalf everything is done.
pub(super) const USER: &str = "bob@acme.example";

/// Everybody.
pub(super) struct Cast {
    pub(super) stack: Stack,
    pub(super) clock: SystemClock,
    pub(super) people: People,
    /// Orchestrates; registered for development.
    pub(super) planner: Actor,
    /// Does a part for others; registered for development.
    pub(super) helper: Actor,
    /// Works in production.
    pub(super) auditor: Actor,
    pub(super) admin: Channel,
    /// The planner's session, once it has one.
    pub(super) session: String,
}

impl Cast {
    /// Starts the agents.
    pub(super) async fn gather(stack: Stack, people: People) -> Result<Self, Failure> {
        let (planner, helper, auditor) = tokio::try_join!(
            Actor::start(&stack, "planner"),
            Actor::start(&stack, "helper"),
            Actor::start(&stack, "auditor")
        )?;
        let admin = connect(&stack.places().admin_socket()).await?;
        let clock = SystemClock::new();
        Ok(Self { stack, clock, people, planner, helper, auditor, admin, session: String::new() })
    }

    /// Ends the agents, and then what they worked with.
    pub(super) async fn part(self) {
        let Self { stack, planner, helper, auditor, admin, .. } = self;
        drop(admin);
        tokio::join!(planner.end(), helper.end(), auditor.end());
        stack.stop().await;
    }

    /// Reads the trail to its end, or that of one session.
    pub(super) async fn trail(&self, session: &str) -> Result<Vec<wire::AuditRecord>, Failure> {
        let request = wire::TailRequest { after: 0, session_id: session.to_owned(), follow: false };
        let mut stream = crate::audit::tail(&self.stack.places().admin_socket(), request).await?;
        let mut records = Vec::new();
        while let Some(record) = stream.message().await.context("the trail ends early")? {
            records.push(record);
        }
        Ok(records)
    }
}

/// An order to open a session for the user.
pub(super) fn opening(agent: &str, intent: &str, allow: &[&str]) -> Order {
    let allow = allow.iter().map(ToString::to_string).collect();
    Order::Open { agent: agent.into(), user: USER.into(), intent: intent.into(), allow }
}

/// An order to ask for a token.
pub(super) fn asking(session: &str, allow: &str) -> Order {
    Order::Exchange { session: session.into(), allow: vec![allow.into()] }
}

/// An order to read a file.
pub(super) fn reading(token: &str, server: &str, path: &str) -> Order {
    Order::Call { token: token.into(), server: server.into(), tool: "read_file".into(), path: path.into() }
}

/// Reads what an operator or a person was told: nothing more than whether it was refused, and why.
pub(super) fn told<T>(answer: Result<T, Status>) -> Result<Result<T, Reply>, Failure> {
    match answer {
        Ok(answer) => Ok(Ok(answer)),
        Err(status) => match from_status(&status) {
            Some(denial) => Ok(Err(Reply { refused: Some(Refused::from(&denial)), ..Reply::default() })),
            None => Err(defect(format!("the broker does not answer: {}", status.message()))),
        },
    }
}
