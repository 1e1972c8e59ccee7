//! `crumb token`: a call token, for a program that makes its own calls with its own SVID.

use crate::{
    call::What,
    exit::Failure,
    output::{self, Format},
    scope::SidecarArg,
};
use crumb_sdk::sidecar::{CallToken, Presenter};
use serde_json::json;
use std::time::Duration;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  crumb token --session ses_0198… files read_file read file:///docs/readme.md | my-client\n  crumb token --session ses_0198… --seconds 5 --show files read_file read file:///docs/readme.md"
)]
pub(crate) struct TokenArgs {
    #[command(flatten)]
    sidecar: SidecarArg,
    #[command(flatten)]
    what: What,
    /// How long it lives, in seconds, 5 to 30.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(5..=30))]
    seconds: u32,
    /// Write the token even to a terminal.
    #[arg(long)]
    show: bool,
}

pub(crate) async fn run(args: TokenArgs, format: Format) -> Result<(), Failure> {
    let sidecar = args.sidecar.client()?;
    let task = args.what.begin(&sidecar, Presenter::Agent).await?;
    let ask = CallToken {
        task: task.id,
        tool: args.what.tool.clone(),
        operation: args.what.operation.clone(),
        resource: args.what.resource.clone(),
        args_digest: None,
        ttl: Some(Duration::from_secs(args.seconds.into())),
    };
    let token = sidecar.call_token(&ask).await.map_err(|e| e.to_denial())?;
    let shown = args.show || !output::is_terminal();
    match (shown, format) {
        (true, Format::Json) => {
            output::json(&json!({"token": token.token.expose(), "expires_at": token.expires_at.as_unix_s()}));
        }
        (true, Format::Text) => output::data(token.token.expose()),
        (false, _) => {
            output::note(format!(
                "a call token of {} characters, good for {} s",
                token.token.expose().len(),
                args.seconds
            ));
            output::next("pipe it into the program that uses it, or add --show");
        }
    }
    Ok(())
}
