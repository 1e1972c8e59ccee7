//! The twelve steps, each one call to a real part, and what has to come of it.
//!
//! A step whose outcome is not the expected one ends the demo with exit code 7: the story is a check as well.

use super::{
    Decision, IDENTITY_WITHIN, Step, other_server,
    teller::{REPORT, Teller, decision_of},
};
use crate::{
    audit,
    exit::{Exit, Failure},
    output::dim,
    stack::{FILES, Stack, dev_id, manifests::AGENT},
};
use anyhow::Context;
use crumb_identity::{Endpoint, SystemClock, Workload};
use crumb_proto::wire;
use crumb_sdk::{
    call::{ToolAnswer, ToolClient},
    sidecar::{BeginTask, Call, CallToken, Open, Presenter, SidecarClient},
};
use crumb_token::{
    Audience, Caveat, Clock, Grant, Grants, Origin, SessionId, TaskId, Timestamp, TokenText, attenuate::attenuate,
    origin::Assurance,
};
use serde_json::Value;
use std::{process::Stdio, time::Duration};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

/// How soon after its session is closed a token has to be refused.
const REVOKED_WITHIN: Duration = Duration::from_secs(1);
const INTENT: &str = "summarise the public documents for Bob";
const README: &str = "docs/readme.md";

/// What the steps hand on to each other.
struct Tale<'s> {
    stack: &'s Stack,
    clock: SystemClock,
    sidecar: SidecarClient,
    files: ToolClient,
    session: SessionId,
    task: TaskId,
}

/// Tells the story, showing each step as it happens.
pub(super) async fn tell(stack: &Stack, mut show: impl FnMut(&Step)) -> Result<(), Failure> {
    let clock = SystemClock::new();
    let mut teller = Teller::new(clock, &mut show);

    // This process is the agent. It gets its SVID the way every workload does: the kernel says who asks.
    stack.know(i32::try_from(std::process::id()).context("process id")?, &dev_id(&format!("agent/{AGENT}")))?;
    let endpoint: Endpoint = stack.endpoint().parse().context("endpoint")?;
    let workload = Workload::connect(&endpoint, IDENTITY_WITHIN).await.context("no identity")?;
    teller.done("the agent gets its SVID", vec![workload.spiffe_id().to_string()]);

    let sidecar = sidecar(stack)?;
    let session = open(stack, INTENT).await?;
    teller.done(
        "it opens a session with an intent",
        vec![session.to_string(), format!("intent: {INTENT}"), "origin: user bob@acme.example".into()],
    );

    let task = begin(&sidecar, session, Presenter::Agent).await?;
    teller.done(
        "it exchanges its SVID for a task token",
        vec!["read_file and search_docs on file:///docs/*; it stays in the sidecar".into()],
    );

    let files = ToolClient::new(workload.clone(), stack.files(), dev_id(&format!("tool/{FILES}")));
    let tale = Tale { stack, clock, sidecar, files, session, task };
    let token = tale.call_token().await?;
    // Narrowed by its holder, offline, so that it is past its end by the time the story needs that.
    let (short, end) = tale.shortened(&token)?;
    teller.tell("an allowed tool, on an allowed resource", None, &tale.read(&token, README).await?)?;
    teller.tell(
        "the same token, another resource",
        Some("resource_not_granted"),
        &tale.read(&token, "docs/roadmap.md").await?,
    )?;
    let delete = tale.use_tool(&token, "delete_file", README).await?;
    teller.tell("the same token, a tool outside the grant", Some("tool_not_granted"), &delete)?;
    teller.expect("the token replayed by another workload", "holder_mismatch", tale.replayed(&token).await?)?;
    let (other, address) = other_server(stack);
    let elsewhere = ToolClient::new(workload, address, other);
    let answer = read_file(&elsewhere, &token, README).await?;
    teller.tell("the token at another tool server", Some("audience_mismatch"), &answer)?;
    teller.tell("an expired call token", Some("token_expired"), &tale.read_after(&short, end).await?)?;
    teller.expect("an agent that is not registered asks", "agent_unknown", tale.ghost().await)?;
    let (reason, lines) = tale.closed(&token).await?;
    teller.expect_with("the session is closed: the same token", "token_revoked", reason, lines)?;
    let trail = tale.trail().await?;
    teller.done("the trail, each step with its agent, session, intent and origin", trail);
    Ok(())
}

fn server() -> Result<Audience, Failure> {
    Ok(dev_id(&format!("tool/{FILES}")).as_str().parse().context("audience")?)
}

fn rights() -> Result<Grants, Failure> {
    let right = |tool: &str, resource: &str| -> anyhow::Result<Grant> {
        Ok(Grant { tool: tool.parse()?, operation: "read".parse()?, resource: resource.parse()? })
    };
    Ok(Grants::try_new([right("read_file", "file:///docs/*")?, right("search_docs", "docs:index")?])
        .context("rights")?)
}

