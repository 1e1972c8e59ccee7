//! `Debug` for the messages that carry a token: what they are about, and the length of the token.
//!
//! The generator is told to derive none for them, so that a message which is logged whole cannot leak.

use crate::wire::{
    AcceptRequest, ApproveRequest, CallTokenResponse, DecideReviewRequest, ExchangeResponse, HandOverResponse,
    ListApprovalsRequest, OpenRequest, OpenSessionRequest, RefuseRequest, WatchApprovalRequest,
};
use std::fmt;

impl fmt::Debug for ExchangeResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExchangeResponse")
            .field("token", &Bytes(self.token.len()))
            .field("token_id", &self.token_id)
            .field("grants", &self.grants)
            .field("expires_at", &self.expires_at)
            .field("holder", &self.holder)
            .finish()
    }
}

impl fmt::Debug for CallTokenResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallTokenResponse")
            .field("token", &Bytes(self.token.len()))
            .field("expires_at", &self.expires_at)
            .finish()
    }
}

impl fmt::Debug for HandOverResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandOverResponse")
            .field("token", &Bytes(self.token.len()))
            .field("expires_at", &self.expires_at)
            .finish()
    }
}

impl fmt::Debug for AcceptRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcceptRequest").field("token", &Bytes(self.token.len())).finish()
    }
}

/// Writes `Debug` for a request: one field that says which, and the length of its secret.
macro_rules! requests {
    ($($name:ident { $about:ident, $secret:ident })*) => {
        $(impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name))
                    .field(stringify!($about), &self.$about)
                    .field(stringify!($secret), &Bytes(self.$secret.len()))
                    .finish_non_exhaustive()
            }
        })*
    };
}

requests! {
    OpenSessionRequest { request_id, subject_token }
    OpenRequest { agent, subject_token }
    ListApprovalsRequest { state, approver_token }
    WatchApprovalRequest { approval_id, approver_token }
    ApproveRequest { approval_id, approver_token }
    RefuseRequest { approval_id, approver_token }
    DecideReviewRequest { agent, approver_token }
}

/// The length of what is not shown.
struct Bytes(usize);

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_does_not_print_the_token() {
        let exchange = ExchangeResponse { token: "canary".into(), token_id: "tok_1".into(), ..Default::default() };
        let call = CallTokenResponse { token: "canary".into(), expires_at: 1 };
        let open = OpenSessionRequest { subject_token: "canary".into(), ..Default::default() };
        let approve = ApproveRequest { approver_token: "canary".into(), ..Default::default() };
        let handed = HandOverResponse { token: "canary".into(), expires_at: 1 };
        let accept = AcceptRequest { token: "canary".into() };
        let decide = DecideReviewRequest { approver_token: "canary".into(), ..Default::default() };
        let told = [format!("{exchange:?}"), format!("{call:?}"), format!("{open:?}"), format!("{approve:?}")];
        for text in told.into_iter().chain([format!("{decide:?}"), format!("{handed:?}"), format!("{accept:?}")]) {
            assert!(text.contains("6 bytes") && !text.contains("canary"), "{text}");
        }
    }
}
