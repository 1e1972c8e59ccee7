//! Fills a broker's store with open sessions before the broker starts, so that what it costs to have them can be seen.
//!
//! They are written by the broker's own store, one transaction's worth of checks, row, answer and audit record each, as
//! if every one had been asked for; only the network and the decision are left out. A million this way takes a minute or
//! two, and would take a thousand agents otherwise, since an agent has a thousand sessions at most.

use crate::services::{audience, grants, origin};
use anyhow::{Context, ensure};
use crumb_broker::{
    audit::{Kind, Record},
    session::{Lineage, Session},
    store::{Request, RequestKey, SqliteStore, Store, Written},
};
use crumb_identity::SystemClock;
use crumb_token::{Clock, RecordId, RequestId, SessionId};
use std::{fs, path::Path, sync::Arc, time::Duration};
use tokio::task::JoinSet;
use uuid::Uuid;

/// How many sessions one agent has.
const PER_AGENT: u64 = 1000;

/// How many are written at once: half of what the store lets wait.
const AT_ONCE: usize = 512;

/// Opens `n` sessions in the store that a broker below `root` will use.
pub(crate) async fn fill(root: &Path, n: u64) -> anyhow::Result<()> {
    if n == 0 {
        return Ok(());
    }
    // Where the development stack's broker keeps its data.
    let directory = root.join("broker");
    fs::create_dir(&directory)?;
    let store = Arc::new(SqliteStore::open(&directory)?);
    let mut under_way = JoinSet::new();
    for number in 0..n {
        if under_way.len() >= AT_ONCE {
            under_way.join_next().await.context("some are under way")???;
        }
        let (store, (request, session, record)) = (store.clone(), opening(number)?);
        under_way.spawn(async move {
            let written = store.open(request, session, u32::MAX, record).await?;
            ensure!(written == Written::Committed, "a session was not written: {written:?}");
            Ok::<(), anyhow::Error>(())
        });
    }
    while let Some(ended) = under_way.join_next().await {
        ended??;
    }
    Ok(())
}

fn opening(number: u64) -> anyhow::Result<(Request, Session, Record)> {
    let clock = SystemClock::new();
    let at = clock.now().wall;
    let agent = format!("filler-{}", number / PER_AGENT);
    let peer: crumb_token::SpiffeId = crumb_cli::stack::dev_id(&format!("agent/{agent}"));
    let session = Session {
        id: SessionId::from_uuid(Uuid::now_v7()),
        agent: agent.parse()?,
        version: "1.0.0".parse()?,
        owner: "alice@acme.example".parse()?,
        peer: peer.clone(),
        process: None,
        intent: "be there while others are measured".parse()?,
        origin: origin()?,
        envelope: vec![(audience()?, grants()?)],
        lineage: Lineage::root(origin()?),
        opened_at: at,
        expires_at: at.plus(Duration::from_secs(6 * 3600)),
        closed_at: None,
        tokens: 0,
        review: crumb_broker::drift::Review::default(),
    };
    let key = RequestKey { peer, id: RequestId::from_uuid(Uuid::now_v7()) };
    let mut record = Record::new(RecordId::from_uuid(Uuid::now_v7()), clock.unix_ms(), Kind::SessionOpen, "none");
    record.describe(&session);
    record.allow();
    Ok((Request { key, digest: [0; 32], at }, session, record))
}
