//! Why: what every layer's refusal is told as, what would be decided on an ask that was never made, and what is told of
//! numbers that name nothing.

use biscuit_auth::KeyPair;
use crumb_proto::wire::{
    ApplyRequest, ApproveRequest, Decision, DelegateRequest, Denial, ExchangeRequest, ExplainAskRequest,
    ExplainIdRequest, Explanation, LiftRequest, ManifestFile, MayAct, OpenSessionRequest, RecordDecisionsRequest,
    RefuseRequest, RevokeRequest, explain_service_client::ExplainServiceClient,
    registry_service_client::RegistryServiceClient,
};
use crumb_tests::broker::{
    AGENT_PATH, Client, FILES, GOVERNED, Setup, TestBroker, exchange, files, grant, opening, reason, refusal,
    request_id,
};
use crumb_token::{RecordId, RequestId, SessionId, TokenId};
use tonic::Status;
use uuid::Uuid;

struct Stage {
    broker: TestBroker,
    janitor: Client,
    session: String,
}

impl Stage {
    async fn new() -> Self {
        Self::with(Setup::governed()).await
    }

    async fn with(setup: Setup) -> Self {
        let broker = TestBroker::start_with(setup).await;
        let janitor = broker.client("/agent/janitor").await;
        let session = Self::open(&janitor).await;
        Self { broker, janitor, session }
    }

    async fn open(janitor: &Client) -> String {
        let rights = [
            ("read_file", "read", "file:///docs/*"),
            ("write_file", "write", "file:///notes/*"),
            ("delete_file", "delete", "file:///tmp/*"),
        ];
        let mut request = opening();
        (request.agent, request.envelope) = ("janitor".into(), vec![files(&rights)]);
        janitor.open(request).await.expect("a session")
    }

    async fn why(&self, id: &str) -> Result<Explanation, Status> {
        let mut client = ExplainServiceClient::new(self.broker.admin());
        client.explain_id(ExplainIdRequest { id: id.to_owned() }).await.map(tonic::Response::into_inner)
    }

    async fn would(&self, ask: ExplainAskRequest) -> Result<Explanation, Status> {
        let mut client = ExplainServiceClient::new(self.broker.admin());
        client.explain_ask(ask).await.map(tonic::Response::into_inner)
    }

    /// What would be said to the janitor, in its session.
    fn ask(&self, right: (&str, &str, &str)) -> ExplainAskRequest {
        let (tool, operation, resource) = right;
        ExplainAskRequest {
            session_id: self.session.clone(),
            grant: Some(grant(tool, operation, resource)),
            ..ExplainAskRequest::default()
        }
    }

    /// Asks, and returns the number of the request with what was said.
    async fn exchange(&self, right: (&str, &str, &str)) -> (String, Result<String, crumb_token::Denial>) {
        let mut request = exchange(&self.session);
        request.scope = Some(files(&[right]));
        let id = request.request_id.clone();
        match self.janitor.exchange(request).await {
            Ok(issued) => (id, Ok(issued.token_id)),
            Err(status) => (id, Err(refusal::<()>(Err(status)).1)),
        }
    }

    async fn revoke(&self, kind: &str, name: &str, stop: bool) {
        let request =
            RevokeRequest { kind: kind.into(), name: name.into(), why: "it went astray".into(), stop, dry_run: false };
        self.broker.operator().revoke(request).await.expect("revoked");
    }

    /// Reports what the tool server decided on a call with a token.
    async fn report(&self, token_id: &str, denial: Option<Denial>) -> String {
        let record_id = RecordId::from_uuid(Uuid::now_v7()).to_string();
        let decision = Decision {
            record_id: record_id.clone(),
            at_unix_ms: 1_800_000_000_000,
            audience: FILES.into(),
            peer: "spiffe://a.test/agent/janitor".into(),
            token_id: token_id.into(),
            session_id: self.session.clone(),
            agent: "janitor".into(),
            tool: "read_file".into(),
            operation: "read".into(),
            resource: "file:///docs/a.md".into(),
            allowed: denial.is_none(),
            denial,
            ..Decision::default()
        };
        let server = self.broker.client("/tool/files").await;
        let request = RecordDecisionsRequest { decisions: vec![decision] };
        server.audit().record_decisions(request).await.expect("kept");
        record_id
    }
}

