//! A call to a tool server, for whoever presents a token itself: an agent with its own SVID, or the sidecar.

mod connection;

use crate::failure::{CallFailed, Party, chain};
use bytes::Bytes;
use connection::Connection;
use crumb_identity::{Connector, Workload, cause_of};
use crumb_token::{Denial, SpiffeId, TokenText, ToolName};
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde::Deserialize;
use std::{sync::Arc, time::Duration};
use tokio::{sync::Mutex, time::timeout};
use tonic::Status;

/// How long one call may take, dial and answer together.
pub const CALL_TIME_MAX: Duration = Duration::from_secs(30);

/// The longest answer, in bytes; more than an agent can make use of.
pub const ANSWER_LEN_MAX: usize = 1024 * 1024;

/// What a tool server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The body, at most [`ANSWER_LEN_MAX`] bytes.
    pub body: Bytes,
    /// Why it was refused, when it was.
    pub denial: Option<Denial>,
}

/// Calls one tool server. Cheap to clone; all clones share one HTTP/2 connection, which is dialled anew when our SVID or
/// the bundles change.
#[derive(Clone, Debug)]
pub struct ToolClient(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    connector: Connector,
    workload: Workload,
    address: String,
    limit: Duration,
    /// The connection that calls share. Held while one dials, so that the others wait for it instead of dialling too.
    shared: Mutex<Option<Shared>>,
}

#[derive(Debug)]
struct Shared {
    revision: u64,
    connection: Arc<Connection>,
}

impl ToolClient {
    /// Makes a client of whoever proves to be `server` at `address`, a `host:port`. Dials at the first call.
    pub fn new(workload: Workload, address: impl Into<String>, server: SpiffeId) -> Self {
        Self::with_limit(workload, address, server, CALL_TIME_MAX)
    }

    /// Makes a client whose calls may take `limit`.
    pub fn with_limit(workload: Workload, address: impl Into<String>, server: SpiffeId, limit: Duration) -> Self {
        let connector = Connector::new(workload.clone(), server);
        Self(Arc::new(Inner { connector, workload, address: address.into(), limit, shared: Mutex::new(None) }))
    }

    /// Calls `tool` with JSON `arguments`, presenting `token`. A tool server that refuses is an answer, not an error.
    ///
    /// # Errors
    ///
    /// [`CallFailed::Unreachable`] when there was no answer; the call may have been made all the same, so it is not made
    /// again. [`CallFailed::Unreadable`] when the answer is too long.
    pub async fn call(&self, token: &TokenText, tool: &ToolName, arguments: Bytes) -> Result<ToolAnswer, CallFailed> {
        let request = self.request(token, tool, arguments)?;
        let answered = async {
            let answer = self.send(request).await?;
            read(answer).await
        };
        let answered = timeout(self.0.limit, answered).await;
        answered.unwrap_or_else(|_| Err(CallFailed::too_slow(Party::ToolServer, self.0.limit)))
    }

    fn request(
        &self,
        token: &TokenText,
        tool: &ToolName,
        arguments: Bytes,
    ) -> Result<Request<Full<Bytes>>, CallFailed> {
        let impossible = |_| unreachable("the token cannot be a header");
        let bearer = zeroize::Zeroizing::new(format!("Bearer {}", token.expose()));
        let mut bearer = HeaderValue::from_str(&bearer).map_err(impossible)?;
        // Keeps it out of `Debug` and of the tables of header compression.
        bearer.set_sensitive(true);
        Request::post(format!("https://{}/tools/{tool}", self.0.address))
            .header(header::AUTHORIZATION, bearer)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(arguments))
            .map_err(|_| unreachable("the address is not host:port"))
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, CallFailed> {
        let connection = self.connection().await?;
        match connection.send(request).await {
            Ok(answer) => Ok(answer),
            // It did not leave this end: the connection had just ended. A new one may do.
            Err(connection::NotSent::Unsent(request)) => {
                self.forget(&connection).await;
                let connection = self.connection().await?;
                connection.send(*request).await.map_err(not_sent)
            }
            Err(failed) => Err(not_sent(failed)),
        }
    }

