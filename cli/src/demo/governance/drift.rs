//! The fourth act: a session that reaches for what it has not, again and again, is halted; an operator resumes it.

use super::{
    act::{Act, defect},
    cast::{Cast, asking, opening, reading, told},
    registry::DRIFT_AFTER,
};
use crate::{actor::Reply, exit::Failure};
use anyhow::Context;
use crumb_proto::wire::{self, revocation_service_client::RevocationServiceClient};
use crumb_token::{Clock, Reason};
use std::time::Duration;

/// How long a halt, or a token after a resume, may take. Tool servers report about once a second.
const WITHIN: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(20);
const RIGHT: &str = "files read_file read file:///docs/*";

pub(super) async fn play(cast: &mut Cast, act: &mut Act) -> Result<(), Failure> {
    let opened = cast.planner.obey(&opening("planner", "read the documents", &[RIGHT])).await?;
    let session = opened.session.clone();
    act.id("session", &session);
    let issued = cast.planner.obey(&asking(&session, RIGHT)).await?;
    act.allowed("planner", "has another session, and a token to read docs/", &issued)?;
    act.id("token", &issued.token);
    let mut refused = Reply::default();
    for _ in 0..DRIFT_AFTER {
        refused = cast.planner.obey(&reading(&issued.token, "files", "finance/payroll.csv")).await?;
    }
    let what = format!("tries finance/payroll.csv {DRIFT_AFTER} times");
    act.denied("planner", what, &refused, Reason::ResourceNotGranted)?;

    let halted = until_halted(cast, &session).await?;
    let found = format!("{}: measured {}, threshold {}", halted.rule, halted.measured, halted.threshold);
    if (halted.action.as_str(), halted.measured, halted.threshold) != ("halt", DRIFT_AFTER, DRIFT_AFTER) {
        return Err(defect(format!("{} by {found}", halted.action)));
    }
    act.done("the broker", "halts the session", found);
    let asked = cast.planner.obey(&asking(&session, RIGHT)).await?;
    act.denied("planner", "asks for what it had", &asked, Reason::SessionHalted)?;
    let call = cast.planner.obey(&reading(&issued.token, "files", "docs/readme.md")).await?;
    act.denied("planner", "reads docs/readme.md with its token", &call, Reason::TokenRevoked)?;

    resume(cast, act, &session).await?;
    let fresh = fresh(cast, &session).await?;
    act.allowed("planner", "asks again", &fresh)?;
    let call = cast.planner.obey(&reading(&fresh.token, "files", "docs/readme.md")).await?;
    act.allowed("planner", "reads docs/readme.md with the new token", &call)?;
    let call = cast.planner.obey(&reading(&issued.token, "files", "docs/readme.md")).await?;
    act.denied("planner", "reads it with the old one", &call, Reason::TokenRevoked)?;
    Ok(())
}

async fn until_halted(cast: &Cast, session: &str) -> Result<wire::HaltedSession, Failure> {
    let until = cast.clock.now().ticks + WITHIN;
    let mut client = RevocationServiceClient::new(cast.admin.clone());
    while cast.clock.now().ticks < until {
        let answer = client.list_halted(wire::ListHaltedRequest {}).await.context("the broker does not answer")?;
        if let Some(halted) = answer.into_inner().sessions.into_iter().find(|halted| halted.session_id == session) {
            return Ok(halted);
        }
        tokio::time::sleep(LOOK).await;
    }
    Err(defect("nothing was halted"))
}

/// Somebody looks at it and lets it go on; the trail says who, and why.
async fn resume(cast: &Cast, act: &mut Act, session: &str) -> Result<(), Failure> {
    let why = "looked at it: a wrong path in its plan";
    let request = wire::ResumeRequest { session_id: session.to_owned(), why: why.into() };
    let answer = RevocationServiceClient::new(cast.admin.clone()).resume(request).await;
    let resumed = match told(answer)? {
        Ok(answer) if answer.get_ref().resumed => Reply::default(),
        Ok(_) => return Err(defect("nothing was resumed")),
        Err(refused) => refused,
    };
    act.allowed("an operator", format!("resumes it, {why:?}"), &resumed)?;
    let trail = cast.trail(session).await?;
    let Some(record) = trail.iter().find(|record| record.kind == "session.resume" && record.detail.contains(why))
    else {
        return Err(defect("the trail does not say who resumed it, and why"));
    };
    act.done("the trail", "says who did it, and why", format!("record {} by {}", record.number, record.peer));
    Ok(())
}

/// Asks until the second is over in which tokens were revoked.
async fn fresh(cast: &mut Cast, session: &str) -> Result<Reply, Failure> {
    let until = cast.clock.now().ticks + WITHIN;
    loop {
        let reply = cast.planner.obey(&asking(session, RIGHT)).await?;
        let later = reply.refused.as_ref().is_some_and(|refused| refused.reason == Reason::Overloaded.code());
        if !later || cast.clock.now().ticks >= until {
            return Ok(reply);
        }
        tokio::time::sleep(LOOK).await;
    }
}