fn layer(explained: &Explanation) -> (&str, &str) {
    let denial = explained.denial.as_ref().map(|denial| (denial.reason.as_str(), denial.layer.as_str()));
    denial.unwrap_or(("", ""))
}

fn step<'e>(explained: &'e Explanation, layer: &str) -> &'e crumb_proto::wire::Step {
    let found = explained.steps.iter().find(|step| step.layer == layer);
    found.unwrap_or_else(|| panic!("no step of {layer}: {explained:#?}"))
}

#[tokio::test]
async fn every_refusal_of_an_exchange_is_told_with_its_layer_and_who_wrote_the_rule() {
    let stage = Stage::new().await;
    let cases = [
        (("read_file", "read", "file:///etc/passwd"), "outside_envelope", "envelope", "janitor"),
        (("read_file", "read", "file:///docs/secret/a"), "policy_denied", "policy", "eve@a.test"),
        (("delete_file", "delete", "file:///tmp/*"), "approval_needed", "approval", "the issuance policy"),
        (("no_tool", "read", "a"), "tool_unknown", "registry", "ada@a.test"),
    ];
    for (right, code, wanted, author) in cases {
        let (request, said) = stage.exchange(right).await;
        let denial = said.expect_err("refused");
        let told = stage.why(&request).await.expect("an explanation");
        assert_eq!(layer(&told), (code, wanted), "{told:#?}");
        // The same object: what the asker got, and what is on record.
        assert_eq!(told.denial, Some(crumb_proto::convert::to_denial(&denial)));
        assert_eq!(told.denial.as_ref().map(|d| d.author.as_str()), Some(author));
        let record = told.record.as_ref().expect("a record");
        assert_eq!((record.agent.as_str(), record.owner.as_str()), ("janitor", "ada@a.test"));
        assert_eq!(record.denial, told.denial);
        assert_eq!((told.about.as_str(), told.id.as_str()), ("request", request.as_str()));
        assert_eq!(step(&told, wanted).outcome, "refused");
        let by_record = stage.why(&record.record_id).await.expect("an explanation");
        assert_eq!((by_record.denial, by_record.about.as_str()), (told.denial.clone(), "record"));
    }
    let (request, _) = stage.exchange(("read_file", "read", "file:///docs/secret/a")).await;
    let told = stage.why(&request).await.expect("an explanation");
    assert!(step(&told, "policy").rule.contains("issue.rego:12"), "{told:#?}");
    assert_eq!(
        (step(&told, "manifest").outcome.as_str(), step(&told, "pace").outcome.as_str()),
        ("held", "not reached")
    );
    assert_eq!(told.next, "ask for another folder");
}

#[tokio::test]
async fn pace_drift_session_and_stops_are_told_apart() {
    let stage = Stage::new().await;
    let writing = ("write_file", "write", "file:///notes/a.md");
    for _ in 0..3 {
        stage.exchange(writing).await.1.expect("a token");
    }
    let (request, _) = stage.exchange(writing).await;
    assert_eq!(layer(&stage.why(&request).await.expect("told")), ("rate_limited", "pace"));

    stage.revoke("agent", "janitor", true).await;
    let session = stage.why(&stage.session).await.expect("told");
    assert_eq!((session.decision.as_str(), session.state.as_str()), ("allowed", "closed"), "{session:#?}");
    let (request, _) = stage.exchange(("read_file", "read", "file:///docs/*")).await;
    let told = stage.why(&request).await.expect("told");
    assert_eq!(layer(&told).1, "session", "{told:#?}");
    let ask = ExplainAskRequest { agent: "janitor".into(), session_id: String::new(), ..stage.ask(writing) };
    let told = stage.would(ask.clone()).await.expect("told");
    assert_eq!(layer(&told), ("stopped", "kill switch"));
    assert!(step(&told, "kill switch").rule.contains("it went astray"), "{told:#?}");
    let lift = LiftRequest { kind: "agent".into(), name: "janitor".into(), why: "it was a drill".into() };
    stage.broker.operator().lift(lift).await.expect("lifted");
    let told = stage.would(ask).await.expect("told");
    assert_eq!(layer(&told), ("rate_limited", "pace"), "the pace is the agent's, in every session: {told:#?}");
}

