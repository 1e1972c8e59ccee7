//! The exchange: warm mTLS, policy, a durable audit record, a signature.

use crate::{
    load::{Shape, drive},
    report::Report,
};
use anyhow::Context;
use crumb_cli::stack::{FILES, Stack, dev_id, manifests::AGENT};
use crumb_identity::{Endpoint, Workload};
use crumb_sdk::broker::{BrokerClient, Exchange, OpenSession, new_request_id};
use crumb_token::{Audience, Grant, Grants, Origin, SessionId, origin::Assurance};
use std::time::Duration;

/// Rights that the demo's agent has.
pub(crate) fn grants() -> anyhow::Result<Grants> {
    let grant = Grant { tool: "read_file".parse()?, operation: "read".parse()?, resource: "file:///docs/*".parse()? };
    Ok(Grants::try_new([grant])?)
}

pub(crate) fn audience() -> anyhow::Result<Audience> {
    Ok(dev_id(&format!("tool/{FILES}")).as_str().parse()?)
}

pub(crate) fn origin() -> anyhow::Result<Origin> {
    Ok(Origin::User { name: "bob@acme.example".parse()?, assurance: Assurance::Asserted })
}

pub(crate) async fn run(stack: &Stack, shape: Shape) -> anyhow::Result<Report> {
    // This process is the agent itself, so no sidecar is in the way.
    stack.know(i32::try_from(std::process::id())?, &dev_id(&format!("agent/{AGENT}")))?;
    let endpoint: Endpoint = stack.endpoint().parse()?;
    let workload = Workload::connect(&endpoint, Duration::from_secs(10)).await?;
    let broker = BrokerClient::new(&workload, &stack.broker(), dev_id("broker"));
    let session = open(&broker).await.context("no session")?;
    let (audience, grants) = (audience()?, grants()?);
    let measured = drive(shape, |_| {
        let broker = broker.clone();
        let exchange = Exchange {
            request: new_request_id(),
            session,
            task: None,
            audience: audience.clone(),
            grants: grants.clone(),
            ttl: None,
            holder: None,
            process: None,
        };
        async move { broker.exchange(&exchange).await.map(drop).map_err(Into::into) }
    })
    .await?;
    Ok(Report::new("exchange", shape, &measured, &stack.pids()))
}

async fn open(broker: &BrokerClient) -> anyhow::Result<SessionId> {
    let open = OpenSession {
        request: new_request_id(),
        agent: AGENT.parse()?,
        intent: "measure the exchange".parse()?,
        origin: origin()?,
        envelope: vec![(audience()?, grants()?)],
        lifetime: None,
        process: None,
    };
    Ok(broker.open_session(&open).await?.id)
}
