//! Bringing events to who wants them, one after another, until each has them or never will.
//!
//! # Invariants
//!
//! - An event is taken out only when the answer says that it has arrived, when the receiver refuses it [`REFUSALS_MAX`] times,
//!   or when it has waited for [`WAIT_MAX_MS`]. The last two are counted.
//! - One receiver that is slow or away holds up no other.
//! - Between two attempts that failed is twice the time of the last, up to [`PAUSE_MAX`], and not the same for everybody.

use super::{Data, DroppedFacts, Event, Kind, Moment, Webhooks, ends_within, webhook::Line};
use crate::{
    broker::Broker,
    outbound::{Limits, causes},
    store::{Letter, Recipient, Settled, StoreError, Waiting},
};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::Full;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The name that the log's events wait under. No webhook can be called so.
const LOG: &str = "the log";

/// How many events may wait for the log, which never takes long.
const LOG_WAITING_MAX: u32 = 10_000;

/// How often it is looked whether anything waits.
const LOOK: Duration = Duration::from_millis(500);

/// How much a receiver's answer may take. What it says is not read, so it need not be long.
const ANSWER: Limits = Limits { timeout: Duration::from_secs(10), body_len_max: 16 * 1024 };

/// The pause after the first failure.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(5 * 60);

/// How often a receiver may refuse an event before it is given up.
const REFUSALS_MAX: u32 = 5;

/// How long an event waits for a receiver that is away, in milliseconds: three days.
const WAIT_MAX_MS: u64 = 3 * 24 * 3600 * 1000;

const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// Somebody who is told.
#[derive(Debug)]
pub(super) enum Outlet {
    /// The log.
    Log,
    /// A webhook.
    Webhook(Box<Line>),
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    /// It has arrived.
    Arrived,
    /// The receiver does not want this one.
    Refused(StatusCode),
    /// There is no receiver, or it cannot take anything now.
    Away(String),
}

/// What a loop remembers: a start begins without.
#[derive(Debug, Default)]
struct Pace {
    /// Attempts that failed, one after another.
    failures: u32,
    /// The event that was refused last, and how often.
    refused: (u64, u32),
    /// How many dropped events were logged.
    logged: u64,
}

impl Outlet {
    /// Makes one for the log and for each webhook.
    pub(super) fn all(webhooks: Webhooks) -> Vec<Self> {
        let webhooks = webhooks.0.into_iter().map(|line| Self::Webhook(Box::new(line)));
        std::iter::once(Self::Log).chain(webhooks).collect()
    }

    fn name(&self) -> &str {
        match self {
            Self::Log => LOG,
            Self::Webhook(line) => line.webhook.name.as_str(),
        }
    }

    pub(super) fn recipient(&self) -> Recipient {
        let (kinds, waiting_max) = match self {
            Self::Log => (Kind::ALL.to_vec(), LOG_WAITING_MAX),
            Self::Webhook(line) => (line.webhook.kinds.iter().copied().collect(), line.webhook.waiting_max),
        };
        Recipient { name: self.name().to_owned(), kinds, waiting_max }
    }

    /// Delivers what waits until `stop`; what is under way then is brought to its end.
    pub(super) async fn deliver(&self, broker: &Broker, stop: &CancellationToken) {
        let mut pace = Pace::default();
        while !stop.is_cancelled() {
            let pause = match self.turn(broker, &mut pace).await {
                Ok(true) => continue,
                Ok(false) if pace.failures == 0 => LOOK,
                Ok(false) => pace.pause(),
                Err(error) => {
                    tracing::error!(%error, outlet = self.name(), "what waits to be told is not known");
                    PAUSE_MIN
                }
            };
            if ends_within(pause, stop).await {
                return;
            }
        }
    }

    /// Delivers one event. Says whether the next can follow at once.
    async fn turn(&self, broker: &Broker, pace: &mut Pace) -> Result<bool, StoreError> {
        let waiting = broker.store.waiting(self.name().to_owned()).await?;
        let now = Moment::from_unix_ms(broker.clock.unix_ms());
        if let Some((event, count)) = dropped(&waiting, now) {
            if pace.logged < count {
                pace.logged = count;
                tracing::warn!(outlet = self.name(), dropped_in_all = count, "events were dropped");
            }
            let outcome = self.send(&event, now).await;
            return match pace.note(self.name(), &event, outcome) {
                Fate::Settled(_) => {
                    self.settle(broker, Settled::ToldOfDropped(count)).await?;
                    Ok(true)
                }
                Fate::Waits => Ok(false),
            };
        }
        let Some(letter) = waiting.letter else { return Ok(false) };
        let is_old = now.as_unix_ms().saturating_sub(letter.at.as_unix_ms()) > WAIT_MAX_MS;
        let outcome = self.send(&letter, now).await;
        match pace.note(self.name(), &letter, outcome) {
            Fate::Settled(settled) => self.settle(broker, settled).await.map(|()| true),
            Fate::Waits if is_old => self.settle(broker, Settled::GivenUp(letter.number)).await.map(|()| false),
            Fate::Waits => Ok(false),
        }
    }

