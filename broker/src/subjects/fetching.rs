//! The keys of one issuer, fetched from the address that the configuration names.
//!
//! Only the bytes are moved here; when that may be, and what is made of them, is decided by
//! [`HeldKeys`](crumb_attestors::subject_token::HeldKeys).
//!
//! # Invariants
//!
//! - Requests never fetch: they ask the one task that does, and wait a little. So a caller who goes away interrupts nothing,
//!   and many who ask at once cause one fetch.
//! - Few wait for one issuer at once. Whoever comes when they are enough hears at once that the keys are not there, so that a
//!   slow issuer holds few of the places that all requests share.
//! - Nothing but status 200 is a key set, and no redirect is followed.

use super::{Purpose, UnusableIssuers};
use crate::outbound::{Authorities, Destination, Limits, Outbound, causes};
use bytes::Bytes;
use crumb_attestors::{
    jwks::Jwks,
    subject_token::{FetchFailed, HeldKeys, Issuer, KeySource, Why},
};
use crumb_token::Clock;
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::Full;
use std::time::Duration;
use tokio::sync::{Notify, Semaphore, watch};

/// How much later than due a fetch may be, as a part of the time between two: so that many brokers do not fetch at once.
const SPREAD: u32 = 10;

/// How many requests wait for one issuer at once: a small part of the places for requests, and enough for those that a new key
/// finds on their way.
const WAITERS_MAX: usize = 32;

/// Where one issuer's keys are.
#[derive(Debug)]
pub(super) struct KeyServer {
    way: Outbound,
    wanted: Notify,
    /// How many fetches have ended.
    ended: watch::Sender<u64>,
    /// The places of those who wait for a fetch.
    places: Semaphore,
}

impl KeyServer {
    /// Makes the way to an issuer's keys; `None` when they are not at an address.
    pub(super) fn of(purpose: Purpose, issuer: &Issuer) -> Result<Option<Self>, UnusableIssuers> {
        let KeySource::Url(url) = issuer.keys() else { return Ok(None) };
        let name = || issuer.name().clone();
        let to = Destination::try_from(url).map_err(|_| UnusableIssuers::Address { purpose, name: name() })?;
        let way = Outbound::new(to, &Authorities::of(issuer.keys_ca_file()));
        let way = way.map_err(|source| UnusableIssuers::Authorities { purpose, name: name(), source })?;
        let places = Semaphore::new(WAITERS_MAX);
        Ok(Some(Self { way, wanted: Notify::new(), ended: watch::Sender::new(0), places }))
    }

    /// Asks for a fetch, if one may change anything, and waits until one has ended or `wait` is over, when not too many wait
    /// already. Says whether one has.
    pub(super) async fn ask(&self, held: &HeldKeys, clock: &dyn Clock, wait: Duration) -> bool {
        let mut ended = self.ended.subscribe();
        if !held.may_change(clock.now().ticks) {
            return false;
        }
        self.wanted.notify_one();
        let Ok(_place) = self.places.try_acquire() else { return false };
        tokio::time::timeout(wait, ended.changed()).await.is_ok_and(|changed| changed.is_ok())
    }

    /// Fetches whenever keys are due or asked for.
    pub(super) async fn keep(&self, purpose: Purpose, issuer: &Issuer, held: &HeldKeys, clock: &dyn Clock) {
        let mut why = Why::Due;
        loop {
            self.fetch(purpose, issuer, held, why, clock).await;
            let until_due = held.until_due(clock.now().ticks).unwrap_or(Duration::MAX);
            let spread = issuer.keys_refresh().min(until_due) / SPREAD;
            let sleep = until_due.saturating_add(spread.mul_f64(rand::random()));
            why = tokio::select! {
                () = tokio::time::sleep(sleep) => Why::Due,
                () = self.wanted.notified() => Why::Refused,
            };
        }
    }

    async fn fetch(&self, purpose: Purpose, issuer: &Issuer, held: &HeldKeys, why: Why, clock: &dyn Clock) {
        let (name, failures) = (issuer.name(), held.failures());
        let mut cause = None;
        let fetched = held.refresh(why, clock, |_, limit| {
            let cause = &mut cause;
            async move {
                self.download(limit).await.map_err(|why| {
                    *cause = Some(why);
                    FetchFailed
                })
            }
        });
        match fetched.await {
            Ok(false) => return,
            Ok(true) if failures > 0 => tracing::info!(%name, %purpose, failures, "an issuer's keys are there again"),
            Ok(true) => tracing::debug!(%name, %purpose, "an issuer's keys were fetched"),
            Err(error) => {
                let (failures, error) = (held.failures(), cause.unwrap_or_else(|| causes(&error)));
                tracing::warn!(%name, %purpose, failures, error, "an issuer's keys cannot be fetched");
            }
        }
        self.ended.send_modify(|ended| *ended = ended.wrapping_add(1));
    }

    /// Fetches the document, or says why there is none.
    async fn download(&self, timeout: Duration) -> Result<String, String> {
        let mut request = Request::new(Full::new(Bytes::new()));
        request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("application/json, */*;q=0.5"));
        let limits = Limits { timeout, body_len_max: Jwks::LEN_MAX };
        let answer = self.way.send(request, limits).await.map_err(|error| causes(&error))?;
        if answer.status != StatusCode::OK {
            return Err(format!("the answer has status {}", answer.status.as_u16()));
        }
        let body = answer.body.ok_or_else(|| format!("the answer has more than {} bytes", Jwks::LEN_MAX))?;
        String::from_utf8(body.into()).map_err(|_| "the answer is no text".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subjects::Subjects;
    use crumb_identity::SystemClock;
    use futures::FutureExt as _;

    /// Issuers of which nobody fetches the keys.
    fn subjects() -> Subjects {
        let entry = |name: &str| {
            let entry = format!(
                "name = \"{name}\"\nkind = \"oidc\"\niss = \"https://{name}.a.test\"\naudiences = [\"crumb\"]\n\
                 principal = \"email\"\njwks_url = \"https://127.0.0.1:1/keys\"\n"
            );
            toml::from_str(&entry).expect("a good entry")
        };
        Subjects::load(Purpose::Subjects, vec![entry("slow"), entry("other")]).expect("good issuers")
    }

    #[tokio::test]
    async fn few_wait_for_a_slow_issuer_and_they_are_in_nobodys_way_at_another() {
        let (subjects, clock, day) = (subjects(), SystemClock::new(), Duration::from_secs(86_400));
        let ask = |name: &str| {
            let name = name.parse().expect("a name");
            let held = subjects.issuers.held_for(&name).expect("listed");
            subjects.servers[&name].ask(held, &clock, day)
        };
        let mut waiting: Vec<_> = (0..WAITERS_MAX).map(|_| Box::pin(ask("slow"))).collect();
        for one in &mut waiting {
            assert_eq!(one.as_mut().now_or_never(), None, "it waits");
        }
        assert_eq!(ask("slow").now_or_never(), Some(false), "told at once");
        assert_eq!(ask("other").now_or_never(), None);
        waiting.pop();
        assert_eq!(ask("slow").now_or_never(), None, "whoever leaves makes room");
    }
}
