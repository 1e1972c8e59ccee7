//! JSON that a stranger wrote: one object, read strictly.
//!
//! A general reader keeps the last of two members with one name, and an absent member looks like one of the wrong type to
//! whoever asks carelessly. Both have let forged claims through elsewhere, so key sets and tokens are read here: names
//! are unique at every level, depth is bounded, and "not there" and "not what it should be" are two answers.
//!
//! It does not bound the length: whoever brings the bytes has done so. Should a crate ever switch on `arbitrary_precision`
//! of serde_json, numbers would come as objects, and every time would be refused: nothing more would be let in.

use std::{cell::Cell, collections::BTreeMap, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// The deepest nesting. The claims of a Kubernetes token take three levels, those of wordy identity providers five.
const DEPTH_MAX: usize = 8;

/// Why bytes are not one strict JSON object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InvalidJson {
    /// Not JSON, not UTF-8, not an object, or with something behind it.
    Malformed,
    /// Two members of one object have the same name.
    DuplicateName,
    /// Nested deeper than [`DEPTH_MAX`].
    TooDeep,
}

/// A member is there and is not of the type that it has to be. JSON's `null` is such a value, never an absence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WrongType;

/// A value.
pub(crate) enum Json {
    Bool(bool),
    Integer(u64),
    Text(String),
    List(Vec<Self>),
    Object(Object),
    /// Null, and numbers that are negative or not whole. Nobody here has a use for one, so none is told from another.
    Other,
}

impl Json {
    pub(crate) fn as_text(&self) -> Result<&str, WrongType> {
        if let Self::Text(text) = self { Ok(text) } else { Err(WrongType) }
    }

    pub(crate) fn as_object(&self) -> Result<&Object, WrongType> {
        if let Self::Object(object) = self { Ok(object) } else { Err(WrongType) }
    }
}

/// An object with unique names.
pub(crate) struct Object(BTreeMap<String, Json>);

impl Object {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, InvalidJson> {
        let fault = Cell::new(InvalidJson::Malformed);
        let mut reader = serde_json::Deserializer::from_slice(bytes);
        let value = Level { left: DEPTH_MAX, fault: &fault }.deserialize(&mut reader).map_err(|_| fault.get())?;
        reader.end().map_err(|_| InvalidJson::Malformed)?;
        if let Json::Object(object) = value { Ok(object) } else { Err(InvalidJson::Malformed) }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Json> {
        self.0.get(name)
    }

    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>, WrongType> {
        self.0.get(name).map(Json::as_text).transpose()
    }

    pub(crate) fn object(&self, name: &str) -> Result<Option<&Self>, WrongType> {
        self.0.get(name).map(Json::as_object).transpose()
    }

    pub(crate) fn integer(&self, name: &str) -> Result<Option<u64>, WrongType> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Json::Integer(number)) => Ok(Some(*number)),
            Some(_) => Err(WrongType),
        }
    }

    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>, WrongType> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Json::Bool(flag)) => Ok(Some(*flag)),
            Some(_) => Err(WrongType),
        }
    }

    pub(crate) fn list(&self, name: &str) -> Result<Option<&[Json]>, WrongType> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Json::List(items)) => Ok(Some(items)),
            Some(_) => Err(WrongType),
        }
    }
}

/// One level of nesting. `fault` carries what serde's own error cannot: which rule was broken.
#[derive(Clone, Copy)]
struct Level<'a> {
    left: usize,
    fault: &'a Cell<InvalidJson>,
}

impl Level<'_> {
    fn below<E: Error>(self) -> Result<Self, E> {
        match self.left.checked_sub(1) {
            Some(left) => Ok(Self { left, ..self }),
            None => Err(self.broken(InvalidJson::TooDeep)),
        }
    }

    fn broken<E: Error>(self, rule: InvalidJson) -> E {
        self.fault.set(rule);
        E::custom("not strict")
    }
}

impl<'de> DeserializeSeed<'de> for Level<'_> {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Json, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level<'_> {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Json, E> {
        Ok(Json::Bool(flag))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Json, E> {
        Ok(Json::Integer(number))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let below = self.below()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(below)? {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let below = self.below()?;
        let mut object = BTreeMap::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(below)?;
            if object.insert(name, value).is_some() {
                return Err(self.broken(InvalidJson::DuplicateName));
            }
        }
        Ok(Json::Object(Object(object)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> Option<InvalidJson> {
        Object::parse(text.as_bytes()).err()
    }

    #[test]
    fn refuses_two_members_of_one_name_at_every_level_and_in_every_spelling() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"x":{"a":1,"a":null}}"#,
            r#"{"x":[{"a":1},{"a":1,"b":0,"a":1}]}"#,
        ] {
            assert_eq!(refused(text), Some(InvalidJson::DuplicateName), "{text}");
        }
        assert_eq!(refused(r#"{"x":{"a":1},"y":{"a":1}}"#), None);
    }

    #[test]
    fn refuses_what_is_deeper_than_eight_levels() {
        let nested = |levels: usize| format!("{}{}", r#"{"a":"#.repeat(levels), "0") + &"}".repeat(levels);
        assert_eq!(refused(&nested(DEPTH_MAX)), None);
        assert_eq!(refused(&nested(DEPTH_MAX + 1)), Some(InvalidJson::TooDeep));
        assert_eq!(refused(&format!(r#"{{"a":{}"#, "[".repeat(8000))), Some(InvalidJson::TooDeep));
    }

    #[test]
    fn refuses_what_is_not_one_object() {
        for text in ["", "1", "[]", "{", "{}{}", "{} x", r#"{"a":1e999}"#, r#"{"a":"\ud800"}"#, "{a:1}", r#"{"a":01}"#]
        {
            assert_eq!(refused(text), Some(InvalidJson::Malformed), "{text}");
        }
        assert_eq!(Object::parse(b"{\"a\":\"\xff\"}").err(), Some(InvalidJson::Malformed));
    }

    #[test]
    fn tells_an_absent_member_from_one_of_the_wrong_type() {
        let object = Object::parse(br#"{"null":null,"less":-1,"part":1.5,"whole":7,"text":"7"}"#).expect("strict");
        assert_eq!(object.integer("whole"), Ok(Some(7)));
        assert_eq!(object.integer("absent"), Ok(None));
        for name in ["null", "less", "part", "text"] {
            assert_eq!(object.integer(name), Err(WrongType), "{name}");
        }
        assert_eq!(object.text("null"), Err(WrongType));
        assert_eq!(object.flag("whole"), Err(WrongType));
    }
}
