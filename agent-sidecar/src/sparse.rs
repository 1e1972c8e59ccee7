//! Log lines that a stranger can cause: the first, the second, the fourth, the eighth. Nobody fills the log at will.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts occurrences, and says which are worth a line.
#[derive(Debug, Default)]
pub(crate) struct Sparse(AtomicU64);

impl Sparse {
    /// Counts one more; returns the count when it should be logged.
    pub(crate) fn count(&self) -> Option<u64> {
        let count = self.0.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        count.is_power_of_two().then_some(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_occurrences_are_ten_lines() {
        let sparse = Sparse::default();
        let lines: Vec<_> = (0..1000).filter_map(|_| sparse.count()).collect();
        assert_eq!(lines, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]);
    }
}
