//! What answers an ask: a refusal of its like, and what becomes of an approval that does not hold any more; and which
//! requests a listing finds.

use super::*;
use crate::approval::State;

async fn refuse(store: &SqliteStore, approval: &Approval) {
    let approver = "eve".parse().expect("a name");
    let vote = Vote { approver, presented: None, groups: vec!["security".into()], at: NOW, said: Said::No, why: None };
    let refused = store.vote(approval.id, vote, NOW, record(Kind::Approval)).await.expect("a store").expect("refused");
    assert_eq!(refused.state, State::Refused);
}

async fn answering(store: &SqliteStore, approval: &Approval) -> Option<ApprovalId> {
    store.approval_of(approval.wanted.clone()).await.expect("read").map(|found| found.id)
}

/// The same as `old`, asked again because of a reason.
fn appeal(n: u128, old: &Approval) -> Approval {
    let why = "it was a misunderstanding".parse().expect("a sentence");
    Approval { id: ApprovalId::from_uuid(Uuid::from_u128(n)), appeal: Some((old.id, why)), ..old.clone() }
}

#[tokio::test]
async fn a_refusal_stands_for_other_lifetimes_and_steps_until_it_is_appealed_once() {
    let (store, _directory) = store();
    assert_eq!(open(&store, 1, None).await, Written::Committed);
    let session = session(1, None);
    // The lifetime is the number.
    let refused = ask(&store, approval(1, &session)).await.expect("room");
    refuse(&store, &refused).await;
    let longer = approval(2, &session);
    let mut other_step = approval(3, &session);
    other_step.wanted.task = "another step".parse().ok();
    for other in [&refused, &longer, &other_step] {
        assert_eq!(answering(&store, other).await, Some(refused.id));
        let told = ask(&store, other.clone()).await.expect("told of the refusal");
        assert_eq!((told.id, told.state), (refused.id, State::Refused));
    }
    let mut other_rights = approval(4, &session);
    other_rights.wanted.holder = Some("spiffe://td/b".parse().expect("id"));
    assert_eq!(answering(&store, &other_rights).await, None, "what nobody refused");

    let appealed = ask(&store, appeal(10, &refused)).await.expect("appealed");
    assert_eq!(answering(&store, &refused).await, Some(appealed.id));
    assert_eq!(answering(&store, &longer).await, None);
    let again = ask(&store, appeal(11, &refused)).await.expect_err("once");
    assert_eq!(again.reason, Reason::ApprovalUsed);
    refuse(&store, &appealed).await;
    assert_eq!(answering(&store, &longer).await, Some(appealed.id), "and the appeal's refusal stands in turn");
}

#[tokio::test]
async fn nothing_is_redeemed_under_a_refusal_of_its_like() {
    let (store, _directory) = store();
    assert_eq!(open(&store, 1, None).await, Written::Committed);
    let session = session(1, None);
    let (one, other) = (approval(1, &session), approval(2, &session));
    for asked in [&one, &other] {
        ask(&store, asked.clone()).await.expect("room");
    }
    approve(&store, &one).await.expect("approved");
    refuse(&store, &other).await;
    let issuance = issuance(5, claims(1, Duration::from_secs(60)), session.id, Some(one.id));
    let Written::Changed(denial) = store.issue(issuance).await.expect("a store") else { panic!("issued") };
    assert_eq!((denial.reason, denial.asked), (Reason::ApprovalDenied, other.id.to_string()));
}

#[tokio::test]
async fn an_approval_that_does_not_hold_any_more_is_over_when_another_is_asked() {
    let (store, _directory) = store();
    assert_eq!(open(&store, 1, None).await, Written::Committed);
    let session = session(1, None);
    let old = ask(&store, approval(1, &session)).await.expect("room");
    approve(&store, &old).await.expect("approved");
    let fresh = Approval { id: ApprovalId::from_uuid(Uuid::from_u128(77)), ..approval(1, &session) };
    assert_eq!(ask(&store, fresh.clone()).await.expect("the approved one").id, old.id);
    let agent = "bot".parse().expect("name");
    let asking = Asking { approval: fresh, agent, now: NOW, instead_of: Some(old.id), record: record(Kind::Exchange) };
    let fresh = store.ask_approval(asking).await.expect("a store").expect("a new one");
    assert_eq!(answering(&store, &old).await, Some(fresh.id));
    let old = store.approval(old.id).await.expect("read").expect("kept");
    assert_eq!(old.state.word(old.expires_at, NOW), "expired");
}

#[tokio::test]
async fn a_listing_finds_what_may_be_seen_among_newer_ones_that_may_not() {
    let (store, _directory) = store();
    for n in [1, 2] {
        assert_eq!(open(&store, n, None).await, Written::Committed);
    }
    let (first, second) = (session(1, None), session(2, None));
    let own = ask(&store, approval(1, &first)).await.expect("room");
    for n in 2..=12 {
        ask(&store, approval(n, &second)).await.expect("room");
    }
    refuse(&store, &approval(12, &second)).await;
    approve(&store, &approval(11, &second)).await.expect("approved");
    let list = async |session: Option<SessionId>, state, now, of: SessionId| {
        let listing = Listing { session, state, now, limit: 1 };
        let keep: Keep = Box::new(move |approval| approval.wanted.session == of);
        let found = store.approvals(listing, keep).await.expect("read");
        found.into_iter().map(|approval| approval.id).next()
    };
    let number = |n| Some(ApprovalId::from_uuid(Uuid::from_u128(n)));
    for state in [None, Some("pending")] {
        assert_eq!(list(None, state, NOW, first.id).await, Some(own.id));
        assert_eq!(list(Some(first.id), state, NOW, first.id).await, Some(own.id));
        assert_eq!(list(Some(second.id), state, NOW, first.id).await, None);
    }
    assert_eq!(list(None, Some("pending"), NOW, second.id).await, number(10));
    for session in [None, Some(second.id)] {
        assert_eq!(list(session, Some("approved"), NOW, second.id).await, number(11));
        assert_eq!(list(session, Some("refused"), NOW, second.id).await, number(12));
        assert_eq!(list(session, Some("redeemed"), NOW, second.id).await, None);
        assert_eq!(list(session, Some("expired"), NOW, second.id).await, None);
        let late = NOW.plus(Duration::from_secs(7200));
        assert_eq!(list(session, Some("pending"), late, second.id).await, None);
        assert_eq!(list(session, Some("expired"), late, second.id).await, number(11));
    }
}
