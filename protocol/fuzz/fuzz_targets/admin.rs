//! The answers to `ls`, `kill`, `prune` and `doctor`, from any line: what is read has its bounds, is safe to
//! print, and is read the same again once it was written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rejoin_protocol::admin::{
    AnswerVersion, HostReport, KillReport, MAX_ENTRIES, PruneReport, SessionList, Text,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

fuzz_target!(|line: &[u8]| {
    let Ok(AnswerVersion(_)) = serde_json::from_slice(line) else { return };
    read::<SessionList>(line);
    read::<KillReport>(line);
    read::<PruneReport>(line);
    read::<HostReport>(line);
});

fn read<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(line: &[u8]) {
    let Ok(answer) = serde_json::from_slice::<T>(line) else { return };
    let written = serde_json::to_value(&answer).expect("an answer is JSON");
    check(&written);
    assert_eq!(serde_json::from_value::<T>(written).expect("it was an answer"), answer);
}

fn check(value: &Value) {
    match value {
        Value::String(text) => assert_eq!(Text::new(text).as_str(), text),
        Value::Array(list) => {
            assert!(list.len() <= MAX_ENTRIES);
            list.iter().for_each(check);
        }
        Value::Object(fields) => fields.values().for_each(check),
        _ => {}
    }
}
