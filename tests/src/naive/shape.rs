//! The closed list: how a check is printed, with each constant as its kind, and which printings the document has.
//!
//! Apart from [`super::datalog`], which evaluates whatever a check says, listed or not.

use super::{
    datalog::{Query, Step, Trusted, Value},
    read::Check,
};

/// The shapes of section 3.
const LISTED: [&str; 19] = [
    "tool(text)",
    "tool($a), {text}.contains($a)",
    "operation(text)",
    "resource(text)",
    "resource($a), $a.starts_with(text)",
    "server(text)",
    "peer(text)",
    "time($a), $a < date",
    "args_digest(bytes)",
    "nonce(bytes)",
    "arg(text, text)",
    "arg(text, integer)",
    "arg(text, truth)",
    "arg(text, $a), {text}.contains($a)",
    "arg(text, $a), {integer}.contains($a)",
    "arg(text, $a), !{text}.contains($a), $a.starts_with(text)",
    "arg(text, $a), $a >= integer, $a <= integer",
    "arg(text, $a), $a.starts_with(text)",
    "arg(text, $a)",
];

impl Check {
    /// Says whether the check has one of the shapes that an appended block may have.
    pub fn is_listed(&self) -> bool {
        self.0.len() == 1 && LISTED.contains(&self.printed().unwrap_or_default().as_str())
    }

    /// Writes the check with each constant as its kind, and its variables in the order they come.
    pub fn printed(&self) -> Option<String> {
        let queries: Vec<_> = self.0.iter().map(printed).collect::<Option<_>>()?;
        Some(queries.join(" or "))
    }

    /// Returns the name of what the check is about.
    pub fn subject(&self) -> &str {
        self.0.first().and_then(|query| query.body.first()).map_or("", |fact| &fact.name)
    }

    /// Returns the one text that the first query demands.
    pub fn text(&self) -> Option<&str> {
        match &self.0.first()?.body.first()?.terms[..] {
            [Value::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Returns the nonce that the check demands.
    pub fn nonce(&self) -> Option<Vec<u8>> {
        match self.0.first()?.body.first()?.terms.first()? {
            Value::Bytes(bytes) if self.subject() == "nonce" => Some(bytes.clone()),
            _ => None,
        }
    }
}

/// The variables of a query, in the order they were met.
#[derive(Default)]
struct Variables(Vec<u32>);

fn printed(query: &Query) -> Option<String> {
    let mut variables = Variables::default();
    let mut parts = Vec::new();
    for fact in &query.body {
        let terms: Vec<_> = fact.terms.iter().map(|term| variables.kind(term)).collect::<Option<_>>()?;
        parts.push(format!("{}({})", fact.name, terms.join(", ")));
    }
    let met = variables.0.len();
    for steps in &query.expressions {
        parts.push(variables.infix(steps)?);
    }
    // An expression speaks of what the body found, or of nothing.
    if variables.0.len() != met {
        return None;
    }
    let trusting = query.trusting.iter().map(|trusted| match trusted {
        Trusted::Authority => "authority",
        Trusted::Key(_) => "key",
    });
    let trusting = trusting.collect::<Vec<_>>().join(", ");
    let body = parts.join(", ");
    Some(if trusting.is_empty() { body } else { format!("{body} trusting {trusting}") })
}

impl Variables {
    fn infix(&mut self, steps: &[Step]) -> Option<String> {
        let mut stack: Vec<String> = Vec::new();
        for step in steps {
            let text = match step {
                Step::Push(value) => self.kind(value)?,
                Step::Not => format!("!{}", stack.pop()?),
                binary => {
                    let (right, left) = (stack.pop()?, stack.pop()?);
                    match binary {
                        Step::Less => format!("{left} < {right}"),
                        Step::LessOrEqual => format!("{left} <= {right}"),
                        Step::GreaterOrEqual => format!("{left} >= {right}"),
                        Step::Contains => format!("{left}.contains({right})"),
                        _ => format!("{left}.starts_with({right})"),
                    }
                }
            };
            stack.push(text);
        }
        let text = stack.pop()?;
        stack.is_empty().then_some(text)
    }

    fn kind(&mut self, value: &Value) -> Option<String> {
        Some(match value {
            Value::Variable(number) => return self.letter(*number),
            Value::Int(_) => "integer".to_owned(),
            Value::Text(_) => "text".to_owned(),
            Value::Date(_) => "date".to_owned(),
            Value::Bytes(_) => "bytes".to_owned(),
            Value::Bool(_) => "truth".to_owned(),
            Value::Set(set) => {
                let kinds: Vec<_> = set.iter().map(|element| self.kind(element)).collect::<Option<_>>()?;
                let (first, rest) = kinds.split_first()?;
                return rest.iter().all(|kind| kind == first).then(|| format!("{{{first}}}"));
            }
        })
    }

    fn letter(&mut self, number: u32) -> Option<String> {
        let place = self.0.iter().position(|known| *known == number).unwrap_or_else(|| {
            self.0.push(number);
            self.0.len() - 1
        });
        ('a'..='z').nth(place).map(|letter| format!("${letter}"))
    }
}
