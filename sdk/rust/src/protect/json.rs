//! A mapping for `POST /tools/{tool}` with the arguments as a JSON object.
//!
//! JSON readers differ: of a key that comes twice one takes the first value and one the last. So what could be read in two
//! ways is refused, and the tool is given the [`Ask`], not the text.

mod object;

pub use object::Object;

use super::mapping::{Mapping, Unmapped};
use bytes::Bytes;
use crumb_token::{Ask, Operation, Resource, ToolName};
use http::{HeaderValue, Method, header};
use std::{collections::BTreeMap, fmt};

/// Where tools are: a call is a POST to this and the tool's name.
const TOOLS: &str = "/tools/";

type Reader = Box<dyn Fn(&Object) -> Result<(Operation, Resource), Unmapped> + Send + Sync>;

/// Reads calls of the tools that were named, and no others.
#[derive(Default)]
pub struct JsonMapping {
    tools: BTreeMap<ToolName, Reader>,
}

impl JsonMapping {
    /// Knows no tool yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a tool, and what its arguments ask for.
    #[must_use]
    pub fn tool<F>(mut self, name: ToolName, read: F) -> Self
    where
        F: Fn(&Object) -> Result<(Operation, Resource), Unmapped> + Send + Sync + 'static,
    {
        self.tools.insert(name, Box::new(read));
        self
    }
}

impl Mapping for JsonMapping {
    fn ask(&self, head: &http::request::Parts, arguments: &Bytes) -> Result<Ask, Unmapped> {
        if head.method != Method::POST {
            return Err(Unmapped::new("a POST"));
        }
        let media = head.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
        if !matches!(media, Some(b"application/json" | b"application/json; charset=utf-8")) {
            return Err(Unmapped::new("content-type application/json"));
        }
        // The path is taken as it was sent. A tool name has no percent sign, so an escape is no second spelling.
        let name = head.uri.path().strip_prefix(TOOLS).and_then(|name| name.parse::<ToolName>().ok());
        let known = name.as_ref().and_then(|name| self.tools.get(name));
        let (Some(tool), Some(reader)) = (name, known) else {
            return Err(Unmapped::new("a known tool"));
        };
        let object = Object::parse(arguments)?;
        let (operation, resource) = reader(&object)?;
        Ok(Ask { args: object.scalars()?, ..Ask::new(tool, operation, resource) })
    }
}

impl fmt::Debug for JsonMapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.tools.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(method: &str, path: &str, media: &str, body: &'static str) -> Result<Ask, Unmapped> {
        let mapping = JsonMapping::new().tool("read_file".parse().expect("a name"), |args| {
            let resource = format!("file:///{}", args.text("path")?);
            let resource = resource.parse().map_err(|_| Unmapped::new("a path"))?;
            Ok(("read".parse().map_err(|_| Unmapped::new("an operation"))?, resource))
        });
        let request = http::Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, media);
        let (head, ()) = request.body(()).expect("a request").into_parts();
        mapping.ask(&head, &Bytes::from_static(body.as_bytes()))
    }

    #[test]
    fn reads_tool_resource_and_arguments() {
        let body = r#"{"path":"docs/a.md","lines":3}"#;
        let ask = ask("POST", "/tools/read_file", "application/json", body).expect("a call");
        assert_eq!(ask.to_string(), "read_file read file:///docs/a.md");
        assert_eq!(ask.args.iter().count(), 2);
    }

    #[test]
    fn refuses_other_methods_paths_and_media() {
        let body = r#"{"path":"docs/a.md"}"#;
        for (method, path, media) in [
            ("GET", "/tools/read_file", "application/json"),
            ("POST", "/tools/read_file/", "application/json"),
            ("POST", "//tools/read_file", "application/json"),
            ("POST", "/tools/read%5Ffile", "application/json"),
            ("POST", "/tools/../tools/read_file", "application/json"),
            ("POST", "/tools/write_file", "application/json"),
            ("POST", "/tools/", "application/json"),
            ("POST", "/tools/read_file", "text/plain"),
        ] {
            assert!(ask(method, path, media, body).is_err(), "{method} {path} {media}");
        }
    }

    #[test]
    fn refuses_paths_with_two_spellings() {
        for body in [
            r#"{"path":"../etc/passwd"}"#,
            r#"{"path":"docs/%2e%2e/a"}"#,
            r#"{"path":"docs//a"}"#,
            r#"{"path":"docs/\u0000a"}"#,
            r#"{"path":""}{"path":"a"}"#,
        ] {
            assert!(ask("POST", "/tools/read_file", "application/json", body).is_err(), "{body}");
        }
    }
}
