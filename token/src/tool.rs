//! Tools and operations, by name.

use crate::bounded_text;

bounded_text! {
    /// The name of a tool, such as `read_file`. The characters are those MCP allows in a tool name.
    ///
    /// Source: [MCP 2025-11-25, tool names](https://modelcontextprotocol.io/specification/2025-11-25/server/tools#tool-names).
    ToolName, 128, |c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
}

bounded_text! {
    /// What a tool does to a resource, such as `read`, `write` or `delete`.
    Operation, 32, |c| c.is_ascii_lowercase() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_could_be_read_as_something_else() {
        for name in ["", "read file", "read\"file", "a/b", "t*", "tool\n", &"a".repeat(129)] {
            assert!(name.parse::<ToolName>().is_err(), "{name:?}");
        }
        for op in ["", "Read", "read-write", "r w", &"a".repeat(33)] {
            assert!(op.parse::<Operation>().is_err(), "{op:?}");
        }
    }
}
