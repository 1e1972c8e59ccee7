//! Identifiers: prefixed, sortable by time, unguessable enough, and never authority by themselves.

use std::{fmt, str::FromStr};
use uuid::Uuid;

/// A text that is not an identifier of the kind wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not {prefix}_ and 32 hexadecimal digits")]
pub struct InvalidId {
    /// The prefix that was wanted.
    pub prefix: &'static str,
}

macro_rules! prefixed_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Uuid);

        impl $name {
            /// Names a new thing by `uuid`, which the caller makes (version 7, so that ids sort by time).
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(s: &str) -> Result<Self, InvalidId> {
                let wrong = InvalidId { prefix: $prefix };
                let hex = s.strip_prefix(concat!($prefix, "_")).ok_or(wrong)?;
                let canonical = hex.len() == 32 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
                if !canonical {
                    return Err(wrong);
                }
                Uuid::try_parse(hex).map(Self).map_err(|_| wrong)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), self.0.as_simple())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

prefixed_id! {
    /// A session: `ses_…`.
    SessionId, "ses"
}
prefixed_id! {
    /// A task token, and every call token made from it: `tok_…`.
    TokenId, "tok"
}
prefixed_id! {
    /// One request, made by the caller; the broker answers the same request the same way: `req_…`.
    RequestId, "req"
}
prefixed_id! {
    /// A sidecar's handle for a task token, good for one local caller: `tsk_…`.
    TaskId, "tsk"
}
prefixed_id! {
    /// One audit record: `rec_…`.
    RecordId, "rec"
}

prefixed_id! {
    /// One request for approval: `apr_…`.
    ApprovalId, "apr"
}

/// A root signing key, as Biscuit's `root_key_id`.
///
/// The number is not covered by the token's signature; it only says which key to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(pub u32);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_it_writes() {
        let id = SessionId::from_uuid(Uuid::from_u128(7));
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn refuses_other_kinds_and_spellings() {
        let hex = "0".repeat(31) + "a";
        for bad in
            ["", "ses_", &format!("tok_{hex}"), &format!("ses_{}", hex.to_uppercase()), &format!("ses_{hex}0"), &hex]
        {
            assert!(bad.parse::<SessionId>().is_err(), "{bad}");
        }
    }
}
