//! What a development stack is started with beyond the usual: more manifests, more lines of the broker's configuration, and
//! where the second tool server says that it runs.

use crumb_token::Environment;

/// What differs from the usual stack. The default differs in nothing.
#[derive(Clone, Debug, Default)]
pub struct Setting {
    /// More files of the registry: name and text.
    pub manifests: Vec<(String, String)>,
    /// More lines of the broker's configuration.
    pub broker: String,
    /// The environment that the tool server `archive` is for; any when nobody says.
    pub archive_in: Option<Environment>,
}