fn sidecar(stack: &Stack) -> Result<SidecarClient, Failure> {
    Ok(SidecarClient::at(&stack.places().sidecar_socket()).context("sidecar")?)
}

/// Opens a session for the demo's agent.
pub(super) async fn open(stack: &Stack, intent: &str) -> Result<SessionId, Failure> {
    let open = Open {
        agent: AGENT.parse().context("agent")?,
        intent: intent.parse().context("intent")?,
        origin: Origin::User { name: "bob@acme.example".parse().context("user")?, assurance: Assurance::Asserted },
        envelope: vec![(server()?, rights()?)],
        lifetime: None,
    };
    let sidecar = sidecar(stack)?;
    Ok(sidecar.open(&open).await.map_err(|e| e.to_denial())?.id)
}

/// Closes a session.
pub(super) async fn close(stack: &Stack, session: SessionId) -> Result<(), Failure> {
    let sidecar = sidecar(stack)?;
    Ok(sidecar.close(session).await.map_err(|e| e.to_denial())?)
}

/// Reads a file through the sidecar, which attaches the token; returns how long it is.
pub(super) async fn sidecar_call(stack: &Stack, session: SessionId, path: &str) -> Result<usize, Failure> {
    let sidecar = sidecar(stack)?;
    let resource: crumb_token::Resource = format!("file:///{path}").parse().context("resource")?;
    let (tool, operation) = ("read_file".parse().context("tool")?, "read".parse().context("operation")?);
    let grant = Grant { tool, operation, resource: crumb_token::ResourcePattern::Exact(resource.clone()) };
    let grants = Grants::try_new([grant.clone()]).context("rights")?;
    let begin =
        BeginTask { session, task: None, audience: server()?, grants, ttl: None, presenter: Presenter::Sidecar };
    let task = sidecar.begin_task(&begin).await.map_err(|e| e.to_denial())?;
    let arguments = serde_json::json!({"path": path}).to_string().into();
    let call = Call { task: task.id, tool: grant.tool, operation: grant.operation, resource, arguments };
    let answer = sidecar.call(&call).await.map_err(|e| e.to_denial())?;
    match answer.denial {
        Some(denial) => Err(denial.into()),
        None => Ok(answer.body.len()),
    }
}

async fn begin(sidecar: &SidecarClient, session: SessionId, presenter: Presenter) -> Result<TaskId, Failure> {
    let task = Some("read what is there".parse().context("task")?);
    let begin = BeginTask { session, task, audience: server()?, grants: rights()?, ttl: None, presenter };
    Ok(sidecar.begin_task(&begin).await.map_err(|e| e.to_denial())?.id)
}

/// Calls `read_file` with a token of one's own.
pub(super) async fn read_file(client: &ToolClient, token: &TokenText, path: &str) -> Result<ToolAnswer, Failure> {
    call(client, token, "read_file", path).await
}

async fn call(client: &ToolClient, token: &TokenText, tool: &str, path: &str) -> Result<ToolAnswer, Failure> {
    let tool = tool.parse().context("tool")?;
    let arguments = serde_json::json!({"path": path}).to_string().into();
    Ok(client.call(token, &tool, arguments).await.map_err(|e| e.to_denial())?)
}

