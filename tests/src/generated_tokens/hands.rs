//! The hands that a generated token goes through: who may act, and the steps that holders take with it.
//!
//! Apart from the rest of the generator, because what a step can be depends on those before: steps are drawn as wishes,
//! and those that the profile does not allow are left out.

use super::PEERS;
use crate::vectors::player::word;
use biscuit_auth::{KeyPair, PrivateKey, builder::Algorithm};
use crumb_token::{
    Caveat, Claims, SpiffeId,
    attenuate::{Parent, attenuate},
    handover::{Delegate, DelegationKey, MayAct},
};
use proptest::{
    collection, option,
    prelude::*,
    sample::{Index, subsequence},
};

/// What a holder does with a token.
#[derive(Clone, Debug)]
pub enum Step {
    /// It narrows it.
    Narrow(Vec<Caveat>),
    /// It hands it on, narrowed.
    Hop {
        /// To whom.
        to: SpiffeId,
        /// Whether it may go on from there.
        open: bool,
        /// How it is narrowed on the way.
        caveats: Vec<Caveat>,
    },
}

impl Step {
    /// Takes the step with `token`, which is in the hands of `holder`.
    ///
    /// # Panics
    ///
    /// When the profile does not allow it.
    pub fn take(&self, token: &[u8], holder: &SpiffeId) -> Vec<u8> {
        let taken = match self {
            Self::Narrow(caveats) => attenuate(token, caveats),
            Self::Hop { to, open, caveats } => {
                let onward = open.then(|| DelegationKey::of(&key_of(to)).expect("Ed25519"));
                Parent::read(token).expect("a token").hand_over(to, onward, caveats, &key_of(holder))
            }
        };
        taken.expect("a step that the profile allows").to_vec()
    }

    /// Returns to whom it hands the token.
    pub fn to(&self) -> Option<&SpiffeId> {
        match self {
            Self::Narrow(_) => None,
            Self::Hop { to, .. } => Some(to),
        }
    }

    /// Returns how it narrows.
    pub fn caveats(&self) -> &[Caveat] {
        match self {
            Self::Narrow(caveats) | Self::Hop { caveats, .. } => caveats,
        }
    }

    /// Takes out what binds to a peer.
    pub fn unbound(self) -> Self {
        let unbound = |caveats: Vec<Caveat>| -> Vec<Caveat> {
            caveats
                .into_iter()
                .map(|c| if let Caveat::Holder(_) = c { Caveat::Resource(word("*")) } else { c })
                .collect()
        };
        match self {
            Self::Narrow(caveats) => Self::Narrow(unbound(caveats)),
            Self::Hop { to, open, caveats } => Self::Hop { to, open, caveats: unbound(caveats) },
        }
    }
}

/// The seed of the key with which a workload hands tokens on: the same for all of them.
///
/// # Panics
///
/// For a workload that no generated token names.
pub fn seed_of(holder: &SpiffeId) -> [u8; 32] {
    let place = PEERS.iter().position(|peer| *peer == holder.as_str()).expect("a peer");
    [0x60 + u8::try_from(place).expect("few"); 32]
}

fn key_of(holder: &SpiffeId) -> KeyPair {
    KeyPair::from(&PrivateKey::from_bytes(&seed_of(holder), Algorithm::Ed25519).expect("32 bytes"))
}

/// Agents whom a token may be handed to; two of them act in some tokens anyway.
const AGENTS: [(&str, &str); 4] =
    [("planner", "2.0"), ("summariser", "0.3"), ("research-bot", "1.4.0"), ("research-bot", "1.5.0")];

/// Perhaps some workloads, each with an agent.
pub(super) fn may_act() -> impl Strategy<Value = Option<Vec<Delegate>>> {
    let named = (subsequence(PEERS.to_vec(), 1..=PEERS.len()).prop_shuffle(), any::<[Index; 4]>());
    let named = named.prop_map(|(holders, agents)| {
        let delegate = |(holder, index): (&str, &Index)| {
            let (agent, version) = *index.get(&AGENTS);
            Delegate { holder: word(holder), agent: word(agent), version: word(version) }
        };
        holders.into_iter().zip(&agents).map(delegate).collect()
    });
    option::weighted(0.8, named)
}

/// Names those who are not `holder`, when there are any.
pub(super) fn among_others(holder: &SpiffeId, named: Option<Vec<Delegate>>) -> Option<MayAct> {
    let delegates: Vec<_> = named?.into_iter().filter(|delegate| delegate.holder != *holder).collect();
    let key = DelegationKey::of(&key_of(holder)).expect("Ed25519");
    (!delegates.is_empty()).then_some(MayAct { key, delegates })
}

/// A wish: caveats, and perhaps to hand the token on, to go on from there or not.
pub(super) type Draw = (Vec<Caveat>, Option<(Index, bool)>);

/// Up to `most` wishes; now and then only to hand the token on, for chance seldom does that twice.
pub(super) fn draws(caveats: impl Strategy<Value = Vec<Caveat>> + Clone, most: u8) -> impl Strategy<Value = Vec<Draw>> {
    let most = usize::from(most);
    let hop = option::weighted(0.5, (any::<Index>(), prop::bool::weighted(0.8)));
    let onward = any::<Index>().prop_map(|to| Some((to, true)));
    prop_oneof![
        3 => collection::vec((caveats.clone(), hop), 0..=most),
        1 => collection::vec((caveats, onward), most.min(2)..=most.min(3)),
    ]
}

/// Takes the wishes for steps, as far as the token may be handed on; who may present it at the end is who holds it then.
pub(super) fn steps(claims: &Claims, draws: Vec<Draw>) -> Vec<Step> {
    let mut left: Vec<&SpiffeId> = claims.may_act.iter().flat_map(|m| &m.delegates).map(|d| &d.holder).collect();
    let mut open = claims.may_act.is_some();
    let mut steps = Vec::new();
    for (mut caveats, hop) in draws {
        let Some((to, goes_on)) = hop.filter(|_| open && !left.is_empty()) else {
            steps.push(Step::Narrow(caveats));
            continue;
        };
        let to = left.remove(to.index(left.len())).clone();
        // Before the first hop is no other block.
        if steps.iter().all(|step: &Step| step.to().is_none()) {
            steps.clear();
        }
        // Most go without any caveat: of several with some, hardly one would be allowed.
        caveats.truncate(caveats.len().saturating_sub(2));
        open = goes_on;
        steps.push(Step::Hop { to, open, caveats });
    }
    let last = steps.iter().rev().find_map(Step::to).unwrap_or(&claims.holder).clone();
    for step in &mut steps {
        let (Step::Narrow(caveats) | Step::Hop { caveats, .. }) = step;
        // Bound to the first holder, most of them would be good for nobody.
        for caveat in caveats.iter_mut().filter(|caveat| **caveat == Caveat::Holder(claims.holder.clone())) {
            *caveat = Caveat::Holder(last.clone());
        }
    }
    steps
}
