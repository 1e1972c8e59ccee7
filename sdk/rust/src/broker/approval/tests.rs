//! Requests for approval as they come over the wire.

use super::*;

const ID: &str = "apr_01983f00000070008000000000000001";

fn told(state: &str) -> wire::Approval {
    let grant = wire::Grant { tool: "delete_file".into(), operation: "delete".into(), resource: "tmp/*".into() };
    wire::Approval {
        approval_id: ID.into(),
        state: state.into(),
        session_id: "ses_01983f00000070008000000000000001".into(),
        agent: "bot".into(),
        agent_version: "1".into(),
        owner: "ada@acme.example".into(),
        peer: "spiffe://td/agent/bot".into(),
        intent: "tidy up".into(),
        scope: Some(wire::Scope { audience: "spiffe://td/tool".into(), grants: vec![grant] }),
        ..Default::default()
    }
}

fn vote(approver: &str, approved: bool, why: &str) -> wire::Vote {
    wire::Vote { approver: approver.into(), approved, why: why.into(), ..Default::default() }
}

#[test]
fn a_refusal_says_who_and_why() {
    let votes = vec![vote("dan@acme.example", true, ""), vote("eve@acme.example", false, "not tonight")];
    let refused = Approval::read(&wire::Approval { votes, ..told("refused") }).expect("well-formed");
    let denial = refused.refusal().expect("over");
    assert_eq!((denial.reason, denial.asked.as_str()), (Reason::ApprovalDenied, ID));
    assert_eq!((denial.rule.as_str(), denial.author.as_str()), ("not tonight", "eve@acme.example"));
}

#[test]
fn only_what_is_over_is_a_refusal() {
    let refusal = |state: &str| Approval::read(&told(state)).expect("well-formed").refusal().map(|d| d.reason);
    assert_eq!((refusal("pending"), refusal("approved")), (None, None));
    assert_eq!(refusal("expired"), Some(Reason::ApprovalExpired));
    assert_eq!(refusal("redeemed"), Some(Reason::ApprovalUsed));
}

#[test]
fn refuses_an_answer_with_a_part_that_cannot_be_read() {
    let changes: [fn(&mut wire::Approval); 6] = [
        |a| a.state = "forgotten".into(),
        |a| a.approval_id = "apr_1".into(),
        |a| a.scope = None,
        |a| a.actors.push("nobody".into()),
        |a| a.appeal_of = "apr_2".into(),
        |a| a.votes = vec![wire::Vote { grants: vec![wire::Grant::default()], ..Default::default() }],
    ];
    for change in changes {
        let mut changed = told("pending");
        change(&mut changed);
        assert!(matches!(Approval::read(&changed), Err(CallFailed::Unreadable { .. })), "{changed:?}");
    }
}

#[test]
fn only_a_denial_for_want_of_approval_names_one() {
    let id: ApprovalId = ID.parse().expect("an id");
    assert_eq!(awaited(&Denial::new(Reason::ApprovalNeeded).asked(id)), Some(id));
    assert_eq!(awaited(&Denial::new(Reason::ApprovalDenied).asked(id)), None);
    assert_eq!(awaited(&Denial::new(Reason::ApprovalNeeded).asked("delete_file delete tmp/*")), None);
}

#[test]
fn the_token_of_an_approver_is_never_shown() {
    let by = SubjectToken::from_presented("canary").ok();
    let id = ID.parse().expect("an id");
    let approve = Approve { id, grants: None, ttl: None, why: String::new(), by: by.clone() };
    let refuse = Refuse { id, why: String::new(), by: by.clone() };
    let list = ListApprovals { by, ..ListApprovals::default() };
    assert_eq!(approve.to_wire().approver_token, "canary");
    let shown = format!("{approve:?} {refuse:?} {list:?} {:?} {:?}", approve.to_wire(), list.to_wire());
    assert!(!shown.contains("canary"), "{shown}");
}
