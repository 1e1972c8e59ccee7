//! The first act: an ask outside the envelope is refused with its narrowing, and the narrowing passes.

use super::{
    act::{Act, defect},
    cast::{Cast, USER, asking, opening},
};
use crate::exit::Failure;
use crumb_token::Reason;

/// What the planner's session says that it will do, and at most.
const INTENT: &str = "tidy up the documents";
const ENVELOPE: [&str; 2] = ["files read_file read file:///docs/*", "files delete_file delete file:///docs/*"];

pub(super) async fn play(cast: &mut Cast, act: &mut Act) -> Result<(), Failure> {
    let opened = cast.planner.obey(&opening("planner", INTENT, &ENVELOPE)).await?;
    act.allowed("planner", format!("opens a session for {USER}, to {INTENT}"), &opened)?;
    cast.session = opened.session;
    act.id("session", &cast.session);

    let asked = cast.planner.obey(&asking(&cast.session, "files read_file read file:///*")).await?;
    let refused =
        act.denied("planner", "asks for all files: read_file read file:///*", &asked, Reason::OutsideEnvelope)?;
    let Some(narrowing) = refused.narrowing() else { return Err(defect("the refusal does not say what would pass")) };

    let asked = cast.planner.obey(&asking(&cast.session, &format!("files {narrowing}"))).await?;
    act.allowed("planner", "asks for exactly what would pass", &asked)?;
    act.id("token", &asked.token);
    if asked.grants != [narrowing] {
        return Err(defect(format!("asked for {narrowing}, got {}", asked.grants.join("; "))));
    }
    Ok(())
}