    async fn settle(&self, broker: &Broker, settled: Settled) -> Result<(), StoreError> {
        broker.store.settle(self.name().to_owned(), settled).await
    }

    async fn send(&self, letter: &Letter, now: Moment) -> Outcome {
        match self {
            Self::Log => {
                tracing::info!(target: "crumb_broker::events", event = letter.kind, id = letter.id, body = letter.body, "event");
                Outcome::Arrived
            }
            Self::Webhook(line) => line.post(letter, now).await,
        }
    }
}

/// Returns the event that tells of dropped ones, and up to which it counts. Its number follows from the count, so that it is
/// the same when it is sent again.
fn dropped(waiting: &Waiting, now: Moment) -> Option<(Letter, u64)> {
    let Waiting { dropped, dropped_told, .. } = *waiting;
    if dropped <= dropped_told {
        return None;
    }
    let facts = DroppedFacts { dropped: dropped - dropped_told, dropped_in_all: dropped };
    let id = format!("evt_dropped_{dropped_told}_{dropped}");
    let event = Event { id, kind: Kind::EventsDropped, timestamp: now, data: Data::Dropped(facts) };
    let body = serde_json::to_string(&event).ok()?;
    let letter = Letter { number: 0, id: event.id, kind: event.kind.as_str().to_owned(), at: now, body };
    Some((letter, dropped))
}

/// What follows for an event.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fate {
    Settled(Settled),
    Waits,
}

impl Pace {
    /// Takes the outcome of an attempt.
    fn note(&mut self, outlet: &str, letter: &Letter, outcome: Outcome) -> Fate {
        let (id, kind, number) = (letter.id.as_str(), letter.kind.as_str(), letter.number);
        match outcome {
            Outcome::Arrived => {
                if self.failures > 0 {
                    tracing::info!(outlet, failures = self.failures, "events are taken again");
                }
                self.failures = 0;
                return Fate::Settled(Settled::Has(number));
            }
            Outcome::Refused(status) => {
                self.refused = if self.refused.0 == number { (number, self.refused.1 + 1) } else { (number, 1) };
                tracing::warn!(outlet, id, kind, status = status.as_u16(), "a webhook refuses an event");
                if self.refused.1 >= REFUSALS_MAX {
                    (self.failures, self.refused) = (0, (0, 0));
                    return Fate::Settled(Settled::GivenUp(number));
                }
            }
            Outcome::Away(why) => tracing::warn!(outlet, id, kind, why, "a webhook does not take events now"),
        }
        self.failures = self.failures.saturating_add(1);
        Fate::Waits
    }

    /// Returns how long to wait after the last failure: from half of it to all.
    fn pause(&self) -> Duration {
        let most = PAUSE_MIN.saturating_mul(1 << self.failures.saturating_sub(1).min(16)).min(PAUSE_MAX);
        most.mul_f64(0.5 + 0.5 * rand::random::<f64>())
    }
}

impl Line {
    async fn post(&self, letter: &Letter, now: Moment) -> Outcome {
        let Some(request) = self.request(letter, now.as_unix_ms() / 1000) else {
            return Outcome::Refused(StatusCode::BAD_REQUEST);
        };
        match self.way.send(request, ANSWER).await {
            Ok(answer) => judge(answer.status),
            Err(error) => Outcome::Away(causes(&error)),
        }
    }

    /// Writes the request, signed with every secret, the newest first. `None` when the event's number is none.
    fn request(&self, letter: &Letter, timestamp_s: u64) -> Option<Request<Full<Bytes>>> {
        let body = Bytes::copy_from_slice(letter.body.as_bytes());
        let signatures: Vec<String> =
            self.secrets.iter().map(|secret| secret.sign(&letter.id, timestamp_s, &body)).collect();
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(WEBHOOK_ID, HeaderValue::from_str(&letter.id).ok()?);
        headers.insert(WEBHOOK_TIMESTAMP, HeaderValue::from(timestamp_s));
        headers.insert(WEBHOOK_SIGNATURE, HeaderValue::from_str(&signatures.join(" ")).ok()?);
        Some(request)
    }
}

