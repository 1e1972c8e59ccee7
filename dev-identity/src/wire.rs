//! The Workload API's messages, client and server, generated from `proto/workload.proto`.
//!
//! Public so that tests can be a Workload API of their own making, or an odd client of ours. Messages that carry a key
//! or a token print its length only.

#![expect(
    clippy::allow_attributes_without_reason,
    clippy::missing_errors_doc,
    clippy::too_many_lines,
    unused_qualifications,
    reason = "generated; its documentation is the .proto file"
)]

use std::fmt;

include!("wire/workload.rs");

impl fmt::Debug for X509svid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("X509svid")
            .field("spiffe_id", &self.spiffe_id)
            .field("x509_svid_len", &self.x509_svid.len())
            .field("x509_svid_key_len", &self.x509_svid_key.len())
            .field("bundle_len", &self.bundle.len())
            .field("hint", &self.hint)
            .finish()
    }
}

impl fmt::Debug for Jwtsvid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwtsvid")
            .field("spiffe_id", &self.spiffe_id)
            .field("svid_len", &self.svid.len())
            .field("hint", &self.hint)
            .finish()
    }
}

impl fmt::Debug for ValidateJwtsvidRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ValidateJwtsvidRequest")
            .field("audience", &self.audience)
            .field("svid_len", &self.svid.len())
            .finish()
    }
}

impl fmt::Debug for Witsvid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Witsvid")
            .field("spiffe_id", &self.spiffe_id)
            .field("wit_svid_len", &self.wit_svid.len())
            .field("wit_svid_key_len", &self.wit_svid_key.len())
            .field("hint", &self.hint)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_does_not_print_a_secret() {
        let svid = X509svid { x509_svid_key: b"SECRET".to_vec(), ..X509svid::default() };
        let text = format!("{:?}", X509svidResponse { svids: vec![svid], ..X509svidResponse::default() });
        assert!(text.contains("x509_svid_key_len: 6"), "{text}");
        assert!(!text.contains("83, 69, 67"), "{text}");
        let jwt = Jwtsvid { svid: "SECRET".into(), ..Jwtsvid::default() };
        assert!(!format!("{:?}", JwtsvidResponse { svids: vec![jwt] }).contains("SECRET"));
        let wit = Witsvid { wit_svid: "SECRET".into(), wit_svid_key: "SECRET".into(), ..Witsvid::default() };
        assert!(!format!("{wit:?}").contains("SECRET"));
        let check = ValidateJwtsvidRequest { audience: String::new(), svid: "SECRET".into() };
        assert!(!format!("{check:?}").contains("SECRET"));
    }
}
