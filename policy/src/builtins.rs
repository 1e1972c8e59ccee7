//! Which of the engine's functions a policy may call: those that are pure, and whose cost their arguments bound.
//!
//! A list of what is allowed, so that a new version of the engine adds nothing by itself. Refused besides the impure ones
//! (`http.send`, `time.now_ns`, `rand.intn`, `opa.runtime`, `trace`, `print`): those that make much out of little
//! (`numbers.range`, `bits.lsh`) and those that read numbers or documents out of text (`to_number`, `units.parse`,
//! `json.unmarshal`), where a few bytes such as `1e999999999` stand for gigabytes.

/// What may be called.
pub(crate) const PURE: &[&str] = &[
    "abs",
    "array.concat",
    "array.reverse",
    "array.slice",
    "bits.and",
    "bits.negate",
    "bits.or",
    "bits.xor",
    "ceil",
    "concat",
    "contains",
    "count",
    "endswith",
    "floor",
    "format_int",
    "indexof",
    "indexof_n",
    "intersection",
    "is_array",
    "is_boolean",
    "is_null",
    "is_number",
    "is_object",
    "is_set",
    "is_string",
    "json.filter",
    "json.marshal",
    "json.remove",
    "lower",
    "max",
    "min",
    "object.filter",
    "object.get",
    "object.keys",
    "object.remove",
    "object.subset",
    "object.union",
    "object.union_n",
    "product",
    "replace",
    "round",
    "sort",
    "split",
    "sprintf",
    "startswith",
    "strings.any_prefix_match",
    "strings.any_suffix_match",
    "strings.count",
    "strings.reverse",
    "substring",
    "sum",
    "trim",
    "trim_left",
    "trim_prefix",
    "trim_right",
    "trim_space",
    "trim_suffix",
    "type_name",
    "union",
    "upper",
];

/// Says whether a policy may call the engine's function of this name.
pub(crate) fn is_pure(name: &str) -> bool {
    PURE.binary_search(&name).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use regorus::unstable::BUILTINS;

    #[test]
    fn the_list_is_sorted_and_the_engine_has_all_of_it() {
        assert!(PURE.is_sorted());
        for name in PURE {
            assert!(BUILTINS.contains_key(name), "{name}");
        }
    }

    #[test]
    fn what_the_engine_has_besides_is_known_here() {
        let refused = [
            "__builtin_sets.intersection",
            "__builtin_sets.union",
            "bits.lsh",
            "bits.rsh",
            "json.is_valid",
            "json.marshal_with_options",
            "json.unmarshal",
            "numbers.range",
            "numbers.range_step",
            "rand.intn",
            "strings.replace_n",
            "to_number",
            "trace",
            "units.parse",
            "units.parse_bytes",
        ];
        let mut other: Vec<_> = BUILTINS.keys().filter(|name| !is_pure(name)).copied().collect();
        other.retain(|name| !refused.contains(name));
        other.retain(|name| !OTHER_FEATURES.iter().any(|prefix| name.starts_with(prefix)));
        assert!(other.is_empty(), "{other:?}");
    }

    /// What another crate of the build may switch on in the engine.
    const OTHER_FEATURES: &[&str] = &[
        "base64",
        "hex.",
        "urlquery.",
        "yaml.",
        "glob.",
        "graph.",
        "walk",
        "http.",
        "net.",
        "opa.",
        "regex.",
        "semver.",
        "time.",
        "uuid.",
        "json.",
    ];
}
