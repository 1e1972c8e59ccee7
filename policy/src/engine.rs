//! The interpreter, kept on a leash: prepared once, cloned for each evaluation, stopped after a while, and listened to.
//!
//! A clone shares the parsed rules and the data and costs a few microseconds; a pool behind a lock would save them and cost
//! the lock, and an engine that failed half-way would be handed to the next ask. What the rules say is written down by the
//! function that [`crate::marks`] puts into their heads, one list for each clone.

use crate::{
    defect::{self, Defect, Place},
    marks::{SAID, TOLD},
};
use regorus::{Engine, Extension, LimitError, Value, utils::limits::ExecutionTimerConfig};
use std::{
    collections::BTreeSet,
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// The package that asks for the four sets, and for nothing else.
const VERDICT: &str = "crumb.verdict";
/// Work units of the engine between two looks at its stop-watch: some tens of microseconds.
const CHECK_INTERVAL: NonZeroU32 = NonZeroU32::new(256).expect("is not zero");
/// What can be written down in one evaluation. A rule speaks once for each combination of variables that satisfies it.
const SAID_MAX: usize = 4096;

/// Why an evaluation gave nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It took too long.
    TimeUp,
    /// The rules said more than is written down.
    TooMuch,
    /// The body of a rule of the four sets held, and its value could not be made, or was several.
    Unsaid { mark: usize },
    /// The engine gave up: a function got what it cannot take, or two values met where one may be.
    Failed { place: Option<Place>, detail: String },
}

/// What was said, by number of the mark. Sorted, each once.
pub(crate) type Heard = BTreeSet<(usize, Value)>;

#[derive(Debug, Default)]
struct Ear {
    heard: Heard,
    full: bool,
    unsaid: Option<usize>,
}

impl Ear {
    fn note(&mut self, mark: usize, value: &Value) {
        if self.heard.len() < SAID_MAX {
            self.heard.insert((mark, value.clone()));
        } else {
            self.full = true;
        }
    }
}

/// A prepared engine.
#[derive(Clone)]
pub(crate) struct Machine {
    engine: Engine,
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The engine would print its whole syntax tree.
        f.write_str("Machine")
    }
}

impl Machine {
    /// Prepares an engine with the marked rules, tests if any, and data. `voices` are the sets that exist.
    pub(crate) fn build<'a>(
        files: impl IntoIterator<Item = (&'a Arc<str>, &'a str)>,
        data: &[serde_json::Value],
        voices: &[&str],
    ) -> Result<Self, Defect> {
        let nowhere: Arc<str> = "".into();
        let mut engine = Engine::new();
        engine.set_strict_builtin_errors(true);
        for (name, text) in files {
            engine
                .add_policy(name.to_string(), text.to_owned())
                .map_err(|e| Defect::from_message(name, &e.to_string()))?;
        }
        engine
            .add_policy("verdict.rego".to_owned(), verdict_rego(voices))
            .map_err(|e| Defect::from_message(&nowhere, &e.to_string()))?;
        for value in data {
            engine
                .add_data(Value::from(value.clone()))
                .map_err(|e| Defect::of_bundle(defect::sentence(&e.to_string())))?;
        }
        // The first evaluation analyses the modules, which finds what parsing does not: variables that nothing binds.
        engine
            .eval_rule(format!("data.{VERDICT}.ready"))
            .map_err(|e| Defect::from_message(&nowhere, &e.to_string()))?;
        Ok(Self { engine })
    }

    /// Evaluates the four sets.
    pub(crate) fn decide(&self, input: Value, limit: Duration) -> Result<Heard, Fault> {
        self.run(&format!("data.{VERDICT}.spoken"), Some(input), limit).map(|(_, heard)| heard)
    }

    /// Evaluates one rule by its path.
    pub(crate) fn run(&self, rule: &str, input: Option<Value>, limit: Duration) -> Result<(Value, Heard), Fault> {
        let mut engine = self.engine.clone();
        let ear = Arc::new(Mutex::new(Ear::default()));
        for (name, function) in [(SAID, said(ear.clone())), (TOLD, told(ear.clone()))] {
            engine.add_extension(name.to_owned(), 2, function).map_err(|e| failed(&e.to_string()))?;
        }
        engine.set_execution_timer_config(ExecutionTimerConfig { limit, check_interval: CHECK_INTERVAL });
        if let Some(input) = input {
            engine.set_input(input);
        }
        let value = engine.eval_rule(rule.to_owned());
        let ear = std::mem::take(&mut *ear.lock().unwrap_or_else(PoisonError::into_inner));
        match (value, ear.unsaid) {
            _ if ear.full => Err(Fault::TooMuch),
            (Ok(_), Some(mark)) => Err(Fault::Unsaid { mark }),
            (Ok(value), None) => Ok((value, ear.heard)),
            (Err(e), _) if e.downcast_ref::<LimitError>().is_some() => Err(Fault::TimeUp),
            (Err(e), _) => Err(failed(&e.to_string())),
        }
    }
}

fn failed(message: &str) -> Fault {
    // An error inside a function is told on as text, so a stop of the watch in there is known by its words.
    if message.contains("execution exceeded time limit") {
        return Fault::TimeUp;
    }
    Fault::Failed { place: Place::in_message(message), detail: defect::sentence(message) }
}

fn verdict_rego(voices: &[&str]) -> String {
    let mut text = format!("package {VERDICT}\n\nready := true\n");
    for voice in voices {
        text.push_str(&format!("spoken contains [\"{voice}\", x] if some x in data.crumb.issue.{voice}\n"));
    }
    text
}

/// Hands the value through.
fn said(ear: Arc<Mutex<Ear>>) -> Box<dyn Extension> {
    extension(move |mut arguments| {
        let value = arguments.pop().unwrap_or(Value::Undefined);
        match mark_of(&arguments) {
            Some(mark) => ear.lock().unwrap_or_else(PoisonError::into_inner).note(mark, &value),
            None => ear.lock().unwrap_or_else(PoisonError::into_inner).full = true,
        }
        Ok(value)
    })
}

/// Takes the value out of its array; an array without a value, or with several, is remembered.
fn told(ear: Arc<Mutex<Ear>>) -> Box<dyn Extension> {
    extension(move |arguments| {
        let mut ear = ear.lock().unwrap_or_else(PoisonError::into_inner);
        let values = arguments.get(1).and_then(|v| v.as_array().ok());
        match (mark_of(&arguments), values.and_then(|v| v.first()), values.map(|v| v.len())) {
            (Some(mark), Some(value), Some(1)) => {
                ear.note(mark, value);
                Ok(value.clone())
            }
            (mark, _, _) => {
                ear.unsaid = Some(mark.unwrap_or(usize::MAX));
                Ok(Value::Undefined)
            }
        }
    })
}

fn mark_of(arguments: &[Value]) -> Option<usize> {
    arguments.first().and_then(|n| n.as_u64().ok()).and_then(|n| usize::try_from(n).ok())
}

fn extension(function: impl Extension + 'static) -> Box<dyn Extension> {
    Box::new(function)
}
