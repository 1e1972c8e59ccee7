//! Tokens that are handed to us: whose they have to be, and how long they may live.

use super::*;
use crate::fixtures::{mint_for, own_id};
use crumb_sdk::broker::{Exchange, Handing};
use crumb_token::{TokenText, attenuate::Parent};

const LEAD: &str = "spiffe://td/agent/lead";

/// A token of the lead, issued at `issued_at` for `life_s` seconds, as it is handed to `to`.
fn handed(to: &SpiffeId, issued_at: u64, life_s: u64) -> TokenText {
    let lead = Delegator::new();
    let named = [own_id(), "spiffe://td/agent/other".parse().expect("an id")];
    let to_whom = named.map(|id| ("bot".parse().expect("a name"), id)).to_vec();
    let exchange = Exchange {
        request: new_request_id(),
        session: session_id(1),
        task: None,
        audience: AUDIENCE.parse().expect("an audience"),
        grants: grants("docs/*"),
        ttl: None,
        holder: Some(LEAD.parse().expect("an id")),
        process: None,
        handing: Some(Handing { key: lead.key(), to: to_whom }),
    };
    let token = mint_for(&exchange, at(issued_at), life_s).token.decode().expect("base64");
    let parent = Parent::read(&token).expect("a token");
    TokenText::from_bytes(&parent.hand_over(to, None, &[], lead.pair()).expect("named"))
}

fn refusal(bench: &Bench, token: &TokenText) -> Reason {
    bench.sidecar.accept(&attested("/bin/one"), token).expect_err("refused").reason
}

#[tokio::test]
async fn accepts_what_is_handed_to_this_workload_once() {
    let bench = bench();
    let token = handed(&own_id(), 1000, 900);
    let begun = bench.sidecar.accept(&attested("/bin/one"), &token).expect("it is ours");
    let again = bench.sidecar.accept(&attested("/bin/one"), &token).expect("the same");
    assert_eq!((again.task, bench.sidecar.health().await.handed_tokens), (begun.task, 1));
    let other = "spiffe://td/agent/other".parse().expect("an id");
    assert_eq!(refusal(&bench, &handed(&other, 1000, 900)), Reason::HolderMismatch);
}

#[tokio::test]
async fn refuses_what_no_broker_would_have_issued() {
    let bench = bench();
    assert_eq!(refusal(&bench, &handed(&own_id(), 1000, 999_999)), Reason::TokenNotYetValid);
    assert_eq!(refusal(&bench, &handed(&own_id(), 9000, 900)), Reason::TokenNotYetValid);
    assert_eq!(refusal(&bench, &handed(&own_id(), 10, 900)), Reason::TokenExpired);
}