#[tokio::test]
async fn a_session_that_drifted_and_a_right_that_those_above_lost_are_told() {
    let drift = "[drift.denials_in_a_row]\nthreshold = 2\n".to_owned();
    let stage = Stage::with(Setup { config: drift, ..Setup::governed() }).await;
    let request = DelegateRequest {
        request_id: request_id(),
        session_id: stage.session.clone(),
        agent: "helper".into(),
        peer: "spiffe://a.test/agent/helper".into(),
        intent: "read for me".into(),
        envelope: vec![files(&[("read_file", "read", "file:///docs/*")])],
        ..DelegateRequest::default()
    };
    let inside = stage.janitor.sessions().delegate(request).await.expect("a session").into_inner().session_id;
    let told = stage.why(&inside).await.expect("told");
    assert_eq!((told.state.as_str(), told.record.expect("a record").kind.as_str()), ("open", "session.delegate"));

    // The agent above is set aside: the one below loses what it had by way of it.
    let mut registry = RegistryServiceClient::new(stage.broker.admin());
    let janitor = GOVERNED.split("---\n").find(|text| text.contains("name: janitor")).expect("it is there");
    let change = |text: String| ApplyRequest {
        documents: vec![ManifestFile { file: "a.yaml".into(), text }],
        ..ApplyRequest::default()
    };
    let narrower = janitor.replace("[\"file:///docs/*\"]", "[\"file:///docs/a/*\"]");
    assert_eq!(registry.apply(change(narrower)).await.expect("applied").into_inner().defects, []);
    let helper = stage.broker.client("/agent/helper").await;
    let asked = exchange(&inside);
    let id = asked.request_id.clone();
    assert_eq!(reason(helper.exchange(asked).await), "outside_manifest");
    let told = stage.why(&id).await.expect("told");
    let denial = told.denial.as_ref().expect("why not");
    assert_eq!((denial.rule.as_str(), denial.author.as_str()), ("manifest janitor", "ada@a.test"), "whose rule it is");
    let quarantined = janitor.replace("environment: test", "environment: test\n  lifecycle: quarantined");
    registry.apply(change(quarantined)).await.expect("applied");
    let ask = ExplainAskRequest { session_id: inside, ..stage.ask(("read_file", "read", "file:///docs/*")) };
    assert_eq!(
        layer(&stage.would(ask).await.expect("told")),
        ("session_closed", "session"),
        "it ended with the one above"
    );
}

#[tokio::test]
async fn a_halted_session_says_what_was_counted() {
    let drift = "[drift.denials_in_a_row]\nthreshold = 2\n".to_owned();
    let stage = Stage::with(Setup { config: drift, ..Setup::governed() }).await;
    for _ in 0..2 {
        stage.exchange(("read_file", "read", "file:///etc/passwd")).await.1.expect_err("refused");
    }
    let (request, _) = stage.exchange(("read_file", "read", "file:///docs/*")).await;
    let told = stage.why(&request).await.expect("told");
    assert_eq!(layer(&told), ("session_halted", "drift"));
    assert!(step(&told, "drift").rule.contains("denials_in_a_row"), "{told:#?}");
    let session = stage.why(&stage.session).await.expect("told");
    assert_eq!((session.state.as_str(), layer(&session)), ("halted", ("session_halted", "drift")));
    assert!(session.steps.iter().any(|step| step.layer == "drift" && step.number != 0), "{session:#?}");
    assert!(session.next.contains("crumb session resume"), "{}", session.next);
    let would = stage.would(stage.ask(("read_file", "read", "file:///docs/*"))).await.expect("told");
    assert_eq!(layer(&would), ("session_halted", "drift"));
}

