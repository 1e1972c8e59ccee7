//! The registry of the six acts: three agents, a group of people, a policy; and when a session has drifted too far.

/// After so many refused calls with no allowed one between them a session is halted.
pub(super) const DRIFT_AFTER: u64 = 5;

/// The same, as the broker's configuration says it.
pub(super) const DRIFT: &str = "\n[drift.denials_in_a_row]\nthreshold = 5\naction = \"halt\"\n";

/// The orchestrator, in a file of its own, since it is the one that is retired.
const PLANNER: &str = include_str!("planner.yaml");

/// Everything else.
const OTHERS: &str = include_str!("registry.yaml");

/// The manifests, beside those of the usual stack.
pub(super) fn manifests() -> Vec<(String, String)> {
    [("planner.yaml", PLANNER), ("governance.yaml", OTHERS)].map(|(name, text)| (name.into(), text.into())).to_vec()
}

/// The planner's manifest, with the one word changed that ends it.
pub(super) fn retired_planner() -> String {
    PLANNER.replace("lifecycle: operating", "lifecycle: retired")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::dev_id;

    #[test]
    fn the_manifests_name_the_agents_that_the_stack_starts() {
        for name in ["planner", "helper", "auditor"] {
            let line = format!("spiffeId: {}\n", dev_id(&format!("agent/{name}")));
            assert!(manifests().iter().any(|(_, text)| text.contains(&line)), "{line}");
        }
        assert!(retired_planner().contains("lifecycle: retired"));
        assert!(DRIFT.contains(&format!("threshold = {DRIFT_AFTER}\n")));
    }
}
