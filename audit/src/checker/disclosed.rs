//! Whether each commitment of an entry is accounted for: disclosed and right, or said to be erased.
//!
//! Both lists stand in the order of the record. A commitment that neither names is a fault: what is left out has to be said.

use super::shown;
use crate::{
    Problem,
    commitment::{Commitment, InvalidCommitments},
};

/// A disclosure as it came.
pub(crate) struct Told<'a> {
    pub(crate) place: &'a str,
    /// `None` when it is no salt.
    pub(crate) salt: Option<[u8; 32]>,
    pub(crate) value: &'a str,
}

/// Holds what is told beside an entry to what its body is committed to.
pub(crate) fn account<'a>(
    body: &str,
    disclosed: impl Iterator<Item = Told<'a>>,
    erased: impl Iterator<Item = &'a str>,
) -> Result<Vec<Problem>, InvalidCommitments> {
    let (mut disclosed, mut erased) = (disclosed.peekable(), erased.peekable());
    let mut problems = Vec::new();
    for commitment in Commitment::all_in(body)? {
        let place = commitment.place();
        if let Some(told) = disclosed.next_if(|told| told.place == place) {
            if !told.salt.is_some_and(|salt| commitment.opens(&salt, told.value)) {
                problems.push(Problem::WrongDisclosure(shown(place)));
            }
        } else if erased.next_if(|at| *at == place).is_some() {
            problems.push(Problem::Erased(shown(place)));
        } else {
            problems.push(Problem::Undisclosed(shown(place)));
        }
    }
    let stray = disclosed.map(|told| told.place).chain(erased);
    problems.extend(stray.map(|place| Problem::StrayDisclosure(shown(place))));
    Ok(problems)
}
