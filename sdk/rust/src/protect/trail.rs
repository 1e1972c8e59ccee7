//! The record of one allowed call, which is completed however the call ends.

use super::in_flight::Room;
use crate::decisions::{Decision, Slot};
use crumb_token::Clock;
use std::{sync::Arc, time::Duration};

/// A call on its way through the tool. Dropped before its end, it says that nothing came of it.
pub(super) struct Trail {
    open: Option<(Slot, Box<Decision>)>,
    clock: Arc<dyn Clock>,
    began: Duration,
    _room: Room,
}

impl Trail {
    pub(super) fn begin(slot: Slot, decision: Box<Decision>, clock: Arc<dyn Clock>, room: Room) -> Self {
        let began = clock.now().ticks;
        Self { open: Some((slot, decision)), clock, began, _room: room }
    }

    /// Records that the tool answered with `status`.
    pub(super) fn end(mut self, status: u16) {
        self.close(status);
    }

    fn close(&mut self, status: u16) {
        if let Some((slot, mut decision)) = self.open.take() {
            decision.outcome_status = status;
            decision.duration = self.clock.now().ticks.saturating_sub(self.began);
            slot.fill(*decision);
        }
    }
}

impl Drop for Trail {
    fn drop(&mut self) {
        self.close(0);
    }
}
