//! `FeedService`.

use super::Services;
use crate::{caller, feed::Signed};
use crumb_identity::PeerSvid;
use crumb_proto::{
    status,
    wire::{SignedFeedMessage, WatchRequest, feed_service_server::FeedService},
};
use crumb_token::{Denial, Reason};
use futures::{Stream, StreamExt as _, stream};
use std::pin::Pin;
use tokio::{
    sync::{OwnedSemaphorePermit, broadcast},
    time::Sleep,
};
use tonic::{Extensions, Request, Response, Status, async_trait};

/// One listener's place in the stream.
struct Listener {
    services: Services,
    /// The handshake's facts, asked again for every message.
    extensions: Extensions,
    messages: broadcast::Receiver<Signed>,
    /// Ends the stream, so that the listener asks again over a connection with a newer SVID.
    end: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

impl Listener {
    /// Waits for the next message. `None` when the stream is over.
    async fn next(&mut self) -> Option<Result<Signed, Status>> {
        let received = tokio::select! {
            received = self.messages.recv() => received,
            () = self.services.shutdown.cancelled() => return None,
            () = self.end.as_mut() => return None,
        };
        let message = match received {
            Ok(message) => message,
            Err(broadcast::error::RecvError::Closed) => return None,
            // Too slow: what was missed is gone, and only a full message helps.
            Err(broadcast::error::RecvError::Lagged(_)) => {
                let denial = Denial::new(Reason::Overloaded).by("the feed waits for nobody", "the broker");
                return Some(Err(status::to_status(&denial.next("watch again, from a full message"))));
            }
        };
        let broker = &self.services.broker;
        match caller::attest(&broker.workload, &self.extensions, broker.clock.now().wall) {
            Ok(_) => Some(Ok(message)),
            Err(denial) => Some(Err(status::to_status(&denial))),
        }
    }
}

#[async_trait]
impl FeedService for Services {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<SignedFeedMessage, Status>> + Send>>;

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let refuse = |denial: Denial| status::to_status(&denial);
        let broker = &self.broker;
        caller::attest(&broker.workload, request.extensions(), broker.clock.now().wall).map_err(refuse)?;
        let place = self.streams.clone().try_acquire_owned();
        let _place = place.map_err(|_| refuse(Denial::new(Reason::Overloaded)))?;
        let (full, messages) = broker.feed.listen().ok_or_else(|| refuse(Denial::new(Reason::StoreUnavailable)))?;
        let mut extensions = Extensions::new();
        if let Some(peer) = request.extensions().get::<PeerSvid>() {
            extensions.insert(peer.clone());
        }
        let end = Box::pin(tokio::time::sleep(self.limits.stream_age));
        let listener = Listener { services: self.clone(), extensions, messages, end, _place };
        let rest = stream::unfold(Some(listener), |listener| async {
            let mut listener = listener?;
            let message = listener.next().await?;
            // A refusal is the last thing that a listener hears.
            let listener = message.is_ok().then_some(listener);
            Some((message, listener))
        });
        Ok(Response::new(Box::pin(stream::iter([Ok(full)]).chain(rest))))
    }
}
