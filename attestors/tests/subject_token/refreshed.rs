//! Keys that come from an address: when they are fetched, by how many at once, and how long they count.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crumb_attestors::{
    jwks::InvalidJwks,
    subject_token::{
        FetchFailed, HeldKeys, InvalidSubjectToken as Rule, Issuers, RefreshFailed, SubjectRefused, SubjectTokenText,
        Why, verify,
    },
};
use crumb_token::{Clock, Now, Timestamp};

use crate::fixture::{CORP, NOW_S, claims, good_keys, jwk, key_set, list, signed};

fn issuers() -> Issuers {
    let lines = format!("{CORP}jwks_url = \"https://login.acme.example/keys\"\njwks_age_max_s = 3600");
    list(vec![toml::from_str(&lines).expect("good")])
}

fn held(issuers: &Issuers) -> &HeldKeys {
    issuers.held().next().expect("one issuer").1
}

fn ticks(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Checks a good token when the ticks stand there.
fn check(issuers: &Issuers, seconds: u64) -> Result<(), SubjectRefused> {
    let token = SubjectTokenText::from_presented(&signed(&claims())).expect("short");
    verify(&token, issuers, Now { wall: Timestamp::from_unix_s(NOW_S), ticks: ticks(seconds) }).map(|_| ())
}

fn fetch_at(
    issuers: &Issuers,
    why: Why,
    seconds: u64,
    answer: Result<&str, FetchFailed>,
) -> Result<bool, RefreshFailed> {
    let Some(fetch) = held(issuers).begin(why, ticks(seconds)) else { return Ok(false) };
    fetch.end(answer, ticks(seconds + 1)).map(|()| true)
}

#[test]
fn refuses_every_token_until_keys_were_fetched_and_says_that_it_would_help() {
    let issuers = issuers();
    let refused = check(&issuers, 0).expect_err("no keys");
    assert_eq!((refused.why, refused.may_be_new_key()), (Rule::KeysMissing, true));
    assert_eq!(fetch_at(&issuers, Why::Due, 0, Ok(&good_keys())), Ok(true));
    assert_eq!(check(&issuers, 1), Ok(()));
}

#[test]
fn keys_count_until_their_age_and_not_longer_while_fetching_fails() {
    let issuers = issuers();
    assert_eq!(fetch_at(&issuers, Why::Due, 0, Ok(&good_keys())), Ok(true));
    for (second, answer, why) in [
        (300, Err(FetchFailed), RefreshFailed::Fetch(FetchFailed)),
        (900, Ok("<html>"), RefreshFailed::Keys(InvalidJwks::Malformed)),
        (1800, Ok(r#"{"keys":[]}"#), RefreshFailed::Keys(InvalidJwks::NoUsableKey)),
    ] {
        assert_eq!(fetch_at(&issuers, Why::Due, second, answer), Err(why));
        assert_eq!(check(&issuers, second + 1), Ok(()));
    }
    assert_eq!(check(&issuers, 3599), Ok(()));
    assert_eq!(check(&issuers, 3600).map_err(|refused| refused.why), Err(Rule::KeysTooOld));
    assert_eq!(fetch_at(&issuers, Why::Due, 3600, Ok(&good_keys())), Ok(true));
    assert_eq!(check(&issuers, 3601), Ok(()));
}

#[test]
fn a_key_that_was_taken_out_proves_nothing_after_the_next_fetch() {
    let issuers = issuers();
    assert_eq!(fetch_at(&issuers, Why::Due, 0, Ok(&good_keys())), Ok(true));
    assert_eq!(fetch_at(&issuers, Why::Due, 300, Ok(&key_set(&[jwk("rsa")]))), Ok(true));
    assert_eq!(check(&issuers, 301).map_err(|refused| refused.why), Err(Rule::UnknownKey));
}

#[test]
fn one_fetch_at_a_time_and_not_before_it_is_due() {
    let issuers = issuers();
    let held = held(&issuers);
    let first = held.begin(Why::Due, ticks(100)).expect("nothing is held");
    for second in [100, 104, 109] {
        assert!(held.begin(Why::Due, ticks(second)).is_none());
        assert!(held.begin(Why::Refused, ticks(second)).is_none());
    }
    assert_eq!(first.end(Ok(&good_keys()), ticks(102)), Ok(()));
    assert!(held.begin(Why::Due, ticks(399)).is_none(), "not due");
    assert!(held.begin(Why::Refused, ticks(109)).is_none(), "too soon after the last");
    drop(held.begin(Why::Refused, ticks(110)).expect("a refusal may fetch ten seconds after the last"));
}

#[test]
fn fetches_are_twice_as_far_apart_after_each_failure() {
    let issuers = issuers();
    let held = held(&issuers);
    let mut second = 0;
    for pause in [20, 40, 80, 160, 300, 300, 300] {
        drop(held.begin(Why::Refused, ticks(second)).expect("it may begin"));
        assert!(held.begin(Why::Refused, ticks(second + pause - 1)).is_none(), "{pause}");
        second += pause;
    }
    assert_eq!(fetch_at(&issuers, Why::Refused, second, Ok(&good_keys())), Ok(true));
    assert!(held.begin(Why::Refused, ticks(second + 9)).is_none());
    assert!(held.begin(Why::Refused, ticks(second + 10)).is_some());
}

#[test]
fn an_answer_that_comes_late_changes_nothing() {
    let issuers = issuers();
    let held = held(&issuers);
    let slow = held.begin(Why::Due, ticks(0)).expect("nothing is held");
    assert_eq!(slow.timeout(), ticks(5));
    let next = held.begin(Why::Due, ticks(10)).expect("the first has had its time");
    assert_eq!(next.end(Ok(&key_set(&[jwk("rsa")])), ticks(11)), Ok(()));
    assert_eq!(slow.end(Ok(&good_keys()), ticks(12)), Err(RefreshFailed::TooLate));
    assert_eq!(check(&issuers, 13).map_err(|refused| refused.why), Err(Rule::UnknownKey));
}

#[test]
fn says_when_the_next_fetch_is_due_and_whether_waiting_for_one_is_worth_it() {
    let issuers = issuers();
    let held = held(&issuers);
    assert_eq!((held.until_due(ticks(7)), held.may_change(ticks(7))), (Some(ticks(0)), true), "nothing is held");
    let first = held.begin(Why::Due, ticks(7)).expect("nothing is held");
    assert!(held.may_change(ticks(11)), "it is under way");
    assert!(!held.may_change(ticks(12)), "it has had its time");
    assert_eq!(first.end(Ok(&good_keys()), ticks(8)), Ok(()));
    assert!(!held.may_change(ticks(9)), "too soon after the last");
    assert!(held.may_change(ticks(17)), "one may begin");
    assert_eq!((held.until_due(ticks(17)), held.failures(), held.are_held(ticks(17))), (Some(ticks(290)), 0, true));
    drop(held.begin(Why::Due, ticks(310)).expect("due"));
    assert_eq!((held.until_due(ticks(311)), held.failures()), (Some(ticks(19)), 1), "not before its pause");
    assert!(held.are_held(ticks(3606)) && !held.are_held(ticks(3607)));
}

#[test]
fn keys_of_a_file_are_never_fetched() {
    let issuers = crate::fixture::corp();
    assert_eq!((held(&issuers).until_due(ticks(9)), held(&issuers).may_change(ticks(9))), (None, false));
    assert!(held(&issuers).begin(Why::Refused, ticks(1_000_000)).is_none());
    assert_eq!(check(&issuers, u64::MAX), Ok(()));
}

/// A clock that goes on by a second whenever it is read.
struct Counting(AtomicU64);

impl Clock for Counting {
    fn now(&self) -> Now {
        let seconds = self.0.fetch_add(1, Ordering::Relaxed);
        Now { wall: Timestamp::from_unix_s(seconds), ticks: ticks(seconds) }
    }
}

#[tokio::test]
async fn fetches_by_the_caller_s_function_from_the_address_of_the_entry() {
    let issuers = issuers();
    let clock = Counting(AtomicU64::new(0));
    let fetched = held(&issuers)
        .refresh(Why::Due, &clock, |url, limit| async move {
            assert_eq!((url.as_str(), limit), ("https://login.acme.example/keys", ticks(5)));
            Ok(good_keys())
        })
        .await;
    assert_eq!(fetched, Ok(true));
    assert_eq!(check(&issuers, 2), Ok(()));
    let again = held(&issuers).refresh(Why::Due, &clock, |_, _| async { unreachable!("not due") }).await;
    assert_eq!(again, Ok(false));
}

#[tokio::test]
async fn a_fetch_whose_caller_goes_away_has_failed_and_blocks_nobody() {
    let issuers = issuers();
    let clock = Counting(AtomicU64::new(0));
    let never = held(&issuers).refresh(Why::Due, &clock, |_, _| std::future::pending());
    assert!(polled_once(never).await.is_none());
    assert!(held(&issuers).begin(Why::Due, ticks(19)).is_none());
    assert!(held(&issuers).begin(Why::Due, ticks(20)).is_some());
}

/// Polls a future once and drops it.
async fn polled_once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|context| match future.as_mut().poll(context) {
        std::task::Poll::Ready(value) => std::task::Poll::Ready(Some(value)),
        std::task::Poll::Pending => std::task::Poll::Ready(None),
    })
    .await
}
