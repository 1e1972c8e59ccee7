//! Events that wait to be told, and what was told already: the store's side of telling others.

use super::Pending;
use crate::notify::{Event, Kind, Moment};
use std::collections::BTreeMap;

/// Somebody who is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// The name that its events wait under.
    pub name: String,
    /// Which kinds it wants.
    pub kinds: Vec<Kind>,
    /// How many may wait for it; past that the oldest is dropped.
    pub waiting_max: u32,
}

/// An event as it waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Its place in the order.
    pub number: u64,
    /// The event's number.
    pub id: String,
    /// What happened.
    pub kind: String,
    /// When.
    pub at: Moment,
    /// All of it, as JSON.
    pub body: String,
}

/// What waits for somebody.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Waiting {
    /// The oldest event.
    pub letter: Option<Letter>,
    /// How many events were dropped, ever.
    pub dropped: u64,
    /// How many of these it was told of.
    pub dropped_told: u64,
}

/// What became of what waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// It has the event of this number.
    Has(u64),
    /// It will never have the event of this number.
    GivenUp(u64),
    /// It was told that so many were dropped, ever.
    ToldOfDropped(u64),
}

/// Something that is so, or is so no more; told when it begins.
#[derive(Debug, Clone)]
pub enum Telling {
    /// It is so: the event is told, unless it was.
    Is(String, Box<Event>),
    /// It was so before anybody could be told.
    Was(String),
    /// It is so no more.
    IsNot(String),
}

/// Where events wait.
pub trait Outbox {
    /// Says who is told from now on. Forgets what waits for others; returns how many events that were.
    fn set_recipients(&self, recipients: Vec<Recipient>) -> Pending<'_, u64>;

    /// Returns what waits for somebody.
    fn waiting(&self, recipient: String) -> Pending<'_, Waiting>;

    /// Takes note of what became of it.
    fn settle(&self, recipient: String, settled: Settled) -> Pending<'_, ()>;

    /// Returns what is so, as far as it was told, each with when.
    fn told(&self) -> Pending<'_, BTreeMap<String, Moment>>;

    /// Tells what is so and was not told.
    fn tell(&self, tellings: Vec<Telling>, now: Moment) -> Pending<'_, ()>;

    /// Tells of the requests for approval that have ended undecided or unused before `now`, each once.
    fn tell_expired(&self, now: Moment) -> Pending<'_, ()>;
}
