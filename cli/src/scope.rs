//! How rights and origins are written on the command line.

use crate::{exit::Failure, places::Places, stack};
use crumb_sdk::sidecar::SidecarClient;
use crumb_token::{Audience, Grant, Grants, Origin, origin::Assurance};
use std::{path::PathBuf, str::FromStr};

/// One right at one tool server: `SERVER TOOL OPERATION RESOURCE`.
#[derive(Clone, Debug)]
pub(crate) struct Allow {
    pub(crate) audience: Audience,
    pub(crate) grant: Grant,
}

impl FromStr for Allow {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let words: Vec<_> = s.split_whitespace().collect();
        let [server, tool, operation, resource] = words[..] else {
            return Err(
                "is written 'SERVER TOOL OPERATION RESOURCE', such as 'files read_file read file:///docs/*'".into()
            );
        };
        Ok(Self {
            audience: audience(server)?,
            grant: Grant {
                tool: tool.parse().map_err(|e| format!("tool: {e}"))?,
                operation: operation.parse().map_err(|e| format!("operation: {e}"))?,
                resource: resource.parse().map_err(|e| format!("resource: {e}"))?,
            },
        })
    }
}

/// Reads an audience: a SPIFFE ID or https URI, or the short name of one of `crumb dev`'s tool servers.
pub(crate) fn audience(s: &str) -> Result<Audience, String> {
    let text = if s.contains("://") { s.to_owned() } else { stack::dev_id_text(&format!("tool/{s}")) };
    text.parse().map_err(|e| format!("server: {e}"))
}

/// Collects rights into one scope per tool server, in the order they were named.
pub(crate) fn envelope(allow: &[Allow]) -> Result<Vec<(Audience, Grants)>, Failure> {
    let mut scopes: Vec<(Audience, Vec<Grant>)> = Vec::new();
    for Allow { audience, grant } in allow {
        match scopes.iter_mut().find(|(a, _)| a == audience) {
            Some((_, grants)) => grants.push(grant.clone()),
            None => scopes.push((audience.clone(), vec![grant.clone()])),
        }
    }
    let scopes = scopes.into_iter().map(|(a, g)| Grants::try_new(g).map(|g| (a, g)));
    scopes.collect::<Result<_, _>>().map_err(Failure::usage)
}

/// Reads `user:NAME`, `schedule:NAME` or `session:SESSION`.
pub(crate) fn origin(s: &str) -> Result<Origin, String> {
    let (kind, name) = s.split_once(':').unwrap_or((s, ""));
    match kind {
        "user" => {
            Ok(Origin::User { name: name.parse().map_err(|e| format!("user: {e}"))?, assurance: Assurance::Asserted })
        }
        "schedule" => Ok(Origin::Schedule { name: name.parse().map_err(|e| format!("schedule: {e}"))? }),
        "session" => Ok(Origin::Agent { session: name.parse().map_err(|e| format!("session: {e}"))? }),
        _ => Err("is written user:NAME, schedule:NAME or session:SESSION".into()),
    }
}

/// Where the sidecar listens.
#[derive(Debug, clap::Args)]
pub(crate) struct SidecarArg {
    /// The sidecar's Unix socket; `crumb dev`'s by default.
    #[arg(long, env = "CRUMB_SOCKET", global = true)]
    sidecar: Option<PathBuf>,
}

impl SidecarArg {
    pub(crate) fn client(&self) -> Result<SidecarClient, Failure> {
        let socket = self.sidecar.clone().unwrap_or_else(|| Places::usual().sidecar_socket());
        SidecarClient::at(&socket).map_err(Failure::usage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_rights_that_are_not_four_words() {
        for bad in [
            "",
            "files read_file read",
            "files read_file read a b",
            "files read_file READ a",
            "files read_file read a/../b",
        ] {
            assert!(bad.parse::<Allow>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn refuses_an_origin_without_kind_or_name() {
        for bad in ["", "bob", "user:", "robot:x", "session:x"] {
            assert!(origin(bad).is_err(), "{bad:?}");
        }
    }
}
