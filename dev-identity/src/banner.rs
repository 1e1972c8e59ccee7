//! What a person has to see before development identities are used.

use std::time::Duration;

use crumb_token::TrustDomain;

const RULE: &str = "==============================================================================";

/// Returns the banner; several lines, the last one with a newline.
pub(crate) fn text(domain: &TrustDomain, svid_ttl: Duration, endpoint: &str) -> String {
    let seconds = svid_ttl.as_secs();
    format!(
        "{RULE}\n\
         DEVELOPMENT IDENTITY: NOT FOR PRODUCTION\n\
         \n\
         A certificate authority in this process's memory issues every identity, for\n\
         {seconds} seconds each. Whoever is root here, or runs as the same user, can take them.\n\
         When this process ends, so do all identities.\n\
         \n\
         trust domain            {domain}\n\
         SPIFFE_ENDPOINT_SOCKET  {endpoint}\n\
         \n\
         With SPIRE instead, set SPIFFE_ENDPOINT_SOCKET to the socket of its agent.\n\
         {RULE}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_that_it_is_not_for_production_and_where_it_is() {
        let domain = crate::DEV_TRUST_DOMAIN.parse().expect("canonical");
        let text = text(&domain, Duration::from_secs(300), "unix:///run/crumb/api.sock");
        for part in ["NOT FOR PRODUCTION", "dev.crumb.invalid", "unix:///run/crumb/api.sock", "300 seconds"] {
            assert!(text.contains(part), "{part}");
        }
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
    }
}
