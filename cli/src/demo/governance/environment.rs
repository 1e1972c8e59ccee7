//! The last act: a tool server in production refuses the token of an agent that is registered for development, and takes
//! one for the same file from an agent that belongs there.

use super::{
    act::Act,
    cast::{Cast, asking, opening, reading},
};
use crate::exit::Failure;
use crumb_token::Reason;

const RIGHT: &str = "archive read_file read file:///docs/readme.md";

pub(super) async fn play(cast: &mut Cast, act: &mut Act) -> Result<(), Failure> {
    let opened = cast.helper.obey(&opening("helper", "look into the archive", &[RIGHT])).await?;
    let issued = cast.helper.obey(&asking(&opened.session, RIGHT)).await?;
    act.allowed("helper", "(development) gets a token for the archive", &issued)?;
    act.id("session", &opened.session);
    act.id("token", &issued.token);
    let call = cast.helper.obey(&reading(&issued.token, "archive", "docs/readme.md")).await?;
    act.denied(
        "helper",
        "reads docs/readme.md in the archive, which is in production",
        &call,
        Reason::EnvironmentMismatch,
    )?;

    let opened = cast.auditor.obey(&opening("auditor", "look into the archive", &[RIGHT])).await?;
    let issued = cast.auditor.obey(&asking(&opened.session, RIGHT)).await?;
    act.allowed("auditor", "(production) gets a token for the same", &issued)?;
    let call = cast.auditor.obey(&reading(&issued.token, "archive", "docs/readme.md")).await?;
    act.allowed("auditor", "reads the same file there", &call)?;
    Ok(())
}
