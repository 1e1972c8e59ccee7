//! What a new policy decides differently, asked of inputs instead of read out of texts.

use crate::{
    input::Input,
    policy::{Indeterminate, Policy},
    verdict::Verdict,
};
use serde::{Serialize, Serializer, ser::SerializeMap};

/// One input that two policies do not decide alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Which input, counted from 0.
    pub index: usize,
    /// What the old policy says.
    #[serde(serialize_with = "as_words")]
    pub old: Result<Verdict, Indeterminate>,
    /// What the new policy says.
    #[serde(serialize_with = "as_words")]
    pub new: Result<Verdict, Indeterminate>,
}

/// Decides every input with both policies, and returns those where ruling, approvals or clamps differ. Reasons may differ:
/// they are words.
pub fn diff<'a>(old: &Policy, new: &Policy, inputs: impl IntoIterator<Item = &'a Input>) -> Vec<Difference> {
    let both = inputs.into_iter().enumerate().map(|(index, input)| (index, old.decide(input), new.decide(input)));
    both.filter(|(_, old, new)| !alike(old, new)).map(|(index, old, new)| Difference { index, old, new }).collect()
}

fn alike(old: &Result<Verdict, Indeterminate>, new: &Result<Verdict, Indeterminate>) -> bool {
    match (old, new) {
        (Ok(old), Ok(new)) => {
            let clamps = |v: &Verdict| (v.clamp.ttl_s, v.clamp.per_minute, v.clamp.budget);
            old.ruling == new.ruling && clamps(old) == clamps(new)
        }
        (Err(_), Err(_)) => true,
        _ => false,
    }
}

/// `{"verdict": ...}`, or `{"indeterminate": "why"}`.
fn as_words<S: Serializer>(told: &Result<Verdict, Indeterminate>, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(1))?;
    match told {
        Ok(verdict) => map.serialize_entry("verdict", verdict)?,
        Err(why) => map.serialize_entry("indeterminate", &why.to_string())?,
    }
    map.end()
}
