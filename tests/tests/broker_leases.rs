//! Deployment leases and agents that nobody registered, through a real broker.

use crumb_proto::wire::{ListUnknownRequest, RenewLeaseRequest, registry_service_client::RegistryServiceClient};
use crumb_tests::broker::{
    AGENT, AGENT_PATH, Client, MANIFESTS, PATIENCE, Setup, TestBroker, exchange, opening, reason,
};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// A broker whose agent has a lease of ten seconds.
async fn broker() -> TestBroker {
    let leased = MANIFESTS.replacen("  version: 1.4.0\n", "  version: 1.4.0\n  deployment: { lease: 10s }\n", 1);
    TestBroker::start_with(Setup { manifests: vec![("all.yaml".into(), leased)], ..Setup::default() }).await
}

async fn renew(client: &Client, agent: &str) -> Result<u64, tonic::Status> {
    let request = RenewLeaseRequest { agent: agent.into() };
    RegistryServiceClient::new(client.channel.clone()).renew_lease(request).await.map(|r| r.into_inner().until)
}

#[tokio::test]
async fn an_agent_whose_deployment_stops_renewing_is_ended() {
    let broker = broker().await;
    let client = broker.client(AGENT_PATH).await;
    assert_eq!(reason(client.open(opening()).await), "lease_ended", "it was never deployed");
    renew(&client, AGENT).await.expect("renewed");
    let session = client.session().await;
    client.exchange(exchange(&session)).await.expect("a token");
    let until = Instant::now() + PATIENCE;
    let revoked = loop {
        let trail = broker.trail().await;
        if let Some(record) = trail.into_iter().find(|record| record.kind == "revoke") {
            break record;
        }
        assert!(Instant::now() < until, "nothing was revoked");
        sleep(Duration::from_millis(50)).await;
    };
    assert!(revoked.detail.contains("stopped renewing its lease"), "{}", revoked.detail);
    assert_eq!(reason(client.open(opening()).await), "lease_ended");
    renew(&client, AGENT).await.expect("deployed again");
    assert_eq!(reason(client.exchange(exchange(&session)).await), "session_closed", "what has ended stays ended");
    client.session().await;
}

#[tokio::test]
async fn a_lease_outlives_a_restart_of_the_broker() {
    let broker = broker().await;
    let client = broker.client(AGENT_PATH).await;
    renew(&client, AGENT).await.expect("renewed");
    let broker = broker.restart().await;
    let client = broker.client_of(client);
    renew(&client, AGENT).await.expect("renewed");
    client.session().await;
}

#[tokio::test]
async fn only_who_speaks_for_an_agent_renews_its_lease_and_only_when_it_has_one() {
    let broker = broker().await;
    let client = broker.client(AGENT_PATH).await;
    let stranger = broker.client("/agent/brief-bot").await;
    assert_eq!(reason(renew(&stranger, AGENT).await), "agent_not_spoken_for");
    assert_eq!(reason(renew(&stranger, "brief-bot").await), "request_invalid", "its manifest names none");
    assert_eq!(reason(renew(&client, "nobody").await), "agent_unknown");
    assert_eq!(reason(renew(&client, "*").await), "request_invalid");
}

#[tokio::test]
async fn who_asks_for_an_agent_that_nobody_registered_is_listed_for_operators() {
    let broker = TestBroker::start().await;
    let client = broker.client("/agent/shadow").await;
    for _ in 0..2 {
        let mut request = opening();
        request.agent = "shadow".into();
        assert_eq!(reason(client.open(request).await), "agent_unknown");
    }
    let unknown = RegistryServiceClient::new(broker.admin()).list_unknown(ListUnknownRequest {}).await;
    let unknown = unknown.expect("a list").into_inner().unknown;
    let [seen] = &unknown[..] else { panic!("one, and not {unknown:?}") };
    assert_eq!((seen.peer.as_str(), seen.agent.as_str(), seen.times), ("spiffe://a.test/agent/shadow", "shadow", 2));
    let workload = RegistryServiceClient::new(client.channel.clone()).list_unknown(ListUnknownRequest {}).await;
    assert_eq!(reason(workload), "not_an_operator");
}
