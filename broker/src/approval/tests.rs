//! Who may approve, what an approval is good for, and that it is used once.

use super::*;
use crate::session::{Lineage, Session};
use crumb_token::{Grant, Origin, SessionId, origin::Assurance};
use uuid::Uuid;

const NOW: Timestamp = Timestamp::from_unix_s(1_800_000_000);

fn grants(resources: &[&str]) -> Grants {
    let grant = |resource: &&str| Grant {
        tool: "delete_file".parse().expect("tool"),
        operation: "delete".parse().expect("operation"),
        resource: resource.parse().expect("resource"),
    };
    Grants::try_new(resources.iter().map(grant)).expect("few")
}

fn session() -> Session {
    let origin = Origin::User { name: "bob@acme.example".parse().expect("name"), assurance: Assurance::Verified };
    Session {
        id: SessionId::from_uuid(Uuid::from_u128(1)),
        agent: "bot".parse().expect("name"),
        version: "1".parse().expect("version"),
        owner: "ada@acme.example".parse().expect("owner"),
        peer: "spiffe://td/agent/bot".parse().expect("id"),
        process: None,
        intent: "tidy up".parse().expect("intent"),
        lineage: Lineage::root(origin.clone()),
        origin,
        envelope: Vec::new(),
        opened_at: NOW,
        expires_at: NOW.plus(Duration::from_secs(7200)),
        closed_at: None,
        tokens: 0,
        review: crate::drift::Review::default(),
    }
}

fn wanted() -> Wanted {
    Wanted {
        session: session().id,
        peer: session().peer,
        holder: None,
        audience: "spiffe://td/tool".parse().expect("audience"),
        grants: grants(&["tmp/*", "old/*"]),
        ttl: Duration::from_secs(600),
        task: None,
    }
}

fn asked(count: u32) -> Approval {
    let needs = vec![Need { group: "security".into(), count }];
    Approval::ask(ApprovalId::from_uuid(Uuid::from_u128(9)), wanted(), needs, &session(), NOW)
}

fn yes(approver: &str, resources: &[&str], ttl_s: u64) -> Vote {
    let said = Said::Yes { grants: grants(resources), ttl: Duration::from_secs(ttl_s) };
    Vote { approver: approver.into(), groups: vec!["security".into()], at: NOW, said, why: None }
}

fn no(approver: &str) -> Vote {
    Vote { said: Said::No, why: "not tonight".parse().ok(), ..yes(approver, &["tmp/*"], 0) }
}

fn reason(result: Result<(), Denial>) -> Reason {
    result.expect_err("refused").reason
}

#[test]
fn needs_as_many_people_as_it_says() {
    let mut approval = asked(2);
    assert_eq!(approval.answer(NOW).map(|d| d.reason), Some(Reason::ApprovalNeeded));
    approval.vote(yes("eve@acme.example", &["tmp/*", "old/*"], 0), NOW).expect("the first");
    assert_eq!(approval.answer(NOW).map(|d| d.reason), Some(Reason::ApprovalNeeded));
    approval.vote(yes("dan@acme.example", &["tmp/*", "old/*"], 0), NOW).expect("the second");
    assert_eq!(approval.answer(NOW), None);
}

#[test]
fn one_person_has_one_vote() {
    let mut approval = asked(2);
    approval.vote(yes("eve@acme.example", &["tmp/*"], 0), NOW).expect("the first");
    assert_eq!(reason(approval.vote(yes("eve@acme.example", &["tmp/*"], 0), NOW)), Reason::NotAnApprover);
}

#[test]
fn gives_no_more_than_every_vote_and_the_ask_allow() {
    let mut approval = asked(2);
    approval.vote(yes("eve@acme.example", &["tmp/*"], 0), NOW).expect("narrower");
    approval.vote(yes("dan@acme.example", &["tmp/a/*", "old/*"], 60), NOW).expect("narrower, and shorter");
    assert_eq!(approval.granted().expect("something"), (grants(&["tmp/a/*"]), Duration::from_secs(60)));
}

#[test]
fn votes_with_nothing_in_common_give_nothing() {
    let mut approval = asked(2);
    approval.vote(yes("eve@acme.example", &["tmp/*"], 0), NOW).expect("one");
    approval.vote(yes("dan@acme.example", &["old/*"], 0), NOW).expect("the other");
    assert_eq!(approval.granted().expect_err("nothing").reason, Reason::NothingGranted);
}

#[test]
fn a_refusal_ends_it_and_says_who_and_why() {
    let mut approval = asked(2);
    approval.vote(yes("eve@acme.example", &["tmp/*"], 0), NOW).expect("one");
    approval.vote(no("dan@acme.example"), NOW).expect("the other");
    assert_eq!(reason(approval.vote(yes("kim@acme.example", &["tmp/*"], 0), NOW)), Reason::ApprovalUsed);
    let denial = approval.answer(NOW).expect("refused");
    assert_eq!((denial.reason, denial.rule.as_str()), (Reason::ApprovalDenied, "not tonight"));
    assert_eq!(denial.author, "dan@acme.example");
}

#[test]
fn it_is_over_in_time_and_an_approval_is_not_kept_for_later() {
    let mut approval = asked(1);
    let late = NOW.plus(WAIT_MAX);
    assert_eq!(reason(approval.clone().vote(yes("eve@acme.example", &["tmp/*"], 0), late)), Reason::ApprovalExpired);
    approval.vote(yes("eve@acme.example", &["tmp/*"], 0), NOW).expect("in time");
    assert_eq!(approval.answer(NOW.plus(GOOD_FOR)).map(|d| d.reason), Some(Reason::ApprovalExpired));
}

#[test]
fn another_ask_has_another_digest() {
    let changes: [fn(&mut Wanted); 6] = [
        |w| w.session = SessionId::from_uuid(Uuid::from_u128(2)),
        |w| w.peer = "spiffe://td/agent/other".parse().expect("id"),
        |w| w.holder = Some("spiffe://td/agent/bot".parse().expect("id")),
        |w| w.audience = "spiffe://td/tool-2".parse().expect("audience"),
        |w| w.grants = grants(&["tmp/*"]),
        |w| w.task = "another step".parse().ok(),
    ];
    for change in changes {
        let mut other = wanted();
        change(&mut other);
        assert_ne!(digest(&other), digest(&wanted()), "{other:?}");
    }
    assert_eq!(digest(&wanted()), digest(&wanted()));
    assert_ne!(digest(&Wanted { ttl: Duration::from_secs(601), ..wanted() }), digest(&wanted()));
}
