//! What a development identity may not do.

use crumb_dev_identity::{DevWorkloadApi, Entry, Selector, Settings};
use crumb_identity::{Alpn, Endpoint, Listener, Peers, SystemClock, Workload};
use std::{io::ErrorKind, net::SocketAddr, sync::Arc, time::Duration};

#[tokio::test]
async fn a_development_identity_listens_on_loopback_only() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let clock = Arc::new(SystemClock::new());
    let api = DevWorkloadApi::start(dir.path().join("run/api.sock"), Settings::new(clock.clone())).await?;
    let pid = i32::try_from(std::process::id())?;
    let spiffe_id = "spiffe://dev.crumb.invalid/broker".parse()?;
    api.entries().add(Entry { spiffe_id, selectors: vec![Selector::Pid(pid)], hint: None })?;
    let endpoint: Endpoint = api.endpoint().parse()?;
    let workload = Workload::connect(&endpoint, Duration::from_secs(10)).await?;
    let bind = |addr: &'static str| {
        let addr: SocketAddr = addr.parse().expect("an address");
        Listener::bind(addr, workload.clone(), Peers::TrustDomain, clock.clone(), Alpn::H2)
    };
    assert!(bind("127.0.0.1:0").await.is_ok());
    assert!(bind("[::1]:0").await.is_ok() || !std::path::Path::new("/proc/net/if_inet6").exists());
    for open in ["0.0.0.0:0", "[::]:0"] {
        let refused = bind(open).await.expect_err("a development identity was shown to the network");
        assert_eq!(refused.kind(), ErrorKind::PermissionDenied, "{open}: {refused}");
    }
    api.shutdown().await;
    Ok(())
}