    /// Returns a connection that was made with what we are now.
    async fn connection(&self) -> Result<Arc<Connection>, CallFailed> {
        let mut shared = self.0.shared.lock().await;
        let revision = self.0.workload.revision();
        if let Some(live) = shared.as_ref().filter(|s| s.revision == revision && s.connection.is_open()) {
            return Ok(Arc::clone(&live.connection));
        }
        let stream = self.0.connector.connect(&self.0.address).await;
        let stream = stream.map_err(|why| unreachable(chain(&why)))?;
        let connection = Connection::begin(stream).await.map_err(|why| not_sent(connection::NotSent::Failed(why)))?;
        let connection = Arc::new(connection);
        // HTTP/1.1 carries one call at a time, so such a connection is the caller's alone.
        *shared = connection.is_shared().then(|| Shared { revision, connection: Arc::clone(&connection) });
        Ok(connection)
    }

    async fn forget(&self, connection: &Arc<Connection>) {
        let mut shared = self.0.shared.lock().await;
        if shared.as_ref().is_some_and(|s| Arc::ptr_eq(&s.connection, connection)) {
            *shared = None;
        }
    }
}

fn unreachable(why: impl Into<String>) -> CallFailed {
    CallFailed::Unreachable { party: Party::ToolServer, why: why.into() }
}

fn not_sent(failed: connection::NotSent) -> CallFailed {
    match failed {
        connection::NotSent::Unsent(_) => unreachable("the connection ended"),
        connection::NotSent::Failed(why) => {
            let words = chain(&why);
            unreachable(cause_of(&Status::from_error(Box::new(why))).unwrap_or(words))
        }
    }
}

async fn read(answer: Response<Incoming>) -> Result<ToolAnswer, CallFailed> {
    let (head, body) = answer.into_parts();
    let body = Limited::new(body, ANSWER_LEN_MAX).collect().await.map_err(|why| {
        if why.is::<LengthLimitError>() {
            let why = format!("it has more than {ANSWER_LEN_MAX} bytes");
            return CallFailed::Unreadable { party: Party::ToolServer, why };
        }
        unreachable("the answer broke off")
    })?;
    let body = body.to_bytes();
    let failed = head.status.is_client_error() || head.status.is_server_error();
    let denial = if failed { denial(&body) } else { None };
    Ok(ToolAnswer { status: head.status.as_u16(), body, denial })
}

/// How a protected tool server writes a refusal.
#[derive(Deserialize)]
struct Refusal {
    error: RefusalFields,
}

#[derive(Deserialize)]
struct RefusalFields {
    reason: String,
    #[serde(default)]
    asked: String,
    #[serde(default)]
    rule: String,
    #[serde(default)]
    author: String,
    #[serde(default)]
    next: String,
}

/// Reads a refusal. `None` when it is not one of ours: then the tool itself failed.
fn denial(body: &[u8]) -> Option<Denial> {
    let RefusalFields { reason, asked, rule, author, next } = serde_json::from_slice::<Refusal>(body).ok()?.error;
    Some(Denial { reason: reason.parse().ok()?, asked, rule, author, next })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crumb_token::Reason;

    #[test]
    fn reads_our_refusals_and_takes_others_for_the_tools_own() {
        let ours = br#"{"error":{"reason":"holder_mismatch","title":"x","rule":"authority block, holder"}}"#;
        let read = denial(ours).expect("ours");
        assert_eq!((read.reason, read.rule.as_str()), (Reason::HolderMismatch, "authority block, holder"));
        for other in [&b""[..], b"not found", br#"{"error":"x"}"#, br#"{"error":{"reason":"no_such_code"}}"#] {
            assert_eq!(denial(other), None);
        }
    }
}
