//! What is told of what stands, turn by turn, without a broker around it.

use super::*;
use crumb_token::Timestamp;
use std::fs;

const DAY_MS: u64 = 24 * 3600 * 1000;
const NOW_MS: u64 = 1_800_000_000_000;

fn registry(agents: &[(&str, &str)]) -> Registry {
    let directory = tempfile::tempdir().expect("a directory");
    let mut text = "apiVersion: crumb.dev/v1
kind: ToolServer
metadata: { name: files }
spec:
  audience: spiffe://td/tool/files
  spiffeId: spiffe://td/tool/files
  owner: ada@acme.example
  address: 127.0.0.1:9443
  tools: [{ name: read_file, operation: read, risk: low }]
"
    .to_owned();
    for (name, more) in agents {
        text += &format!(
            "---
apiVersion: crumb.dev/v1
kind: Agent
metadata: {{ name: {name} }}
spec:
  spiffeId: spiffe://td/agent/{name}
  owner: ada@acme.example
  purpose: Tests.
  version: 1.0.0
  environment: test
  {more}
  scopes:
    - toolServer: files
      tools: [{{ tool: read_file, operation: read, resources: [\"a/*\"] }}]
"
        );
    }
    fs::write(directory.path().join("all.yaml"), text).expect("a file of our own");
    Registry::load(directory.path()).expect("good manifests")
}

fn stranger(n: usize) -> Stranger {
    let at = Timestamp::from_unix_s(NOW_MS / 1000);
    let peer = "spiffe://td/w".parse().expect("an id");
    Stranger { peer, agent: format!("shadow-{n}"), first_seen: at, last_seen: at, times: 1 }
}

/// Takes one look, and returns the words of what is told.
fn look(
    standing: &mut Standing,
    registry: &Registry,
    strangers: &[Stranger],
    keys: &[(Purpose, Vec<KeysState>)],
    after_ms: u64,
) -> Vec<&'static str> {
    let now = Moment::from_unix_ms(NOW_MS + after_ms);
    let wall = Timestamp::from_unix_s(now.as_unix_ms() / 1000);
    let tellings = standing.tellings(&Seen { registry, strangers, keys, wall, now });
    standing.note(&tellings, now);
    let events = tellings.iter().filter_map(|telling| match telling {
        Telling::Is(_, event) => Some(event.kind.as_str()),
        Telling::Was(_) | Telling::IsNot(_) => None,
    });
    events.collect()
}

#[test]
fn what_stands_is_told_once_and_again_when_it_comes_back() {
    let (past, well) = (registry(&[("bot", "validUntil: 2020-01-31")]), registry(&[("bot", "model: acme/large")]));
    let mut standing = Standing::default();
    assert_eq!(look(&mut standing, &past, &[], &[], 0), ["agent.expired"]);
    assert!(look(&mut standing, &past, &[], &[], 1000).is_empty());
    assert!(look(&mut standing, &well, &[], &[], 2000).is_empty());
    assert_eq!(look(&mut standing, &past, &[], &[], 3000), ["agent.expired"]);
}

#[test]
fn a_life_that_ended_before_anybody_listened_is_no_news() {
    let retired = registry(&[("old", "lifecycle: retired"), ("bot", "reviewBy: 2020-01-31")]);
    let mut standing = Standing::default();
    assert_eq!(look(&mut standing, &retired, &[], &[], 0), ["agent.review_overdue"]);
    let both = registry(&[("old", "lifecycle: retired"), ("bot", "lifecycle: quarantined")]);
    assert_eq!(look(&mut standing, &both, &[], &[], 1000), ["agent.quarantined"]);
    assert!(look(&mut standing, &both, &[], &[], 2000).is_empty());
}

#[test]
fn strangers_cannot_make_us_tell_without_end() {
    let registry = registry(&[("bot", "model: acme/large")]);
    let strangers: Vec<Stranger> = (0..STRANGERS_MAX + 8).map(stranger).collect();
    let mut standing = Standing::default();
    assert_eq!(look(&mut standing, &registry, &strangers, &[], 0).len(), STRANGERS_MAX);
    assert!(look(&mut standing, &registry, &strangers, &[], 1000).is_empty());
    assert_eq!(look(&mut standing, &registry, &strangers, &[], STRANGERS_WITHIN_MS).len(), 8);
    assert!(look(&mut standing, &registry, &strangers, &[], 29 * DAY_MS).is_empty());
    assert!(look(&mut standing, &registry, &[], &[], 32 * DAY_MS).is_empty());
    assert!(!standing.told.keys().any(|what| what.starts_with("stranger/")), "those of a month ago are forgotten");
}

#[test]
fn a_stranger_whose_agent_was_registered_meanwhile_is_none() {
    let mut strangers = vec![stranger(1)];
    strangers[0].agent = "bot".into();
    let registry = registry(&[("bot", "model: acme/large")]);
    assert!(look(&mut Standing::default(), &registry, &strangers, &[], 0).is_empty());
}

#[test]
fn an_issuer_without_keys_is_told_once_until_they_are_there_again() {
    let registry = registry(&[]);
    let mut standing = Standing::default();
    let mut with = |are_held: Option<bool>| {
        let state = KeysState { issuer: "corp".parse().expect("a name"), are_held, failures: 3 };
        look(&mut standing, &registry, &[], &[(Purpose::Subjects, vec![state])], 0)
    };
    assert!(with(None).is_empty(), "nobody knows yet");
    assert_eq!(with(Some(false)), ["issuer.keys_unavailable"]);
    assert!(with(Some(false)).is_empty());
    assert!(with(None).is_empty(), "as after a start");
    assert!(with(Some(false)).is_empty());
    assert!(with(Some(true)).is_empty());
    assert_eq!(with(Some(false)), ["issuer.keys_unavailable"]);
}
