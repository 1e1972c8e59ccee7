//! What a rule may say: the four voices, and the shape of what each says.
//!
//! Strict on purpose: an unknown word in what a deny rule says is more likely a slip than an idea, and a slip in a policy is
//! found by its tests instead of in production.

use crate::verdict::GroupName;
use crumb_token::{bounded_text, text::is_printable};
use regorus::Value;
use serde::{Deserialize, Serialize, de};
use std::num::{NonZeroU8, NonZeroU32, NonZeroU64};

/// One of the four sets that decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Voice {
    /// Allows.
    Allow,
    /// Denies, whatever else is said.
    Deny,
    /// Wants people to agree first.
    Approval,
    /// Makes lifetime, rate or budget smaller.
    Clamp,
}

impl Voice {
    pub(crate) const ALL: [Self; 4] = [Self::Allow, Self::Deny, Self::Approval, Self::Clamp];

    pub(crate) fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|voice| voice.as_str() == name)
    }

    /// Returns the name of the set.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Approval => "approval",
            Self::Clamp => "clamp",
        }
    }
}

bounded_text! {
    /// Why a rule spoke, in one sentence.
    Because, 300, is_printable
}

impl<'de> Deserialize<'de> for Because {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// What one rule said, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Allow { because: Because },
    Deny { because: Because, fix: Option<Because> },
    Approval { because: Because, from: GroupName, count: NonZeroU8 },
    Clamp { because: Because, ttl_s: Option<NonZeroU32>, per_minute: Option<NonZeroU32>, budget: Option<NonZeroU64> },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AllowWords {
    because: Because,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DenyWords {
    because: Because,
    fix: Option<Because>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ApprovalWords {
    because: Because,
    from: GroupName,
    count: NonZeroU8,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClampWords {
    because: Because,
    ttl_s: Option<NonZeroU32>,
    per_minute: Option<NonZeroU32>,
    budget: Option<NonZeroU64>,
}

impl Said {
    /// Reads what a rule of this voice put into its set; the error is a sentence.
    pub(crate) fn read(voice: Voice, value: &Value) -> Result<Self, String> {
        let value = serde_json::to_value(value).map_err(|e| e.to_string())?;
        let said = match voice {
            Voice::Allow => serde_json::from_value(value).map(|AllowWords { because }| Self::Allow { because }),
            Voice::Deny => serde_json::from_value(value).map(|DenyWords { because, fix }| Self::Deny { because, fix }),
            Voice::Approval => serde_json::from_value(value)
                .map(|ApprovalWords { because, from, count }| Self::Approval { because, from, count }),
            Voice::Clamp => serde_json::from_value(value).map(|ClampWords { because, ttl_s, per_minute, budget }| {
                Self::Clamp { because, ttl_s, per_minute, budget }
            }),
        };
        match said.map_err(|e| e.to_string())? {
            Self::Clamp { ttl_s: None, per_minute: None, budget: None, .. } => {
                Err("clamps nothing: name `ttl_s`, `per_minute` or `budget`".to_owned())
            }
            said => Ok(said),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(voice: Voice, json: &str) -> Result<Said, String> {
        Said::read(voice, &Value::from_json_str(json).expect(json))
    }

    #[test]
    fn refuses_what_does_not_have_the_shape() {
        for (voice, json) in [
            (Voice::Allow, r#""yes""#),
            (Voice::Allow, r#"{}"#),
            (Voice::Allow, r#"{"because": ""}"#),
            (Voice::Allow, r#"{"because": "a", "fix": "b"}"#),
            (Voice::Allow, r#"{"because": "a\u001b[2J"}"#),
            (Voice::Deny, r#"{"because": "a", "fixx": "b"}"#),
            (Voice::Deny, r#"{"fix": "b"}"#),
            (Voice::Approval, r#"{"because": "a", "from": "security"}"#),
            (Voice::Approval, r#"{"because": "a", "from": "security", "count": 0}"#),
            (Voice::Approval, r#"{"because": "a", "from": "security", "count": 1.5}"#),
            (Voice::Approval, r#"{"because": "a", "from": "Se curity", "count": 1}"#),
            (Voice::Clamp, r#"{"because": "a"}"#),
            (Voice::Clamp, r#"{"because": "a", "ttl_s": 0}"#),
            (Voice::Clamp, r#"{"because": "a", "ttl_s": -5}"#),
            (Voice::Clamp, r#"{"because": "a", "ttl": 5}"#),
        ] {
            assert!(read(voice, json).is_err(), "{json}");
        }
    }

    #[test]
    fn reads_what_has_the_shape() {
        let said = read(Voice::Approval, r#"{"because": "a", "from": "security", "count": 2}"#).expect("the shape");
        assert!(matches!(said, Said::Approval { count, .. } if count.get() == 2));
        let said = read(Voice::Clamp, r#"{"because": "a", "ttl_s": 300}"#).expect("the shape");
        assert!(matches!(said, Said::Clamp { ttl_s: Some(s), per_minute: None, .. } if s.get() == 300));
    }
}
