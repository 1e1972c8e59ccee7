//! The fifth act: the planner is retired while it and its sub-agent go on calling; the time from the acknowledgement to the
//! first refusal is measured, and nothing may be allowed after it.

use super::{
    act::{Act, defect},
    call_watch::{Acknowledged, CallWatch, Ended},
    cast::{Cast, asking, opening, told},
    registry::retired_planner,
};
use crate::{
    actor::{Order, Refused, Reply},
    exit::Failure,
};
use anyhow::Context;
use crumb_proto::wire::{self, registry_service_client::RegistryServiceClient};
use crumb_token::{Clock, Denial, Reason};
use std::time::Duration;

/// How soon everything has to be refused.
const WITHIN: Duration = Duration::from_secs(1);
/// How long both call before it is retired.
const BEFORE: Duration = Duration::from_millis(50);
const RIGHT: &str = "files read_file read file:///docs/*";

pub(super) async fn play(cast: &mut Cast, act: &mut Act) -> Result<(), Failure> {
    let (session, own) = planner_token(cast, act).await?;
    let (inside, below) = helper_token(cast, act, &session).await?;
    let acknowledged = Acknowledged::new(None);
    let Cast { planner, helper, admin, clock, .. } = cast;
    let retiring = async {
        tokio::time::sleep(BEFORE).await;
        let retired = retire(RegistryServiceClient::new(admin.clone())).await;
        acknowledged.set(Some(clock.now().ticks));
        retired
    };
    let (retired, planner, helper) = tokio::join!(
        retiring,
        CallWatch::keep(planner, &own, *clock, &acknowledged),
        CallWatch::keep(helper, &below, *clock, &acknowledged),
    );
    act.allowed("an operator", "retires the planner, while both go on calling", &retired?)?;
    let at = acknowledged.get().unwrap_or_default();
    let ended = [("planner", planner?.ended(at)), ("helper", helper?.ended(at))];
    let mut first_refusal = Duration::ZERO;
    let (mut after, mut allowed) = (0, 0);
    for (who, ended) in ended {
        let Some(ended) = ended else { return Err(defect(format!("{who} was still allowed a second later"))) };
        tell(act, who, &ended)?;
        first_refusal = first_refusal.max(ended.first_refusal);
        (after, allowed) = (after + ended.after, allowed + ended.allowed_after);
    }
    act.measured("first_refusal_ms", u64::try_from(first_refusal.as_millis()).unwrap_or(u64::MAX));
    act.measured("calls_after", after as u64);
    act.measured("allowed_after", allowed as u64);
    if allowed > 0 || first_refusal > WITHIN {
        let took = first_refusal.as_millis();
        return Err(defect(format!("refused {took} ms after the acknowledgement, and {allowed} calls allowed later")));
    }
    at_the_broker(cast, act, &session, &inside).await
}

/// The agents get nothing new either.
async fn at_the_broker(cast: &mut Cast, act: &mut Act, session: &str, inside: &str) -> Result<(), Failure> {
    let asked = cast.planner.obey(&asking(session, RIGHT)).await?;
    act.denied("planner", "asks for a token", &asked, Reason::AgentRetired)?;
    let opened = cast.planner.obey(&opening("planner", "go on all the same", &[RIGHT])).await?;
    act.denied("planner", "opens a session", &opened, Reason::AgentRetired)?;
    let below = cast.helper.obey(&asking(inside, RIGHT)).await?;
    act.denied("helper", "asks for a token in what it was delegated", &below, Reason::SessionClosed)?;
    Ok(())
}

async fn planner_token(cast: &mut Cast, act: &mut Act) -> Result<(String, String), Failure> {
    let opened = cast.planner.obey(&opening("planner", "read the documents", &[RIGHT])).await?;
    let issued = cast.planner.obey(&asking(&opened.session, RIGHT)).await?;
    act.allowed("planner", "has a session and a token", &issued)?;
    act.id("session", &opened.session);
    act.id("token", &issued.token);
    Ok((opened.session, issued.token))
}

async fn helper_token(cast: &mut Cast, act: &mut Act, session: &str) -> Result<(String, String), Failure> {
    let delegate = Order::Delegate {
        session: session.to_owned(),
        to: "helper".into(),
        intent: "read them too".into(),
        allow: vec![RIGHT.into()],
    };
    let delegated = cast.planner.obey(&delegate).await?;
    let issued = cast.helper.obey(&asking(&delegated.session, RIGHT)).await?;
    act.allowed("helper", "has a session inside it, and a token of its own", &issued)?;
    act.id("delegated_session", &delegated.session);
    act.id("delegated_token", &issued.token);
    Ok((delegated.session, issued.token))
}

/// Applies the one manifest, with its lifecycle changed.
async fn retire(mut client: RegistryServiceClient<tonic::transport::Channel>) -> Result<Reply, Failure> {
    let document = wire::ManifestFile { file: "planner.yaml".into(), text: retired_planner() };
    let request = wire::ApplyRequest { documents: vec![document], ..wire::ApplyRequest::default() };
    let answer = match told(client.apply(request).await)? {
        Ok(answer) => answer.into_inner(),
        Err(refused) => return Ok(refused),
    };
    match answer.defects.first() {
        Some(flaw) => Err(defect(format!("{}:{}: {}", flaw.file, flaw.line, flaw.reason))),
        None => Ok(Reply::default()),
    }
}

/// Tells how one agent's calls ended: every refusal has the same reason.
fn tell(act: &mut Act, who: &str, ended: &Ended) -> Result<(), Failure> {
    let reason = ended.reasons.first().context("a refusal has a reason")?;
    let what = format!(
        "is refused {} ms after the acknowledgement; of {} later calls {} were allowed",
        ended.first_refusal.as_millis(),
        ended.after,
        ended.allowed_after
    );
    let refused = match reason.parse::<Reason>() {
        Ok(reason) if ended.reasons.len() == 1 => Refused::from(&Denial::new(reason).next("")),
        _ => return Err(defect(format!("{who} was refused for {}", ended.reasons.join(", ")))),
    };
    let reply = Reply { refused: Some(refused), ..Reply::default() };
    act.denied(who, what, &reply, Reason::TokenRevoked)?;
    if ended.before == 0 { Err(defect(format!("{who} was never allowed"))) } else { Ok(()) }
}