#[tokio::test]
async fn a_token_says_who_got_it_what_was_called_and_what_ended_it() {
    let stage = Stage::new().await;
    let (request, token) = stage.exchange(("read_file", "read", "file:///docs/*")).await;
    let token = token.expect("a token");
    let told = stage.why(&token).await.expect("told");
    assert_eq!((told.decision.as_str(), told.state.as_str(), &told.denial), ("allowed", "in force", &None));
    assert!(told.steps.iter().all(|step| step.outcome == "held"), "{told:#?}");
    assert_eq!(step(&told, "manifest").author, "ada@a.test");
    assert!(step(&told, "policy").rule.starts_with("issue@"), "{told:#?}");
    let record = told.record.expect("a record");
    assert_eq!((record.request_id, record.holder.as_str()), (request, "spiffe://a.test/agent/janitor"));

    let refused = Denial {
        reason: "resource_not_granted".into(),
        asked: "read_file read file:///docs/a.md".into(),
        rule: "block 1, resource".into(),
        author: "a holder (block 1)".into(),
        next: "call what it was narrowed to".into(),
        layer: String::new(),
    };
    let call = stage.report(&token, Some(refused)).await;
    let told = stage.why(&call).await.expect("told");
    assert_eq!((layer(&told), told.about.as_str()), (("resource_not_granted", "grant"), "record"));
    assert_eq!(
        (step(&told, "grant").rule.as_str(), step(&told, "grant").author.as_str()),
        ("block 1, resource", "a holder (block 1)")
    );
    assert!(step(&told, "token").rule.contains("was issued to spiffe://a.test/agent/janitor"), "{told:#?}");
    let allowed = stage.report(&token, None).await;
    assert_eq!(stage.why(&allowed).await.expect("told").decision, "allowed");

    stage.revoke("token", &token, false).await;
    let told = stage.why(&token).await.expect("told");
    assert_eq!((told.decision.as_str(), told.state.as_str()), ("allowed", "revoked"));
    assert_eq!(layer(&told), ("token_revoked", "revocation"));
    let denial = told.denial.as_ref().expect("why not");
    assert!(denial.rule.contains("it went astray") && denial.author.starts_with("uid:"), "{denial:?}");
    let calls: Vec<_> = told.steps.iter().filter(|step| step.number != 0).map(|step| step.outcome.as_str()).collect();
    assert_eq!(calls, ["noted", "refused"], "the newest call first: {told:#?}");
}

#[tokio::test]
async fn a_token_of_a_session_that_ended_says_which_end_it_was() {
    let stage = Stage::new().await;
    let (_, token) = stage.exchange(("read_file", "read", "file:///docs/*")).await;
    let token = token.expect("a token");
    stage.janitor.close(&stage.session).await.expect("closed");
    let told = stage.why(&token).await.expect("told");
    let denial = told.denial.as_ref().expect("why not");
    assert_eq!((told.state.as_str(), denial.reason.as_str()), ("revoked", "token_revoked"));
    assert!(denial.rule.contains(&stage.session) && denial.rule.contains("session.close"), "{denial:?}");
    assert_eq!(denial.author, "spiffe://a.test/agent/janitor");
    let told = stage.why(&stage.session).await.expect("told");
    assert_eq!((told.state.as_str(), layer(&told)), ("closed", ("session_closed", "session")));
    assert_eq!(told.denial.expect("why not").author, "spiffe://a.test/agent/janitor");
}

