//! How the words of the vocabulary are written in JSON: as the texts they are parsed from.

use serde::{Deserialize, Deserializer, Serializer, de::Error};
use std::{fmt::Display, str::FromStr};

pub(super) fn serialize<T: Display, S: Serializer>(word: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(word)
}

pub(super) fn deserialize<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
}

/// A word that may be missing: `null`.
pub(super) mod option {
    use super::*;

    pub(crate) fn serialize<T: Display, S: Serializer>(word: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
        match word {
            Some(word) => serializer.collect_str(word),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<T>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|t| t.parse().map_err(D::Error::custom)).transpose()
    }
}

/// Several words.
pub(super) mod list {
    use super::*;

    pub(crate) fn serialize<T: Display, S: Serializer>(words: &[T], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(words.iter().map(ToString::to_string))
    }

    pub(crate) fn deserialize<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<T>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        texts.iter().map(|t| t.parse().map_err(D::Error::custom)).collect()
    }
}

/// `asserted` or `verified`.
pub(super) mod assurance {
    use super::*;
    use crumb_token::origin::Assurance;

    pub(crate) fn serialize<S: Serializer>(word: &Assurance, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(word.as_str())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Assurance, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "asserted" => Ok(Assurance::Asserted),
            "verified" => Ok(Assurance::Verified),
            _ => Err(D::Error::custom("is neither asserted nor verified")),
        }
    }
}

/// SHA-256 in hex, or `null`.
pub(super) mod digest {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(digest: &Option<[u8; 32]>, serializer: S) -> Result<S::Ok, S::Error> {
        match digest {
            Some(digest) => serializer.serialize_str(&hex::encode(digest)),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<[u8; 32]>, D::Error> {
        let Some(text) = Option::<String>::deserialize(deserializer)? else {
            return Ok(None);
        };
        let mut digest = [0; 32];
        hex::decode_to_slice(text, &mut digest).map_err(D::Error::custom)?;
        Ok(Some(digest))
    }
}

/// An origin as its three words: `kind`, `name`, `assurance`.
pub(super) mod origin {
    use super::*;
    use crumb_token::Origin;
    use serde::Serialize;

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Words {
        kind: String,
        name: String,
        assurance: String,
    }

    pub(crate) fn serialize<S: Serializer>(origin: &Origin, serializer: S) -> Result<S::Ok, S::Error> {
        let (kind, assurance) = (origin.kind().to_owned(), origin.assurance().as_str().to_owned());
        Words { kind, name: origin.name(), assurance }.serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Origin, D::Error> {
        let words = Words::deserialize(deserializer)?;
        Origin::from_words(&words.kind, &words.name, &words.assurance)
            .ok_or_else(|| D::Error::custom("is no origin: kind, name and assurance do not fit together"))
    }
}
