//! What each call asks for: the one place where requests become asks, for both dialects.

use crate::wire;
use crumb_sdk::protect::{GrpcMapping, JsonMapping, Object, Unmapped};
use crumb_token::{Args, Ask, Operation, Resource, Scalar, ToolName};

/// Finds lines below docs/.
pub(crate) const SEARCH_DOCS: &str = "search_docs";
/// Reads one file.
pub(crate) const READ_FILE: &str = "read_file";
/// Deletes one file.
pub(crate) const DELETE_FILE: &str = "delete_file";

/// What a search reads.
const INDEX: &str = "docs:index";

/// The longest query, in bytes; short enough for a caveat to speak about it.
const QUERY_LEN_MAX: usize = 256;

/// The scheme of the files.
const FILE: &str = "file:///";

/// Reads the HTTP calls.
pub(crate) fn http() -> JsonMapping {
    JsonMapping::new()
        .tool(tool(SEARCH_DOCS), |args| {
            args.only(&["query"])?;
            query(args.text("query")?)?;
            Ok((read(), index()))
        })
        .tool(tool(READ_FILE), |args| Ok((read(), path_of(args)?)))
        .tool(tool(DELETE_FILE), |args| Ok((delete(), path_of(args)?)))
}

/// Reads the gRPC calls. The arguments have the names that they have in JSON, so one caveat holds for both.
pub(crate) fn grpc() -> GrpcMapping {
    GrpcMapping::new()
        .unary("/crumb.sample.v1.Files/Search", |m: wire::SearchRequest| {
            query(&m.query)?;
            with_arg(Ask::new(tool(SEARCH_DOCS), read(), index()), "query", &m.query)
        })
        .unary("/crumb.sample.v1.Files/Read", |m: wire::ReadRequest| {
            with_arg(Ask::new(tool(READ_FILE), read(), file(&m.path)?), "path", &m.path)
        })
        .unary("/crumb.sample.v1.Files/Delete", |m: wire::DeleteRequest| {
            with_arg(Ask::new(tool(DELETE_FILE), delete(), file(&m.path)?), "path", &m.path)
        })
}

/// Returns the path of a file that was asked for.
pub(crate) fn path_in(ask: &Ask) -> Option<&str> {
    ask.resource.as_str().strip_prefix(FILE)
}

/// Returns the query that was asked for.
pub(crate) fn query_in(ask: &Ask) -> Option<&str> {
    match ask.args.get("query")? {
        Scalar::Text(text) => Some(text),
        Scalar::Int(_) | Scalar::Bool(_) => None,
    }
}

fn path_of(args: &Object) -> Result<Resource, Unmapped> {
    args.only(&["path"])?;
    file(args.text("path")?)
}

/// Names a file. A path with dot segments, escapes, a leading slash or odd characters makes no resource.
fn file(path: &str) -> Result<Resource, Unmapped> {
    format!("{FILE}{path}").parse().map_err(|_| Unmapped::new("a plain relative path"))
}

fn query(text: &str) -> Result<(), Unmapped> {
    let fits = (1..=QUERY_LEN_MAX).contains(&text.len());
    if fits { Ok(()) } else { Err(Unmapped::new(format!("a query of 1 to {QUERY_LEN_MAX} bytes"))) }
}

fn with_arg(ask: Ask, name: &str, value: &str) -> Result<Ask, Unmapped> {
    let args = name.parse().ok().zip(Scalar::text(value).ok());
    let args = Args::try_new(args).map_err(|_| Unmapped::new("few arguments"))?;
    Ok(Ask { args, ..ask })
}

fn tool(name: &str) -> ToolName {
    name.parse().expect("a literal tool name")
}

fn read() -> Operation {
    "read".parse().expect("a literal operation")
}

fn delete() -> Operation {
    "delete".parse().expect("a literal operation")
}

fn index() -> Resource {
    INDEX.parse().expect("a literal resource")
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use crumb_sdk::protect::Mapping;

    fn over_http(tool: &str, body: &str) -> Option<Ask> {
        let request = ::http::Request::post(format!("/tools/{tool}")).header("content-type", "application/json");
        let (head, ()) = request.body(()).expect("a request").into_parts();
        http().ask(&head, &Bytes::copy_from_slice(body.as_bytes())).ok()
    }

    fn over_grpc(method: &str, message: &impl prost::Message) -> Option<Ask> {
        let request = ::http::Request::post(format!("/crumb.sample.v1.Files/{method}"));
        let (head, ()) = request.body(()).expect("a request").into_parts();
        grpc().ask(&head, &message.encode_to_vec().into()).ok()
    }

    #[test]
    fn both_dialects_ask_for_the_same() {
        let path = || "docs/readme.md".to_owned();
        let by_http = over_http(READ_FILE, r#"{"path":"docs/readme.md"}"#);
        assert!(by_http.is_some());
        assert_eq!(by_http, over_grpc("Read", &wire::ReadRequest { path: path() }));
        let by_http = over_http(DELETE_FILE, r#"{"path":"docs/readme.md"}"#);
        assert_eq!(by_http, over_grpc("Delete", &wire::DeleteRequest { path: path() }));
        let by_http = over_http(SEARCH_DOCS, r#"{"query":"plan"}"#);
        assert_eq!(by_http, over_grpc("Search", &wire::SearchRequest { query: "plan".into() }));
        assert_eq!(by_http.as_ref().and_then(query_in), Some("plan"));
    }

    #[test]
    fn refuses_paths_that_could_be_read_in_two_ways() {
        for path in
            ["../etc/passwd", "docs/../finance/payroll.csv", "/etc/passwd", "docs/%2e%2e/x", "a\\b", "docs//x", "x y"]
        {
            assert_eq!(over_grpc("Read", &wire::ReadRequest { path: path.into() }), None, "{path}");
            assert_eq!(over_http(READ_FILE, &serde_json::json!({ "path": path }).to_string()), None, "{path}");
        }
    }

    #[test]
    fn refuses_unknown_arguments_and_methods() {
        assert_eq!(over_http(READ_FILE, r#"{"path":"docs/readme.md","as":"root"}"#), None);
        assert_eq!(over_http(READ_FILE, r#"{"path":7}"#), None);
        assert_eq!(over_grpc("Write", &wire::ReadRequest { path: "docs/readme.md".into() }), None);
    }
}
