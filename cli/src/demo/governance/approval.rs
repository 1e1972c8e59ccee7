//! The third act: what cannot be undone waits for a person who has no part in it, who gives less; it is redeemed once.

use super::{
    act::{Act, defect},
    cast::{Cast, USER, asking, told},
    people::APPROVER,
};
use crate::{
    actor::{Order, Reply},
    exit::Failure,
};
use crumb_proto::wire::{self, approval_service_client::ApprovalServiceClient};
use crumb_token::{ApprovalId, Clock, Reason};

const ASKED: &str = "files delete_file delete file:///docs/*";
/// What is given of it.
const GIVEN: (&str, &str, &str) = ("delete_file", "delete", "file:///docs/release-notes.md");

pub(super) async fn play(cast: &mut Cast, act: &mut Act) -> Result<(), Failure> {
    let request = asking(&cast.session.clone(), ASKED);
    act.id("session", &cast.session);
    let asked = cast.planner.obey(&request).await?;
    let refused = act.denied("planner", "asks to delete in docs/", &asked, Reason::ApprovalNeeded)?;
    let id = refused.asked;
    if id.parse::<ApprovalId>().is_err() {
        return Err(defect(format!("the refusal names no request for approval, but {id:?}")));
    }
    act.id("approval", &id);

    let own = cast.planner.obey(&Order::Approve { approval: id.clone() }).await?;
    act.denied("planner", "approves it itself", &own, Reason::NotAnApprover)?;
    let user = approve(cast, USER, &id).await?;
    act.denied(USER, "approves it, for whom it is done", &user, Reason::NotAnApprover)?;
    let eve = approve(cast, APPROVER, &id).await?;
    let (tool, operation, resource) = GIVEN;
    act.allowed(APPROVER, format!("approves less of it: {tool} {operation} {resource}"), &eve)?;

    let issued = cast.planner.obey(&request).await?;
    act.allowed("planner", "asks the same again, and gets what was approved", &issued)?;
    act.id("token", &issued.token);
    if issued.grants != [format!("{tool} {operation} {resource}")] {
        return Err(defect(format!("approved was {resource}, given is {}", issued.grants.join("; "))));
    }
    let deleting = |path: &str| Order::Call {
        token: issued.token.clone(),
        server: "files".into(),
        tool: tool.into(),
        path: path.into(),
    };
    let deleted = cast.planner.obey(&deleting("docs/release-notes.md")).await?;
    act.allowed("planner", "deletes docs/release-notes.md", &deleted)?;
    let other = cast.planner.obey(&deleting("docs/roadmap.md")).await?;
    act.denied("planner", "deletes docs/roadmap.md", &other, Reason::ResourceNotGranted)?;

    let again = cast.planner.obey(&request).await?;
    let anew = act.denied("planner", "asks the same a second time", &again, Reason::ApprovalNeeded)?;
    if anew.asked == id {
        return Err(defect("an approval that was redeemed is waited for again"));
    }
    let twice = approve(cast, APPROVER, &id).await?;
    act.denied(APPROVER, "approves the redeemed request again", &twice, Reason::ApprovalUsed)?;
    Ok(())
}

/// A person's yes to less than was asked, as an operator's tool brings it.
async fn approve(cast: &Cast, person: &str, id: &str) -> Result<Reply, Failure> {
    let (tool, operation, resource) = GIVEN;
    let request = wire::ApproveRequest {
        approval_id: id.to_owned(),
        grants: vec![wire::Grant { tool: tool.into(), operation: operation.into(), resource: resource.into() }],
        ttl_s: 0,
        why: "only what is out of date".into(),
        approver_token: cast.people.token(person, cast.clock.now().wall),
    };
    let answer = ApprovalServiceClient::new(cast.admin.clone()).approve(request).await;
    Ok(told(answer)?.map_or_else(|refused| refused, |_| Reply::default()))
}