/// Reads a status. A redirect is a refusal: the address is the configuration's to change.
fn judge(status: StatusCode) -> Outcome {
    if status.is_success() {
        return Outcome::Arrived;
    }
    let is_busy = matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS);
    if status.is_server_error() || is_busy {
        return Outcome::Away(format!("status {}", status.as_u16()));
    }
    Outcome::Refused(status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    fn letter(number: u64) -> Letter {
        let at = Moment::from_unix_ms(0);
        Letter { number, id: format!("evt_{number}"), kind: "agent.orphaned".into(), at, body: "{}".into() }
    }

    #[test]
    fn an_event_that_is_refused_five_times_is_given_up_and_the_next_begins_anew() {
        let mut pace = Pace::default();
        let refused = || Outcome::Refused(StatusCode::BAD_REQUEST);
        for number in [1, 2] {
            for _ in 0..REFUSALS_MAX - 1 {
                assert_eq!(pace.note("ops", &letter(number), refused()), Fate::Waits);
            }
            let away = Outcome::Away("nobody listens".into());
            assert_eq!(pace.note("ops", &letter(number), away), Fate::Waits, "being away is no refusal");
            assert_eq!(pace.note("ops", &letter(number), refused()), Fate::Settled(Settled::GivenUp(number)));
        }
    }

    #[test]
    fn pauses_double_and_end_at_five_minutes() {
        let mut pace = Pace::default();
        for most_s in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
            pace.note("ops", &letter(1), Outcome::Away("nobody listens".into()));
            let (pause, most) = (pace.pause(), Duration::from_secs(most_s));
            assert!(pause >= most / 2 && pause <= most, "{pause:?} of {most:?}");
        }
        pace.note("ops", &letter(1), Outcome::Arrived);
        assert_eq!(pace.failures, 0);
    }

    #[test]
    fn a_redirect_is_a_refusal_and_a_server_that_fails_is_away() {
        for status in [200, 202, 204] {
            assert_eq!(judge(StatusCode::from_u16(status).expect("a status")), Outcome::Arrived);
        }
        for status in [301, 302, 307, 308, 400, 401, 404, 410, 413] {
            assert!(matches!(judge(StatusCode::from_u16(status).expect("a status")), Outcome::Refused(_)), "{status}");
        }
        for status in [408, 425, 429, 500, 502, 503] {
            assert!(matches!(judge(StatusCode::from_u16(status).expect("a status")), Outcome::Away(_)), "{status}");
        }
    }

    #[test]
    fn the_event_that_tells_of_dropped_ones_is_the_same_until_more_are_dropped() {
        let now = Moment::from_unix_ms(1_800_000_000_000);
        let of = |dropped, dropped_told| dropped_letter(&Waiting { letter: None, dropped, dropped_told }, now);
        fn dropped_letter(waiting: &Waiting, now: Moment) -> Option<String> {
            dropped(waiting, now).map(|(letter, _)| letter.id)
        }
        assert_eq!((of(0, 0), of(7, 7)), (None, None));
        assert_eq!(of(7, 3), of(7, 3));
        assert_ne!(of(7, 3), of(8, 3));
    }

    /// What was written to the log, in memory.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("nobody panicked").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn the_log_gets_every_event_at_info_under_its_own_name() {
        let written = Written::default();
        let to = written.clone();
        let subscriber = tracing_subscriber::fmt().json().with_writer(move || to.clone()).finish();
        let logging = tracing::subscriber::set_default(subscriber);
        assert_eq!(Outlet::Log.send(&letter(1), Moment::from_unix_ms(0)).await, Outcome::Arrived);
        drop(logging);
        let text = String::from_utf8(written.0.lock().expect("nobody panicked").clone()).expect("text");
        let line: serde_json::Value = serde_json::from_str(&text).expect("one line of JSON");
        let fields = &line["fields"];
        assert_eq!((&line["level"], &line["target"]), (&"INFO".into(), &"crumb_broker::events".into()));
        assert_eq!(
            (&fields["event"], &fields["id"], &fields["body"]),
            (&"agent.orphaned".into(), &"evt_1".into(), &"{}".into())
        );
        assert_eq!(Outlet::Log.recipient().kinds, Kind::ALL);
    }
}
