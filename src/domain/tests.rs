//! Whatever text comes in: no parser panics, and what was taken is given back.

use std::fmt::Display;
use std::str::FromStr;

use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::batch::{BatchPause, BatchSettings, TaskDefaults};
use super::byte_string::ByteString;
use super::execution::{ExecutionState, FailureClass, Phase, Stream};
use super::signal::Signal;
use super::task::{Command, TaskSpec, TaskState};
use super::uri::Uri;
use super::worker::{Machine, WorkerStats};
use super::{BatchName, StoreId, TaskId, Timestamp};

/// Any JSON, with the words of a specification among its keys.
fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    let key = prop_oneof![
        Just("command".to_owned()),
        Just("env".to_owned()),
        Just("after".to_owned()),
        Just("bytes".to_owned()),
        Just("stdin".to_owned()),
        Just("tags".to_owned()),
        Just("defaults".to_owned()),
        "[a-z_]{1,8}",
    ];
    leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(key.clone(), inner, 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// What was read is written as something that reads as the same.
fn comes_back<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &Value) {
    if let Ok(read) = serde_json::from_value::<T>(value.clone()) {
        let written = serde_json::to_string(&read).unwrap();
        assert_eq!(serde_json::from_str::<T>(&written).unwrap(), read, "{written}");
    }
}

/// A text that was taken is shown as itself, or as something that means the same.
fn is_shown<T: FromStr + Display + PartialEq + std::fmt::Debug>(text: &str)
where
    T::Err: std::fmt::Debug,
{
    if let Ok(read) = text.parse::<T>() {
        assert_eq!(read.to_string().parse::<T>().unwrap(), read, "{text:?}");
    }
}

proptest! {
    #[test]
    fn texts_come_back(text in ".*|[a-z0-9+@_-]{0,6}(://)?[a-z/|@*]{0,9}|[0-9]{0,25}|(SIG)?[A-Z0-9]{1,6}") {
        is_shown::<BatchName>(&text);
        is_shown::<Uri>(&text);
        is_shown::<TaskId>(&text);
        is_shown::<TaskState>(&text);
        is_shown::<ExecutionState>(&text);
        is_shown::<FailureClass>(&text);
        is_shown::<Phase>(&text);
        is_shown::<Stream>(&text);
        is_shown::<BatchPause>(&text);
        if let Ok(signal) = Signal::named(&text) {
            prop_assert_eq!(Signal::named(<&str>::from(signal)), Ok(signal));
        }
    }

    #[test]
    fn json_of_any_shape_is_read_or_refused(value in json()) {
        comes_back::<TaskSpec>(&value);
        comes_back::<Command>(&value);
        comes_back::<ByteString>(&value);
        comes_back::<BatchSettings>(&value);
        comes_back::<TaskDefaults>(&value);
        comes_back::<Machine>(&value);
        comes_back::<StoreId>(&value);
        let _ = serde_json::from_value::<WorkerStats>(value.clone());
        let with_command = serde_json::json!({"command": "true", "env": value, "stdin": value});
        comes_back::<TaskSpec>(&with_command);
    }

    #[test]
    fn a_specification_that_is_read_can_be_checked_and_shown(
        line in ".*",
        words in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..6), 0..4),
        name in prop::option::of(".*"),
        uri in ".*",
    ) {
        let arguments: Vec<ByteString> = words.iter().cloned().map(ByteString::from).collect();
        for command in [Command::Line(line.clone()), Command::Arguments(arguments.clone())] {
            let mut spec: TaskSpec = serde_json::from_str(r#"{"command": "true"}"#).unwrap();
            spec.command = command;
            spec.name.clone_from(&name);
            spec.input = vec![uri.clone()];
            if let Err(error) = spec.check() {
                prop_assert!(!error.to_string().is_empty());
            }
            let _ = spec.command.to_string();
            let wire = serde_json::to_string(&spec).unwrap();
            prop_assert_eq!(serde_json::from_str::<TaskSpec>(&wire).unwrap(), spec);
        }
        // What is shown can be typed.
        let texts: Option<Vec<String>> =
            words.into_iter().map(|word| String::from_utf8(word).ok()).collect();
        if let Some(texts) = texts.filter(|t| !t.iter().any(|text| text.contains('\0'))) {
            prop_assert_eq!(shlex::split(&Command::Arguments(arguments).to_string()), Some(texts));
        }
    }

    #[test]
    fn dates_come_back(microseconds in -62_135_596_800_000_000_i64..253_402_207_200_000_000, text in ".{0,30}") {
        let date = Timestamp(microseconds);
        let wire = serde_json::to_string(&date).unwrap();
        prop_assert_eq!(serde_json::from_str::<Timestamp>(&wire).unwrap(), date);
        let _ = serde_json::from_value::<Timestamp>(Value::from(text));
        let _ = Timestamp(i64::MIN).to_string();
    }

    #[test]
    fn ids_are_the_numbers_that_can_be_stored(number: u64) {
        let read = serde_json::from_value::<TaskId>(number.into());
        prop_assert_eq!(read.is_ok(), (1..1 << 63).contains(&number));
        if let Ok(id) = read {
            prop_assert_eq!(TaskId::from_sql(id.to_sql()), id);
        }
    }
}
