//! The file tree in memory, and what the three tools do with it.

use crate::calls::{DELETE_FILE, READ_FILE, SEARCH_DOCS, path_in, query_in};
use crumb_token::Ask;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Where a search looks. Not below finance/: `docs:index` is the documents and nothing else.
const SEARCHED: &str = "docs/";

/// The most lines that a search finds.
const MATCHES_MAX: usize = 50;

const SAMPLE: &[(&str, &str)] = &[
    ("docs/readme.md", "# Acme\n\nAcme makes anvils.\nSee roadmap.md for what comes next.\n"),
    ("docs/roadmap.md", "# Roadmap\n\n- spring: lighter anvils\n- autumn: anvils in colours\n"),
    (
        "docs/release-notes.md",
        "# Release notes\n\n## 1.4.0\n\n- anvils no longer ring at night\n- the catalogue is sorted\n",
    ),
    ("finance/payroll.csv", "name,salary\nada,90000\nbob,85000\n"),
    ("finance/invoices.csv", "number,amount\n1,1200\n2,800\n"),
];

/// A file tree in memory. Cheap to clone; all clones are the same tree.
#[derive(Clone, Debug)]
pub struct Files(Arc<Mutex<BTreeMap<String, String>>>);

/// What a tool found or did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// Lines that hold the query: path and line.
    Found(Vec<(String, String)>),
    /// A file's path and content.
    Read(String, String),
    /// The path of the file that is gone.
    Deleted(String),
}

/// A call that is allowed, and about nothing that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no such file")]
pub(crate) struct NotFound;

impl Files {
    /// Makes the sample tree.
    pub fn sample() -> Self {
        let files = SAMPLE.iter().map(|(path, content)| ((*path).to_owned(), (*content).to_owned()));
        Self(Arc::new(Mutex::new(files.collect())))
    }

    /// Says whether there is a file at `path`.
    pub fn contains(&self, path: &str) -> bool {
        self.lock().contains_key(path)
    }

    /// Does what was asked and decided on.
    pub(crate) fn perform(&self, ask: &Ask) -> Result<Done, NotFound> {
        match ask.tool.as_str() {
            SEARCH_DOCS => query_in(ask).map(|query| self.search(query)).ok_or(NotFound),
            READ_FILE => path_in(ask).ok_or(NotFound).and_then(|path| self.read(path)),
            DELETE_FILE => path_in(ask).ok_or(NotFound).and_then(|path| self.delete(path)),
            _ => Err(NotFound),
        }
    }

    fn search(&self, query: &str) -> Done {
        let files = self.lock();
        let searched = files.iter().filter(|(path, _)| path.starts_with(SEARCHED));
        let lines = searched.flat_map(|(path, content)| content.lines().map(move |line| (path, line)));
        let found = lines.filter(|(_, line)| line.contains(query)).take(MATCHES_MAX);
        Done::Found(found.map(|(path, line)| (path.clone(), line.to_owned())).collect())
    }

    fn read(&self, path: &str) -> Result<Done, NotFound> {
        let content = self.lock().get(path).cloned().ok_or(NotFound)?;
        Ok(Done::Read(path.to_owned(), content))
    }

    fn delete(&self, path: &str) -> Result<Done, NotFound> {
        self.lock().remove(path).map(|_| Done::Deleted(path.to_owned())).ok_or(NotFound)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        // A panic while it was held leaves a whole tree behind: each change is one step.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crumb_token::{Args, Scalar};

    fn ask(tool: &str, operation: &str, resource: &str) -> Ask {
        let (tool, operation) = (tool.parse().expect("a tool"), operation.parse().expect("an operation"));
        Ask::new(tool, operation, resource.parse().expect("a resource"))
    }

    #[test]
    fn a_file_that_is_deleted_is_gone() {
        let files = Files::sample();
        let delete = ask(DELETE_FILE, "delete", "file:///docs/readme.md");
        assert_eq!(files.perform(&delete), Ok(Done::Deleted("docs/readme.md".into())));
        assert_eq!(files.perform(&delete), Err(NotFound));
        assert_eq!(files.perform(&ask(READ_FILE, "read", "file:///docs/readme.md")), Err(NotFound));
    }

    #[test]
    fn a_search_stays_below_docs() {
        let args = Args::try_new([("query".parse().expect("a name"), Scalar::text("a").expect("short"))]);
        let ask = Ask { args: args.expect("one"), ..ask(SEARCH_DOCS, "read", "docs:index") };
        let Ok(Done::Found(found)) = Files::sample().perform(&ask) else { panic!("a search finds") };
        assert!(!found.is_empty() && found.iter().all(|(path, _)| path.starts_with(SEARCHED)), "{found:?}");
    }
}
