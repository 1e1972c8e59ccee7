//! The secret that the sidecar exists to keep: a task token's bytes, in memory only.

use std::fmt;
use zeroize::Zeroizing;

/// The bytes of a task token. They never leave the sidecar; only what is narrowed from them does.
///
/// `Debug` prints the length, there is no `Display`, and the bytes are wiped on drop.
pub(crate) struct TaskToken(Zeroizing<Vec<u8>>);

impl TaskToken {
    /// Takes the bytes over.
    pub(crate) fn new(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }

    /// Returns the secret itself. The one caller is the narrowing.
    pub(crate) fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for TaskToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskToken({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_does_not_print_the_secret() {
        let token = TaskToken::new(Zeroizing::new(b"canary".to_vec()));
        assert_eq!(format!("{token:?}"), "TaskToken(6 bytes)");
    }
}
