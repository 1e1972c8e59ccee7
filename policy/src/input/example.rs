//! An input with everything in it: what `crumb policy` shows as a pattern, and what rules' fields are checked against.

use super::Input;

/// Every field is there, no list is empty, nothing is null.
const EXAMPLE: &str = include_str!("example.json");

impl Input {
    /// Returns an input in which every field has a value.
    pub fn example() -> Self {
        serde_json::from_str(EXAMPLE).expect("a test reads it")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn has_a_hole(value: &Value) -> bool {
        match value {
            Value::Null => true,
            Value::Array(items) => items.is_empty() || items.iter().any(has_a_hole),
            Value::Object(fields) => fields.is_empty() || fields.values().any(has_a_hole),
            _ => false,
        }
    }

    #[test]
    fn the_example_is_read_and_has_no_holes() {
        assert!(!has_a_hole(&Input::example().to_json()));
        let written: Value = serde_json::from_str(EXAMPLE).expect("JSON");
        assert_eq!(Input::example().to_json(), written);
    }

    #[test]
    fn the_input_that_is_shipped_with_the_bundle_is_the_example() {
        assert_eq!(include_str!("../../../deploy/policy/input.json"), EXAMPLE);
    }

    #[test]
    fn refuses_fields_it_does_not_know_and_words_out_of_shape() {
        let written: Value = serde_json::from_str(EXAMPLE).expect("JSON");
        for (pointer, bad) in [
            ("/agent/name", "Research Bot"),
            ("/session/intent", "read\u{1b}[2J"),
            ("/origin/assurance", "certain"),
            ("/ask/audience", "files"),
            ("/ask/grants/0/risk", "none"),
            ("/ask/grants/0/resource", "file:///docs/../x"),
            ("/ask/args_digest", "abcd"),
            ("/actors/0", "bob"),
        ] {
            let mut input = written.clone();
            *input.pointer_mut(pointer).expect(pointer) = bad.into();
            assert!(serde_json::from_value::<Input>(input).is_err(), "{pointer}");
        }
        let mut input = written;
        input["agent"]["admin"] = true.into();
        assert!(serde_json::from_value::<Input>(input).is_err());
    }
}
