//! `crumb review --due`: whose review is overdue, and whose is coming.

use crate::{
    admin::AdminSocket,
    exit::Failure,
    get::{last_day, table},
    output::{self, Format, dim, verdict},
};
use crumb_identity::SystemClock;
use crumb_proto::wire;
use crumb_token::Clock as _;
use serde_json::json;

/// How far ahead a review is listed as coming, in seconds: thirty days, in which somebody finds an hour.
const AHEAD_S: u64 = 30 * 86_400;

pub(super) async fn list(admin: &AdminSocket, format: Format) -> Result<(), Failure> {
    let mut client = admin.registry().await?;
    let answer = client.list_agents(wire::ListAgentsRequest {}).await.map_err(|status| admin.failed(&status))?;
    let now = SystemClock::new().now().wall.as_unix_s();
    let due = due(answer.into_inner().agents, now);
    let overdue = due.iter().filter(|agent| is_overdue(agent, now)).count();
    match format {
        Format::Json => due.iter().for_each(|agent| {
            output::json(&json!({
                "agent": agent.name, "owner": agent.owner, "environment": agent.environment,
                "review_by": last_day(agent.review_by), "overdue": is_overdue(agent, now),
                "refused": (!agent.refused.is_empty()).then_some(&agent.refused),
            }));
        }),
        Format::Text => {
            let rows: Vec<_> = due.iter().map(|agent| row(agent, now)).collect();
            table(&["NAME", "OWNER", "ENVIRONMENT", "REVIEW BY", "STATE"], &rows);
        }
    }
    match due.first() {
        Some(agent) => output::next(format!("crumb review {}", agent.name)),
        None => output::note(dim("no review is overdue, and none is due within 30 days")),
    }
    if overdue > 0 {
        output::note(dim(&format!("{overdue} overdue: these agents get no tokens until somebody has reviewed them")));
    }
    Ok(())
}

/// Returns those that are overdue or due soon, the longest overdue first.
fn due(agents: Vec<wire::Agent>, now: u64) -> Vec<wire::Agent> {
    let is_over = |agent: &wire::Agent| agent.lifecycle == "retired";
    let is_due = |agent: &wire::Agent| agent.review_by != 0 && agent.review_by <= now.saturating_add(AHEAD_S);
    let mut due: Vec<_> = agents.into_iter().filter(|agent| is_due(agent) && !is_over(agent)).collect();
    due.sort_by(|a, b| (a.review_by, &a.name).cmp(&(b.review_by, &b.name)));
    due
}

fn is_overdue(agent: &wire::Agent, now: u64) -> bool {
    agent.review_by <= now
}

fn row(agent: &wire::Agent, now: u64) -> Vec<String> {
    let state = if is_overdue(agent, now) { verdict(false, "overdue") } else { "due".to_owned() };
    let day = last_day(agent.review_by).unwrap_or_else(|| "-".to_owned());
    vec![agent.name.clone(), agent.owner.clone(), agent.environment.clone(), day, state]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_overdue_come_first_and_what_is_far_off_or_retired_not_at_all() {
        let agent = |name: &str, review_by: u64, lifecycle: &str| wire::Agent {
            name: name.into(),
            review_by,
            lifecycle: lifecycle.into(),
            ..Default::default()
        };
        let now = 1_000_000_000;
        let agents = vec![
            agent("soon", now + 60, "operating"),
            agent("late", now - 60, "operating"),
            agent("later", now - 10, "operating"),
            agent("far", now + AHEAD_S + 1, "operating"),
            agent("never", 0, "operating"),
            agent("gone", now - 60, "retired"),
        ];
        let names: Vec<_> = due(agents, now).into_iter().map(|agent| agent.name).collect();
        assert_eq!(names, ["late", "later", "soon"]);
    }
}
