//! The intent of a session: the sentence that people read. The envelope that machines read is a [`Grants`](crate::Grants).

use crate::{bounded_text, text::is_printable};
use sha2::{Digest, Sha256};

bounded_text! {
    /// What a session says it will do, in one sentence, such as "summarise the release notes for Bob".
    Intent, 500, is_printable
}

impl Intent {
    /// Returns SHA-256 of the sentence: what the token carries, so that the words cannot be changed afterwards.
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.as_str().as_bytes()).into()
    }
}
