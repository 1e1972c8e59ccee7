//! One message of the feed, from its bytes. All of it is read or none: a revocation that is skipped is a token that lives.

use crumb_proto::wire;
use crumb_token::{KeyId, Timestamp};
use crumb_verifier::feed::{Key, Message, Revocation};
use prost::Message as _;

/// A message that cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unreadable {
    /// Not protobuf.
    #[error("the bytes are no feed message")]
    Bytes(#[source] prost::DecodeError),
    /// A public key that has not 32 bytes.
    #[error("signing key {0} has not 32 bytes")]
    Key(KeyId),
    /// A revocation of nothing, of something that is not well-formed, or of a kind that this version does not know.
    #[error("revocation {0} names nothing that is known here")]
    Revocation(u64),
}

/// Reads a message from the bytes that are signed.
///
/// # Errors
///
/// [`Unreadable`], by the first part that is.
pub fn decode(bytes: &[u8]) -> Result<Message, Unreadable> {
    let message = wire::FeedMessage::decode(bytes).map_err(Unreadable::Bytes)?;
    Ok(Message {
        epoch: message.epoch,
        sequence: message.sequence,
        time_unix_ms: message.time_unix_ms,
        full: message.full,
        keys: message.keys.iter().map(key).collect::<Result<_, _>>()?,
        revocations: message.revocations.iter().map(revocation).collect::<Result<_, _>>()?,
    })
}

fn key(key: &wire::SigningKey) -> Result<Key, Unreadable> {
    let id = KeyId(key.key_id);
    let public = key.public_key[..].try_into().map_err(|_| Unreadable::Key(id))?;
    let (not_before, not_after) = (Timestamp::from_unix_s(key.not_before), Timestamp::from_unix_s(key.not_after));
    Ok(Key { id, public, not_before, not_after })
}

fn revocation(revocation: &wire::Revocation) -> Result<Revocation, Unreadable> {
    let target = crumb_proto::feed::target(revocation).ok_or(Unreadable::Revocation(revocation.sequence))?;
    Ok(Revocation {
        sequence: revocation.sequence,
        target,
        issued_until: crumb_proto::feed::issued_until(revocation),
        until: Timestamp::from_unix_s(revocation.until),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::revocation::What;

    fn message() -> wire::FeedMessage {
        let what = Some(What::Agent("research-bot".into()));
        wire::FeedMessage {
            keys: vec![wire::SigningKey { key_id: 7, public_key: vec![1; 32], not_before: 1, not_after: 2 }],
            revocations: vec![wire::Revocation { sequence: 9, what, until: 3, issued_until: 0 }],
            ..Default::default()
        }
    }

    #[test]
    fn reads_a_whole_message() {
        let read = decode(&message().encode_to_vec()).expect("well-formed");
        assert_eq!((read.keys[0].id, read.revocations[0].sequence), (KeyId(7), 9));
    }

    #[test]
    fn one_part_that_is_wrong_refuses_the_message() {
        let mut short_key = message();
        short_key.keys[0].public_key.pop();
        assert!(matches!(decode(&short_key.encode_to_vec()), Err(Unreadable::Key(KeyId(7)))));

        let mut nothing = message();
        nothing.revocations[0].what = None;
        assert!(matches!(decode(&nothing.encode_to_vec()), Err(Unreadable::Revocation(9))));

        let mut odd = message();
        odd.revocations[0].what = Some(What::TokenId("tok_1".into()));
        assert!(matches!(decode(&odd.encode_to_vec()), Err(Unreadable::Revocation(9))));

        assert!(matches!(decode(&[0xff]), Err(Unreadable::Bytes(_))));
    }
}
