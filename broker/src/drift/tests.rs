//! Each rule at its threshold and one below, and what counts at all.

use super::*;
use crumb_token::{Reason, SessionId, Timestamp};
use uuid::Uuid;

fn rules() -> Rules {
    Rules::default()
}

fn usual() -> Baseline {
    Baseline { sessions: 50, calls: 5_000, minutes: 100, sessions_with_tool: 1 }
}

fn event(what: What, at_s: u64) -> Event {
    Event {
        session: SessionId::from_uuid(Uuid::from_u128(1)),
        kin: Kin::of(&"bot".parse().expect("a name"), None),
        audience: "spiffe://td/tool".parse().expect("an audience"),
        at: Timestamp::from_unix_s(at_s),
        what,
    }
}

fn used(tool: &str) -> What {
    What::Called(Some(tool.parse().expect("a tool")))
}

fn numbers(finding: Option<Finding>) -> Option<(RuleName, u64, u64, Action)> {
    finding.map(|f| (f.rule, f.measured, f.threshold, f.action))
}

#[test]
fn twenty_denials_in_a_row_halt_and_nineteen_do_not() {
    let mut behaviour = Behaviour::default();
    for n in 1..=20 {
        let what = if n % 2 == 0 { What::CallRefused } else { What::ExchangeRefused };
        behaviour.take(&event(what, n), false);
        let expected = (n == 20).then_some((RuleName::DenialsInARow, 20, 20, Action::Halt));
        assert_eq!(numbers(judge(&rules(), &behaviour, &Baseline::default())), expected, "{n}");
    }
    behaviour.take(&event(What::Called(None), 21), false);
    assert_eq!(
        (behaviour.denials_in_a_row, judge(&rules(), &behaviour, &usual())),
        (0, None),
        "an allowed call resets"
    );
}

#[test]
fn a_new_tool_contracts_after_fifty_sessions_and_not_after_forty_nine() {
    let mut behaviour = Behaviour::default();
    behaviour.take(&event(used("delete_file"), 1), true);
    let never = |sessions| Baseline { sessions, sessions_with_tool: 0, ..usual() };
    assert_eq!(judge(&rules(), &behaviour, &never(49)), None);
    let found = numbers(judge(&rules(), &behaviour, &never(50)));
    assert_eq!(found, Some((RuleName::NewTool, 50, 50, Action::Contract)));
    assert_eq!(judge(&rules(), &behaviour, &usual()), None, "one other session used it");
    behaviour.take(&event(used("delete_file"), 2), false);
    assert_eq!(judge(&rules(), &behaviour, &never(50)), None, "judged once, when it is first used");
}

#[test]
fn calls_per_minute_are_held_against_the_floor_and_against_the_baseline() {
    let with = |calls_in_minute| Behaviour { calls_in_minute, ..Behaviour::default() };
    // 50 calls a minute are usual, so 500 is the limit.
    assert_eq!(judge(&rules(), &with(500), &usual()), None);
    let found = numbers(judge(&rules(), &with(501), &usual()));
    assert_eq!(found, Some((RuleName::CallsPerMinute, 501, 500, Action::Contract)));
    // 1 call a minute is usual, and 300 are never too many.
    let quiet = Baseline { calls: 100, ..usual() };
    assert_eq!(judge(&rules(), &with(300), &quiet), None);
    assert_eq!(numbers(judge(&rules(), &with(301), &quiet)).map(|found| found.2), Some(300));
    let few = Baseline { sessions: 49, ..quiet };
    assert_eq!(judge(&rules(), &with(100_000), &few), None, "49 sessions are no baseline");
    assert_eq!(judge(&rules(), &with(100_000), &Baseline::default()), None);
}

#[test]
fn the_gravest_of_several_findings_counts() {
    let behaviour = Behaviour { denials_in_a_row: 20, calls_in_minute: 501, ..Behaviour::default() };
    assert_eq!(judge(&rules(), &behaviour, &usual()).map(|found| found.rule), Some(RuleName::DenialsInARow));
    let mut mild = rules();
    mild.denials_in_a_row.action = Action::Note;
    assert_eq!(judge(&mild, &behaviour, &usual()).map(|found| found.rule), Some(RuleName::CallsPerMinute));
}

#[test]
fn calls_count_by_the_minute_and_late_ones_only_for_the_whole() {
    let mut behaviour = Behaviour::default();
    for at in [6000, 6059, 6060, 6001] {
        behaviour.take(&event(What::CallRefused, at), false);
    }
    assert_eq!((behaviour.calls, behaviour.minutes, behaviour.calls_in_minute), (4, 2, 1));
    behaviour.take(&event(What::ExchangeRefused, 6061), false);
    assert_eq!(behaviour.calls, 4, "an exchange is no call");
}

fn held(session: u128, action: Action) -> Held {
    let finding =
        Finding { rule: RuleName::DenialsInARow, measured: 20, threshold: 20, action, basis: "refused".to_owned() };
    let session = SessionId::from_uuid(Uuid::from_u128(session));
    Held { session, since: Timestamp::from_unix_s(5), finding }
}

#[test]
fn a_session_is_held_with_the_one_above_and_says_which() {
    let mut review = Review { changes: 1, tokens_ended: Some(Timestamp::from_unix_s(3)), ..Review::default() };
    assert!(review.check_halt().is_ok());
    let halt = Some(held(7, Action::Halt));
    review.merge(Review { halt, contraction: None, tokens_ended: Some(Timestamp::from_unix_s(5)), changes: 2 });
    let denial = review.check_halt().expect_err("halted");
    assert_eq!(denial.reason, Reason::SessionHalted);
    for part in ["denials_in_a_row", "measured 20", "threshold 20"] {
        assert!(denial.rule.contains(part), "{}", denial.rule);
    }
    assert!(denial.next.contains("crumb session resume ses_00000000000000000000000000000007"), "{}", denial.next);
    assert_eq!(review.changes, 3);
    assert!(review.check_moment(Timestamp::from_unix_s(5)).is_err(), "in that very second");
    assert!(review.check_moment(Timestamp::from_unix_s(6)).is_ok());
}

#[test]
fn words_come_back() {
    for action in [Action::Note, Action::Contract, Action::Halt] {
        assert_eq!(Action::from_word(action.as_str()), Some(action));
    }
    for rule in RuleName::ALL {
        assert_eq!(RuleName::from_word(rule.as_str()), Some(rule));
    }
    assert_eq!((Action::from_word("off"), RuleName::from_word("")), (None, None));
}