#[tokio::test]
async fn a_token_that_may_be_handed_on_says_where_it_is_over() {
    let mut setup = Setup::governed();
    let lead = GOVERNED.split("---\n").find(|text| text.contains("name: helper")).expect("it is there");
    let lead = lead.replace("agent/helper", "agent/lead").replace("name: helper", "name: lead");
    let lead = lead.replace("  scopes:\n", "  mayHandTo: [helper, janitor]\n  scopes:\n");
    setup.manifests.push(("lead.yaml".into(), lead));
    let stage = Stage::with(setup).await;
    let client = stage.broker.client("/agent/lead").await;
    let reading = || vec![files(&[("read_file", "read", "file:///docs/*")])];
    let session = client.open(OpenSessionRequest { agent: "lead".into(), envelope: reading(), ..opening() }).await;
    let to = |agent: &str| MayAct { agent: agent.into(), peer: format!("spiffe://a.test/agent/{agent}") };
    let request = ExchangeRequest {
        scope: reading().pop(),
        may_act: vec![to("helper"), to("janitor")],
        delegation_key: KeyPair::new().public().to_bytes(),
        ..exchange(&session.expect("a session"))
    };
    let token = client.exchange(request).await.expect("its owner named them").token_id;
    let hands = |told: &Explanation, agent: &str| {
        let found = told.steps.iter().find(|step| step.rule.starts_with(&format!("in the hands of {agent}: ")));
        found.unwrap_or_else(|| panic!("{agent} is not told of: {told:#?}")).clone()
    };
    let told = stage.why(&token).await.expect("told");
    for agent in ["helper", "janitor"] {
        assert!(hands(&told, agent).rule.ends_with("nothing is revoked"), "{told:#?}");
    }
    stage.revoke("version", "helper@0.3.0", false).await;
    let told = stage.why(&token).await.expect("told");
    assert_eq!((told.state.as_str(), &told.denial), ("in force", &None), "for the lead it goes on");
    let helper = hands(&told, "helper");
    assert!(helper.rule.contains("it is over: ") && helper.rule.contains("it went astray"), "{helper:?}");
    assert!(helper.author.starts_with("uid:"), "{helper:?}");
    assert!(hands(&told, "janitor").rule.ends_with("nothing is revoked"), "{told:#?}");
    assert!(!told.next.contains("nothing ends it"), "{}", told.next);

    // Under other manifests than then, the version that the token names is not on record.
    let janitor = GOVERNED.split("---\n").find(|text| text.contains("name: janitor")).expect("it is there");
    let text = janitor.replace("version: 2.0.0", "version: 2.1.0");
    let documents = vec![ManifestFile { file: "a.yaml".into(), text }];
    let change = ApplyRequest { documents, ..ApplyRequest::default() };
    RegistryServiceClient::new(stage.broker.admin()).apply(change).await.expect("applied");
    stage.revoke("version", "janitor@2.0.0", false).await;
    let told = stage.why(&token).await.expect("told");
    assert!(hands(&told, "janitor").rule.ends_with("so of that it is not known"), "{told:#?}");
    stage.revoke("agent", "janitor", false).await;
    let told = stage.why(&token).await.expect("told");
    assert!(hands(&told, "janitor").rule.contains("it is over: "), "{told:#?}");
}

#[tokio::test]
async fn requests_of_two_callers_with_one_number_are_listed_and_never_merged() {
    let stage = Stage::new().await;
    let (request, _) = stage.exchange(("read_file", "read", "file:///etc/passwd")).await;
    assert_eq!(layer(&stage.why(&request).await.expect("told")), ("outside_envelope", "envelope"));
    let bot = stage.broker.client(AGENT_PATH).await;
    let session = bot.session().await;
    let issued = bot.exchange(ExchangeRequest { request_id: request.clone(), ..exchange(&session) }).await;
    let issued = issued.expect("numbers of requests are each caller's own").token_id;
    let told = stage.why(&request).await.expect("told");
    assert_eq!((told.decision.as_str(), &told.record, &told.denial), ("unknown", &None, &None), "{told:#?}");
    let [newest, other] = &told.steps[..] else { panic!("one of each: {told:#?}") };
    assert!(newest.rule.contains("exchange of spiffe://a.test/agent/research-bot, allowed"), "{newest:?}");
    assert!(other.rule.contains("exchange of spiffe://a.test/agent/janitor, refused"), "{other:?}");
    assert!(told.next.contains("rec_"), "{}", told.next);
    for (step, decision) in [(newest, "allowed"), (other, "denied")] {
        let record = step.rule.split(',').next().expect("the number of the record");
        assert_eq!(stage.why(record).await.expect("told").decision, decision, "{record}");
    }
    assert_eq!(stage.why(&issued).await.expect("told").decision, "allowed", "a token is told by its own number");
}

