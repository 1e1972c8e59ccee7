//! The second act: a sub-agent uses what it was delegated, and is refused beyond it by the tool server and by the broker.

use super::{
    act::{Act, defect},
    cast::{Cast, USER, asking, reading},
};
use crate::{actor::Order, exit::Failure};
use crumb_token::Reason;

pub(super) async fn play(cast: &mut Cast, act: &mut Act) -> Result<(), Failure> {
    let inside = hand_on(cast, act).await?;
    let issued = cast.helper.obey(&asking(&inside, "files read_file read file:///docs/readme.md")).await?;
    act.allowed("helper", "asks for what it was given", &issued)?;
    act.id("token", &issued.token);
    let read = cast.helper.obey(&reading(&issued.token, "files", "docs/readme.md")).await?;
    act.allowed("helper", "reads docs/readme.md", &read)?;
    let other = cast.helper.obey(&reading(&issued.token, "files", "docs/roadmap.md")).await?;
    act.denied("helper", "reads docs/roadmap.md with the same token", &other, Reason::ResourceNotGranted)?;
    let wider = cast.helper.obey(&asking(&inside, "files read_file read file:///docs/*")).await?;
    act.denied("helper", "asks for all of docs/, which its own manifest gives", &wider, Reason::OutsideEnvelope)?;
    let taken = cast.planner.obey(&asking(&inside, "files read_file read file:///docs/readme.md")).await?;
    act.denied("planner", "asks for a token in the session that it gave away", &taken, Reason::SessionUnknown)?;
    Ok(())
}

/// The planner delegates one file, and the helper sees on whose behalf. Returns the session inside.
async fn hand_on(cast: &mut Cast, act: &mut Act) -> Result<String, Failure> {
    let delegate = Order::Delegate {
        session: cast.session.clone(),
        to: "helper".into(),
        intent: "read the readme".into(),
        allow: vec!["files read_file read file:///docs/readme.md".into()],
    };
    let delegated = cast.planner.obey(&delegate).await?;
    act.allowed("planner", "delegates to helper: read_file read file:///docs/readme.md", &delegated)?;
    act.id("session", &cast.session);
    act.id("delegated_session", &delegated.session);
    let told = cast.helper.obey(&Order::Describe { session: delegated.session.clone() }).await?;
    let above = format!("{} of planner 1.0.0", cast.session);
    if told.above != [above] || !told.origin.contains(USER) {
        return Err(defect(format!("the delegate is told of {:?}, for {}", told.above, told.origin)));
    }
    act.done("helper", format!("is told on whose behalf: {}", told.origin), format!("inside {}", cast.session));
    Ok(delegated.session)
}
