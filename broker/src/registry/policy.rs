//! A policy of the registry: texts that a person answers for, checked and ready to decide.

use super::{ManifestName, Sha256Digest};
use crumb_policy::Bundle;
use crumb_token::Owner;
use std::{collections::BTreeMap, sync::Arc};

/// A policy in force.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The registered name.
    pub name: ManifestName,
    /// The person who answers for it.
    pub owner: Owner,
    /// What decides.
    pub compiled: Arc<crumb_policy::Policy>,
}

/// Makes a policy of texts: the one that is in force when it is of the same texts, since its tests ran already.
///
/// # Errors
///
/// Every reason why not, with file and line of the policy.
pub(super) fn compile(
    files: &BTreeMap<String, String>,
    digest: Option<Sha256Digest>,
    in_force: Option<&Policy>,
) -> Result<Arc<crumb_policy::Policy>, Vec<String>> {
    let told = |defects: Vec<crumb_policy::Defect>| {
        let line = |d: crumb_policy::Defect| match &*d.file {
            "" => d.reason,
            file => format!("{file}:{}: {}", d.line, d.reason),
        };
        defects.into_iter().map(line).collect::<Vec<_>>()
    };
    let bundle = Bundle::try_new(files.iter().map(|(name, text)| (name.clone(), text.clone()))).map_err(told)?;
    let version = bundle.version();
    if digest.is_some_and(|digest| digest.to_string() != version) {
        return Err(vec![format!("the digest is of other files: these have {version}")]);
    }
    match in_force.filter(|policy| policy.compiled.version() == version) {
        Some(policy) => Ok(Arc::clone(&policy.compiled)),
        None => bundle.check().map(Arc::new).map_err(told),
    }
}