#[tokio::test]
async fn an_approval_is_told_with_its_votes_and_the_token_with_its_approval() {
    let stage = Stage::new().await;
    let deleting = ("delete_file", "delete", "file:///tmp/*");
    let (_, said) = stage.exchange(deleting).await;
    let id = said.expect_err("it waits").asked;
    let told = stage.why(&id).await.expect("told");
    assert_eq!((told.decision.as_str(), told.state.as_str()), ("waiting", "pending"));
    assert!(step(&told, "policy").rule.contains("what cannot be undone"), "{told:#?}");
    assert_eq!(step(&told, "approval").rule, "0 of 1 of security");
    let would = stage.would(stage.ask(deleting)).await.expect("told");
    assert_eq!(would.decision, "waiting", "the same request answers an ask that was never made: {would:#?}");
    assert_eq!(would.denial.as_ref().map(|denial| denial.asked.as_str()), Some(id.as_str()));

    let portal = stage.broker.client("/portal").await;
    let yes = ApproveRequest { approval_id: id.clone(), why: "as agreed".into(), ..ApproveRequest::default() };
    portal.approvals().approve(yes).await.expect("approved");
    assert_eq!(stage.why(&id).await.expect("told").state, "approved");
    assert_eq!(stage.would(stage.ask(deleting)).await.expect("told").decision, "allowed");
    let (_, token) = stage.exchange(deleting).await;
    let token = token.expect("it is still there: nothing was redeemed by asking why");
    let told = stage.why(&token).await.expect("told");
    let vote = told.steps.iter().find(|step| step.author == "spiffe://a.test/portal").expect("the vote");
    assert!(vote.rule.contains(&id) && vote.rule.contains("as agreed"), "{vote:?}");
    assert_eq!(stage.why(&id).await.expect("told").state, "redeemed");

    let (_, said) = stage.exchange(("delete_file", "delete", "file:///tmp/a/*")).await;
    let id = said.expect_err("it waits").asked;
    let no = RefuseRequest { approval_id: id.clone(), why: "not tonight".into(), ..RefuseRequest::default() };
    portal.approvals().refuse(no).await.expect("refused");
    let told = stage.why(&id).await.expect("told");
    assert_eq!((told.state.as_str(), layer(&told)), ("refused", ("approval_denied", "approval")));
    assert_eq!(
        told.denial.map(|denial| (denial.rule, denial.author)),
        Some(("not tonight".into(), "spiffe://a.test/portal".into()))
    );
}

#[tokio::test]
async fn an_ask_that_was_never_made_is_answered_like_the_real_one_and_leaves_nothing() {
    let stage = Stage::new().await;
    let before = stage.broker.trail().await.len();
    for right in [
        ("read_file", "read", "file:///docs/*"),
        ("read_file", "read", "file:///etc/passwd"),
        ("read_file", "read", "file:///docs/secret/a"),
        ("no_tool", "read", "a"),
    ] {
        let ask = ExplainAskRequest { audience: FILES.into(), ..stage.ask(right) };
        let told = stage.would(ask).await.expect("told");
        assert_eq!((told.about.as_str(), told.id.as_str()), ("ask", ""));
        assert!(!told.assumed.is_empty());
        let said = stage.exchange(right).await.1;
        assert_eq!(told.decision == "allowed", said.is_ok(), "{right:?}: {told:#?}");
        let said = said.err().map(|denial| crumb_proto::convert::to_denial(&denial));
        assert_eq!(told.denial, said, "{right:?}");
    }
    let trail = stage.broker.trail().await;
    assert_eq!(trail.len(), before + 4, "only the real ones are on record");
    let told = stage.would(stage.ask(("read_file", "read", "file:///docs/a/*"))).await.expect("told");
    let record = told.record.expect("who and what");
    assert_eq!((record.number, record.record_id.as_str(), record.token_id.as_str()), (0, "", ""));
}

