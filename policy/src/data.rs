//! The data of a bundle: `data.json` and `data.yaml`, each under the folders it stands in, as in OPA.

use crate::defect::Defect;
use serde_json::{Map, Value};
use std::sync::Arc;

/// Which file holds data.
pub(crate) fn is_data(file: &str) -> bool {
    matches!(file.rsplit('/').next(), Some("data.json" | "data.yaml"))
}

/// Reads one file: an object, put under the names of its folders.
pub(crate) fn read(file: &Arc<str>, text: &str) -> Result<Value, Defect> {
    let parsed: Result<Value, (u32, String)> = if file.ends_with(".json") {
        serde_json::from_str(text).map_err(|e| (u32::try_from(e.line()).unwrap_or_default(), e.to_string()))
    } else {
        serde_yaml_ng::from_str(text).map_err(|e| {
            let line = e.location().and_then(|l| u32::try_from(l.line()).ok()).unwrap_or_default();
            (line, e.to_string())
        })
    };
    let value = parsed.map_err(|(line, reason)| Defect::in_file(file, line, reason))?;
    if !value.is_object() {
        return Err(Defect::in_file(file, 0, "is not an object at the top"));
    }
    let folders = file.rsplit('/').skip(1);
    let value = folders.fold(value, |inner, folder| Value::Object(Map::from_iter([(folder.to_owned(), inner)])));
    match value.get("crumb") {
        Some(_) => Err(Defect::in_file(file, 0, "`crumb` is where the rules are, not data")),
        None => Ok(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_stands_under_its_folders() {
        let value = read(&"limits/rate/data.yaml".into(), "per_minute: 30").expect("reads");
        assert_eq!(value, serde_json::json!({"limits": {"rate": {"per_minute": 30}}}));
    }

    #[test]
    fn refuses_what_is_no_object_or_takes_the_place_of_rules() {
        for (file, text) in [
            ("data.json", "[1]"),
            ("data.json", "{"),
            ("data.yaml", "a: [1"),
            ("data.yaml", "crumb: {issue: {allow: [1]}}"),
            ("crumb/issue/data.json", "{\"allow\": [1]}"),
        ] {
            assert!(read(&file.into(), text).is_err(), "{file}: {text}");
        }
    }
}
