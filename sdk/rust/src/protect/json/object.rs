//! A JSON object in which no key comes twice, at any depth.

use crate::protect::Unmapped;
use crumb_token::{Args, Scalar};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};
use std::fmt;

/// The arguments of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Object(Map<String, Value>);

impl Object {
    /// Reads one object, and nothing after it.
    ///
    /// # Errors
    ///
    /// [`Unmapped`] when it is not JSON, not an object, nested too deep, or has a key twice.
    pub fn parse(bytes: &[u8]) -> Result<Self, Unmapped> {
        match serde_json::from_slice::<Strict>(bytes) {
            Ok(Strict(Value::Object(map))) => Ok(Self(map)),
            Ok(_) => Err(Unmapped::new("arguments in a JSON object")),
            Err(_) => Err(Unmapped::new("arguments in JSON, no key twice")),
        }
    }

    /// Returns the value of `name`.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Returns the text of `name`.
    ///
    /// # Errors
    ///
    /// [`Unmapped`] when it is absent, or no text.
    pub fn text(&self, name: &str) -> Result<&str, Unmapped> {
        let text = self.get(name).and_then(Value::as_str);
        text.ok_or_else(|| Unmapped::new(format!("a text as {name}")))
    }

    /// Refuses every argument that is not among `names`: one that the tool server does not know could mean something to
    /// somebody behind it.
    ///
    /// # Errors
    ///
    /// [`Unmapped`] when there is another one.
    pub fn only(&self, names: &[&str]) -> Result<(), Unmapped> {
        let known = self.0.keys().all(|key| names.contains(&key.as_str()));
        if known { Ok(()) } else { Err(Unmapped::new(format!("no arguments but {}", names.join(", ")))) }
    }

    /// Returns the arguments that caveats can speak about: short texts, whole numbers, true and false. A caveat about any
    /// other one refuses the call, since it finds nothing.
    ///
    /// # Errors
    ///
    /// [`Unmapped`] when there are too many, or a name is not one that a caveat can have.
    pub fn scalars(&self) -> Result<Args, Unmapped> {
        let mut args = Vec::new();
        for (name, value) in &self.0 {
            let name = name.parse().map_err(|_| Unmapped::new("argument names of letters, digits, _, - and ."))?;
            if let Some(scalar) = scalar(value) {
                args.push((name, scalar));
            }
        }
        Args::try_new(args).map_err(|_| Unmapped::new(format!("at most {} arguments", Args::LEN_MAX)))
    }
}

fn scalar(value: &Value) -> Option<Scalar> {
    match value {
        Value::String(text) => Scalar::text(text).ok(),
        Value::Number(number) => number.as_i64().map(Scalar::Int),
        Value::Bool(bool) => Some(Scalar::Bool(*bool)),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A value in which no key comes twice. serde_json itself takes the last one.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader).map(Self)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON in which no key comes twice")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, bool: bool) -> Result<Value, E> {
        Ok(Value::Bool(bool))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        Number::from_f64(number).map(Value::Number).ok_or_else(|| E::custom("not a number"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Strict(value)) = seq.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut values = Map::new();
        while let Some((key, Strict(value))) = map.next_entry::<String, Strict>()? {
            if values.insert(key, value).is_some() {
                return Err(A::Error::custom("a key comes twice"));
            }
        }
        Ok(Value::Object(values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_a_key_that_comes_twice_at_any_depth() {
        for text in [
            r#"{"path":"a","path":"b"}"#,
            r#"{"path":"a","pat\u0068":"b"}"#,
            r#"{"x":{"y":1,"y":1}}"#,
            r#"{"x":[{"y":1,"y":2}]}"#,
        ] {
            assert!(Object::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_single_object() {
        let deep = format!("{{\"x\":{}1{}}}", "[".repeat(200), "]".repeat(200));
        for text in ["", "[]", "1", "null", "{} {}", "{\"a\":1,}", "{'a':1}", "\u{feff}{}", &deep] {
            assert!(Object::parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(Object::parse(b"{\"a\":\"\xff\"}").is_err());
    }

    #[test]
    fn only_short_texts_whole_numbers_and_truths_are_scalars() {
        let long = "x".repeat(Scalar::LEN_MAX + 1);
        let text =
            format!(r#"{{"a":"t","b":7,"c":true,"d":1.0,"e":null,"f":[1],"g":18446744073709551615,"h":"{long}"}}"#);
        let args = Object::parse(text.as_bytes()).expect("an object").scalars().expect("few");
        let names: Vec<_> = args.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"]);
    }

    #[test]
    fn refuses_arguments_that_no_caveat_could_name() {
        assert!(Object::parse(br#"{"a b":1}"#).expect("an object").scalars().is_err());
        assert!(Object::parse(br#"{"a":1,"b":1}"#).expect("an object").only(&["a"]).is_err());
    }
}