#[tokio::test]
async fn without_a_session_one_is_made_up_that_declares_just_the_ask() {
    let stage = Stage::new().await;
    let ask = |agent: &str, resource: &str| ExplainAskRequest {
        agent: agent.into(),
        grant: Some(grant("read_file", "read", resource)),
        ..ExplainAskRequest::default()
    };
    let told = stage.would(ask("research-bot", "file:///docs/*")).await.expect("told");
    assert_eq!(told.decision, "allowed", "{told:#?}");
    assert!(told.assumed.iter().any(|assumed| assumed.contains("declares just this")), "{told:#?}");
    let told = stage.would(ask("research-bot", "file:///*")).await.expect("told");
    assert_eq!(layer(&told), ("outside_manifest", "manifest"));
    assert!(told.next.contains("this would pass: "), "the narrowing that would pass: {}", told.next);
    assert_eq!(layer(&stage.would(ask("expired-bot", "a")).await.expect("told")), ("agent_expired", "registry"));
    assert_eq!(layer(&stage.would(ask("nobody", "a")).await.expect("told")), ("agent_unknown", "registry"));
    let told = stage.would(ask("host-bot", "file:///docs/*")).await.expect("told");
    assert_eq!(told.decision, "allowed", "as the agent itself: {told:#?}");
    let mut elsewhere = ask("research-bot", "file:///docs/*");
    elsewhere.audience = "https://nowhere.a.test/".into();
    assert_eq!(layer(&stage.would(elsewhere).await.expect("told")), ("tool_server_unknown", "registry"));
    assert_eq!(reason(stage.would(ask("", "a")).await), "request_invalid", "nobody asks");
    let mut other = stage.ask(("read_file", "read", "a"));
    other.agent = "research-bot".into();
    assert_eq!(reason(stage.would(other).await), "request_invalid", "the session is another agent's");
}

#[tokio::test]
async fn a_number_of_nothing_says_how_to_find_one_and_what_is_none_is_refused() {
    let stage = Stage::new().await;
    let none = Uuid::now_v7();
    for id in [
        request_id(),
        RequestId::from_uuid(none).to_string(),
        TokenId::from_uuid(none).to_string(),
        SessionId::from_uuid(none).to_string(),
        RecordId::from_uuid(none).to_string(),
        crumb_token::ApprovalId::from_uuid(none).to_string(),
    ] {
        let told = stage.why(&id).await.expect("an answer");
        assert_eq!((told.decision.as_str(), told.id.as_str(), &told.record), ("unknown", id.as_str(), &None));
        assert!(told.next.contains("crumb audit tail"), "{}", told.next);
    }
    let long = format!("ses_{}", "a".repeat(60_000));
    for id in ["", "ses_", "ses_\u{1b}[31m", "' OR 1=1 --", "tsk_00000000000000000000000000000000", "%", &long] {
        let (_, denial) = refusal(stage.why(id).await);
        assert_eq!(denial.reason.code(), "request_invalid", "{id:.40}");
        assert!(id.len() < 5 || !format!("{denial:?}").contains(id), "it is not repeated");
    }
    for wrong in
        [("", "read", "a"), ("read_file", "READ", "a"), ("read_file", "read", "a/../b"), ("x\u{1b}", "read", "a")]
    {
        assert_eq!(reason(stage.would(stage.ask(wrong)).await), "request_invalid", "{wrong:?}");
    }
}

#[tokio::test]
async fn nobody_asks_why_over_the_network() {
    let stage = Stage::new().await;
    let client = stage.broker.client(AGENT_PATH).await;
    let mut why = ExplainServiceClient::new(client.channel.clone());
    let status = why.explain_id(ExplainIdRequest { id: stage.session.clone() }).await.expect_err("not there");
    assert_eq!(status.code(), tonic::Code::Unimplemented);
}
