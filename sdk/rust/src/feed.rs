//! Follows the broker's feed: signing keys, revocations and the heartbeat go into a verifier.
//!
//! It decodes each message from the very bytes that the verifier checks the signature of. Whatever goes wrong, a message
//! that cannot be read, one that the verifier refuses, silence, the end of the stream, has one cure: watch anew, which
//! begins with a full message. Meanwhile the verifier decides by what it knows, until that is stale.

mod decode;

pub use decode::{Unreadable, decode};

use crate::backoff::Backoff;
use crumb_identity::Channel;
use crumb_proto::wire::{SignedFeedMessage, WatchRequest, feed_service_client::FeedServiceClient};
use crumb_token::{Clock, KeyId};
use crumb_verifier::{FeedRefused, Verifier, feed::Signed};
use std::{error::Error, sync::Arc, time::Duration};
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// How long the feed may be silent before we watch anew: a few lost heartbeats, and well before a verifier is stale.
pub const SILENCE_MAX: Duration = Duration::from_secs(3);

/// The longest message, in bytes: a full one with as many revocations as a verifier keeps, at some 100 bytes each.
pub const MESSAGE_LEN_MAX: usize = 16 * 1024 * 1024;

/// The first and the longest pause before we watch anew. The longest is short, since all calls may be waiting for it.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Why one watch ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("the broker cannot be reached or refuses: {}", crumb_identity::cause_of(.0).unwrap_or_else(|| .0.message().to_owned()))]
    Status(Box<Status>),
    #[error("nothing came for {} s", SILENCE_MAX.as_secs())]
    Silent,
    #[error("a message cannot be read")]
    Unreadable(#[from] Unreadable),
    #[error("the verifier refuses a message")]
    Refused(#[from] FeedRefused),
    #[error("the broker ended the stream")]
    Over,
}

impl From<Status> for Ended {
    fn from(status: Status) -> Self {
        Self::Status(Box::new(status))
    }
}

/// Follows the feed over `channel` into `verifier`, in a task of its own, until `shutdown`.
pub fn follow(
    verifier: Arc<Verifier>,
    channel: Channel,
    clock: Arc<dyn Clock>,
    shutdown: CancellationToken,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let follower = Follower { verifier, channel, clock };
        shutdown.run_until_cancelled(follower.run()).await;
    })
}

struct Follower {
    verifier: Arc<Verifier>,
    channel: Channel,
    clock: Arc<dyn Clock>,
}

impl Follower {
    async fn run(&self) {
        let mut backoff = Backoff::new(PAUSE.0, PAUSE.1);
        loop {
            let ended = self.watch(&mut backoff).await;
            match &ended {
                // Brokers end streams now and then, so that clients spread anew.
                Ended::Over => tracing::debug!("watching the feed anew: the broker ended the stream"),
                _ => tracing::warn!(error = &ended as &dyn Error, "watching the feed anew"),
            }
            tokio::time::sleep(backoff.pause()).await;
        }
    }

    /// Watches until something ends it. Each message that is taken makes the next pause a short one.
    async fn watch(&self, backoff: &mut Backoff) -> Ended {
        match self.watch_once(backoff).await {
            Ok(()) => Ended::Over,
            Err(ended) => ended,
        }
    }

    async fn watch_once(&self, backoff: &mut Backoff) -> Result<(), Ended> {
        let mut client = FeedServiceClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_LEN_MAX);
        let opened = timeout(SILENCE_MAX, client.watch(WatchRequest {})).await.map_err(|_| Ended::Silent)?;
        let mut stream = opened?.into_inner();
        while let Some(message) = timeout(SILENCE_MAX, stream.message()).await.map_err(|_| Ended::Silent)?? {
            self.take(&message)?;
            backoff.reset();
        }
        Ok(())
    }

    fn take(&self, signed: &SignedFeedMessage) -> Result<(), Ended> {
        let message = decode(&signed.message)?;
        let (key_id, full) = (KeyId(signed.key_id), message.full);
        let revocations = message.revocations.len();
        let signed = Signed { bytes: &signed.message, key_id, signature: &signed.signature };
        self.verifier.apply(&signed, message, self.clock.now())?;
        if full || revocations > 0 {
            tracing::debug!(full, revocations, "feed message taken");
        }
        Ok(())
    }
}
