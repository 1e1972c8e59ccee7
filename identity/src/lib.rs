//! Who we are and who the other end is: SVIDs from the Workload API, and mutual TLS with them.
//!
//! [`Workload`] holds our own SVID and the bundles, kept fresh over the Workload API socket. [`Listener`] accepts peers,
//! [`channel`] and [`Connector`] dial them. It is apart because it is the only room that sees the `spiffe` crate and,
//! for mTLS, rustls: everybody else gets a stream and a [`PeerSvid`].
//!
//! # Invariants
//!
//! - TLS 1.3, both ends with an SVID, ALPN agreed, no resumption, the aws-lc provider named and never the process
//!   default.
//! - One check: handshakes and requests both go through `attestors::x509_svid::validate`, against the newest bundles.
//! - A rotation leaves no moment without an SVID: the new one is ready before the old one is let go.
//! - No stream lives past either end's SVID. An identity that is withdrawn or expired accepts nobody and dials nobody.
//! - [`SystemClock`] is the one place in the workspace that reads a clock.
//!
//! # What it does not do
//!
//! It does not close connections when a bundle changes: whoever serves requests calls [`Workload::revalidate`] on each.

mod channel;
mod clock;
mod connector;
mod endpoint;
mod listener;
mod peer;
mod stream;
mod tls;
mod workload;

pub use channel::{Channel, cause_of, channel};
pub use clock::SystemClock;
pub use connector::{ClientStream, ConnectError, Connector, RefusedByServer};
pub use crumb_attestors::x509_svid::InvalidSvid;
pub use endpoint::{Endpoint, InvalidEndpoint};
pub use listener::{Incoming, Limits, Listener, MtlsStream, Refusal, RefusedHandshake};
pub use peer::{PeerSvid, Peers, RefusedPeer};
pub use tls::Alpn;
pub use workload::{DEV_TRUST_DOMAIN, NoIdentity, Workload};