impl Tale<'_> {
    async fn call_token(&self) -> Result<TokenText, Failure> {
        let ask = CallToken {
            task: self.task,
            tool: "read_file".parse().context("tool")?,
            operation: "read".parse().context("operation")?,
            resource: format!("file:///{README}").parse().context("resource")?,
            args_digest: None,
            ttl: Some(Duration::from_secs(30)),
        };
        Ok(self.sidecar.call_token(&ask).await.map_err(|e| e.to_denial())?.token)
    }

    fn shortened(&self, token: &TokenText) -> Result<(TokenText, Timestamp), Failure> {
        let bytes = token.decode().map_err(crumb_token::Denial::new)?;
        let end = self.clock.now().wall.plus(Duration::from_secs(1));
        let narrowed = attenuate(&bytes, &[Caveat::ExpiresAt(end)]).context("cannot narrow")?;
        Ok((TokenText::from_bytes(&narrowed), end))
    }

    async fn read(&self, token: &TokenText, path: &str) -> Result<ToolAnswer, Failure> {
        read_file(&self.files, token, path).await
    }

    async fn use_tool(&self, token: &TokenText, tool: &str, path: &str) -> Result<ToolAnswer, Failure> {
        call(&self.files, token, tool, path).await
    }

    /// Uses a token once its end has come.
    async fn read_after(&self, token: &TokenText, end: Timestamp) -> Result<ToolAnswer, Failure> {
        while self.clock.now().wall < end {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.read(token, README).await
    }

    /// Hands the token to another process with an SVID of its own, over a pipe, and returns what the tool server told it.
    async fn replayed(&self, token: &TokenText) -> Result<String, Failure> {
        let (endpoint, address) = (self.stack.endpoint(), self.stack.files());
        let arguments = ["intruder", "--workload-api", &endpoint, "--address", &address];
        let mut intruder = self.stack.spawn(&arguments, &dev_id("agent/intruder"), Stdio::inherit()).await?;
        let stdin = intruder.stdin.as_mut().context("no stdin")?;
        stdin.write_all(format!("{}\n", token.expose()).as_bytes()).await.context("the intruder does not listen")?;
        let stdout = intruder.stdout.take().context("no stdout")?;
        let mut line = String::new();
        let read = tokio::time::timeout(IDENTITY_WITHIN * 2, BufReader::new(stdout).read_line(&mut line)).await;
        read.context("the intruder says nothing")?.context("the intruder says nothing")?;
        let said: Value = serde_json::from_str(&line).with_context(|| format!("the intruder said {line:?}"))?;
        Ok(said["reason"].as_str().unwrap_or_default().to_owned())
    }

    /// Asks for a session as an agent that nobody registered.
    async fn ghost(&self) -> String {
        let open = async {
            let open = Open {
                agent: "ghost".parse()?,
                intent: "look around".parse()?,
                origin: Origin::Schedule { name: "midnight".parse()? },
                envelope: vec![(
                    server().map_err(|f| anyhow::anyhow!(f.what))?,
                    rights().map_err(|f| anyhow::anyhow!(f.what))?,
                )],
                lifetime: None,
            };
            anyhow::Ok(self.sidecar.open(&open).await)
        };
        match open.await {
            Ok(Ok(_)) => String::new(),
            Ok(Err(failed)) => failed.to_denial().reason.code().to_owned(),
            Err(e) => format!("{e:#}"),
        }
    }

    /// Closes the session and uses the token until it is refused: for being revoked, within a second.
    async fn closed(&self, token: &TokenText) -> Result<(String, Vec<String>), Failure> {
        self.sidecar.close(self.session).await.map_err(|e| e.to_denial())?;
        let closed = self.clock.now().ticks;
        loop {
            let answer = self.read(token, README).await?;
            let took = self.clock.now().ticks.saturating_sub(closed);
            let (decision, reason) = decision_of(&answer);
            if decision == Decision::Denied {
                return Ok((reason, vec![dim(&format!("{} ms after the session was closed", took.as_millis()))]));
            }
            if took > REVOKED_WITHIN {
                return Ok((String::new(), vec!["still allowed a second later".into()]));
            }
        }
    }

    /// Reads the trail of the session, and holds each record to its attribution.
    async fn trail(&self) -> Result<Vec<String>, Failure> {
        let request = wire::TailRequest { after: 0, session_id: self.session.to_string(), follow: false };
        // Tool servers ship their decisions a moment after they made them; the last one is that on the closed session's token.
        for _ in 0..100 {
            let records = self.records(request.clone()).await?;
            let complete = records.iter().any(|r| r.denial.as_ref().is_some_and(|d| d.reason == "token_revoked"));
            if complete {
                return attributed(&records);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(Failure::new(Exit::CheckFailed, "the trail does not show the last refusal", REPORT))
    }

    async fn records(&self, request: wire::TailRequest) -> Result<Vec<wire::AuditRecord>, Failure> {
        let mut stream = audit::tail(&self.stack.places().admin_socket(), request).await?;
        let mut records = Vec::new();
        while let Some(record) = stream.message().await.context("the trail ends early")? {
            records.push(record);
        }
        Ok(records)
    }
}

/// Says once whose records these are, and then each in a line; a record that says something else is a defect.
fn attributed(records: &[wire::AuditRecord]) -> Result<Vec<String>, Failure> {
    let whose = |r: &wire::AuditRecord| [&r.agent, &r.owner, &r.session_id, &r.intent, &r.origin].map(String::clone);
    let first = records.first().map(whose).unwrap_or_default();
    if let Some(stray) = records.iter().find(|r| whose(r) != first || first.iter().any(String::is_empty)) {
        let what = format!("record {} is not attributed to its agent, owner, session, intent and origin", stray.number);
        return Err(Failure::new(Exit::CheckFailed, what, REPORT));
    }
    let [agent, owner, session, intent, origin] = &first;
    let mut lines = vec![
        format!("every record: agent {agent} (owner {owner}), {session}"),
        format!("              intent {intent:?}, origin {origin}"),
    ];
    lines.extend(records.iter().map(audit::short_line));
    Ok(lines)
}
