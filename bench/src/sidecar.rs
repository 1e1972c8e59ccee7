//! The sidecar's answer from a task token that it holds: Unix socket, attestation of the caller, narrowing.

use crate::{
    exchange::{audience, grants, origin},
    load::{Shape, drive},
    report::Report,
};
use crumb_cli::stack::{Stack, manifests::AGENT};
use crumb_sdk::sidecar::{BeginTask, CallToken, Open, Presenter, SidecarClient};

pub(crate) async fn run(stack: &Stack, shape: Shape) -> anyhow::Result<Report> {
    let sidecar = SidecarClient::at(&stack.places().sidecar_socket())?;
    let open = Open {
        agent: AGENT.parse()?,
        intent: "measure the sidecar".parse()?,
        origin: origin()?,
        envelope: vec![(audience()?, grants()?)],
        lifetime: None,
    };
    let session = sidecar.open(&open).await?.id;
    let begin = BeginTask {
        session,
        task: None,
        audience: audience()?,
        grants: grants()?,
        ttl: None,
        presenter: Presenter::Agent,
    };
    let task = sidecar.begin_task(&begin).await?.id;
    let wanted = CallToken {
        task,
        tool: "read_file".parse()?,
        operation: "read".parse()?,
        resource: "file:///docs/readme.md".parse()?,
        args_digest: None,
        ttl: None,
    };
    let measured = drive(shape, |_| {
        let (sidecar, wanted) = (sidecar.clone(), wanted.clone());
        async move { sidecar.call_token(&wanted).await.map(drop).map_err(Into::into) }
    })
    .await?;
    Ok(Report::new("sidecar", shape, &measured, &stack.pids()))
}
