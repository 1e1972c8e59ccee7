//! Who may approve, what an approval is good for, and that it is used once.

use super::*;
use crate::{
    registry::Registry,
    session::{BoundProcess, Lineage, Session},
};
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
        process: None,
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
    let approver = approver.parse().expect("a name");
    Vote { approver, presented: None, groups: vec!["security".into()], at: NOW, said, why: None }
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
fn one_person_has_one_vote_however_the_name_is_written() {
    let mut approval = asked(2);
    approval.vote(yes("eve@acme.example", &["tmp/*"], 0), NOW).expect("the first");
    assert_eq!(reason(approval.vote(yes("eve@acme.example", &["tmp/*"], 0), NOW)), Reason::NotAnApprover);
    let shouted = Approver::Person("Eve@ACME.example".parse().expect("a name"));
    let again = Vote { approver: shouted, ..yes("eve@acme.example", &["tmp/*"], 0) };
    assert_eq!(reason(approval.vote(again, NOW)), Reason::NotAnApprover);
    assert_eq!("Eve@ACME.example".parse::<Approver>().expect("a name").to_string(), "eve@acme.example");
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
    let changes: [fn(&mut Wanted); 7] = [
        |w| w.session = SessionId::from_uuid(Uuid::from_u128(2)),
        |w| w.peer = "spiffe://td/agent/other".parse().expect("id"),
        |w| w.process = Some(BoundProcess { uid: 0, exe: "/bin/sh".into() }),
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

#[test]
fn another_lifetime_or_step_is_another_ask_with_the_same_gist() {
    let longer = Wanted { ttl: Duration::from_secs(601), ..wanted() };
    let step = Wanted { task: "another step".parse().ok(), ..wanted() };
    for other in [longer, step] {
        assert!(gist(&other) == gist(&wanted()) && digest(&other) != digest(&wanted()), "{other:?}");
    }
    let process = Some(BoundProcess { uid: 0, exe: "/bin/sh".into() });
    for other in [Wanted { grants: grants(&["tmp/*"]), ..wanted() }, Wanted { process, ..wanted() }] {
        assert_ne!(gist(&other), gist(&wanted()), "{other:?}");
    }
}

fn registry(members: &str, departed: &str) -> Registry {
    let directory = tempfile::tempdir().expect("a directory");
    let manifests = format!(
        "apiVersion: crumb.dev/v1\nkind: ApprovalRule\nmetadata: {{ name: security }}\n\
         spec: {{ owner: eve@acme.example, members: [{members}], count: 1 }}\n---\n\
         apiVersion: crumb.dev/v1\nkind: Directory\nmetadata: {{ name: left }}\n\
         spec: {{ owner: kim@acme.example, departed: [{departed}] }}\n"
    );
    std::fs::write(directory.path().join("all.yaml"), manifests).expect("a file of our own");
    Registry::load(directory.path()).expect("a registry")
}

#[test]
fn votes_count_for_those_alone_who_may_vote_now_and_for_what_is_needed_now() {
    let votes = [yes("eve@acme.example", &["tmp/*"], 0), yes("dan@acme.example", &["tmp/*"], 0)];
    let holds = |registry: &Registry, session: &Session, count| {
        let needs = [Need { group: "security".into(), count }];
        Electorate { needs: &needs, session, registry }.is_satisfied_by(&votes)
    };
    let both = registry("eve@acme.example, Dan@acme.example", "");
    assert!(holds(&both, &session(), 2));
    assert!(!holds(&both, &session(), 3), "policy wants more by now");
    assert!(!holds(&registry("eve@acme.example", ""), &session(), 2), "one is not of the group any more");
    let left = registry("eve@acme.example, dan@acme.example", "dan@acme.example");
    assert!(!holds(&left, &session(), 2), "one has left");
    let owned = Session { owner: "Dan@acme.example".parse().expect("owner"), ..session() };
    assert!(!holds(&both, &owned, 2), "one answers for the agent");
    let needs = [Need { group: "security".into(), count: 1 }, Need { group: "legal".into(), count: 1 }];
    let (session, registry) = (session(), &both);
    assert!(
        !Electorate { needs: &needs, session: &session, registry }.is_satisfied_by(&votes),
        "another group as well"
    );
}

#[test]
fn a_workload_that_acts_brings_nobodys_word() {
    let registry = registry("eve@acme.example", "");
    let (session, needs) = (session(), [Need { group: "security".into(), count: 1 }]);
    let electorate = Electorate { needs: &needs, session: &session, registry: &registry };
    let eve = "eve@acme.example".parse().expect("a name");
    let through = |text: &str| Presented { issuer: "people".into(), through: text.parse().expect("a presenter") };
    assert!(electorate.admit(&eve, Some(&through("uid:0"))).is_ok());
    assert!(electorate.admit(&eve, Some(&through("spiffe://td/portal"))).is_ok());
    let refused = electorate.admit(&eve, Some(&through("spiffe://td/agent/bot"))).expect_err("the asker itself");
    assert_eq!(refused.reason, Reason::NotAnApprover);
}
