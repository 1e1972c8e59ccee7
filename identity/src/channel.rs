//! gRPC over a [`Connector`].

use std::{error::Error, io, time::Duration};

use crumb_token::SpiffeId;
use hyper_util::rt::TokioIo;
use tonic::{
    Status,
    transport::{Channel, Endpoint, Uri},
};
use tower::service_fn;

use crate::{
    connector::{ConnectError, Connector, RefusedByServer},
    tls::Alpn,
    workload::Workload,
};

/// How often a quiet connection is probed, and how long the answer may take. A broker that froze is noticed within
/// half a minute; one that closed, at once.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(10));

/// The origin of requests to a target that is not the authority of a URI; the dial then fails and says so.
const NOWHERE: &str = "http://crumb.invalid";

/// Makes a gRPC channel to `target`, a `host:port`, for as long as it is `server`.
///
/// Dials when the first request comes, dials again when the connection is gone, and shows the SVID of that moment. No
/// request has a time limit of its own: callers set theirs.
pub fn channel(workload: &Workload, target: impl Into<String>, server: SpiffeId) -> Channel {
    let target = target.into();
    let connector = Connector::with_alpn(workload.clone(), server, Alpn::H2);
    // The scheme says http, because TLS is the connector's business and not tonic's.
    let endpoint = Endpoint::from_shared(format!("http://{target}")).unwrap_or_else(|_| Endpoint::from_static(NOWHERE));
    endpoint
        .http2_keep_alive_interval(KEEP_ALIVE.0)
        .keep_alive_timeout(KEEP_ALIVE.1)
        .keep_alive_while_idle(true)
        .connect_with_connector_lazy(service_fn(move |_: Uri| {
            let (connector, target) = (connector.clone(), target.clone());
            async move { connector.connect(&target).await.map(TokioIo::new) }
        }))
}

/// Says why a request failed, when it was the connection: tonic's own words are only "transport error".
///
/// Returns what [`ConnectError`], [`RefusedByServer`] or the stream says, with its causes; `None` when the server itself
/// answered.
pub fn cause_of(status: &Status) -> Option<String> {
    let mut found = None;
    let mut next = status.source();
    while let Some(error) = next {
        if error.is::<ConnectError>() || error.is::<RefusedByServer>() {
            return Some(sentence(error));
        }
        // An `io::Error` passes over the error inside it when it is asked for its source. h2 keeps that one's text only,
        // so the text has to do when nothing better follows.
        let io = error.downcast_ref::<io::Error>();
        if io.is_some() {
            found = Some(sentence(error));
        }
        next = match io.and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    found
}

fn sentence(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
