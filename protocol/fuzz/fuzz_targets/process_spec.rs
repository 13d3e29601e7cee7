//! What an Open asks to start, from any bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rejoin_protocol::spec::ProcessSpec;

fuzz_target!(|input: &[u8]| {
    let Ok(spec) = ProcessSpec::decode(input) else { return };
    assert!((ProcessSpec::MIN_WINDOW..=ProcessSpec::MAX_WINDOW).contains(&spec.window));
    assert!(spec.retention <= ProcessSpec::MAX_RETENTION);
    let encoded = spec.encode().expect("it is no longer than it was");
    assert_eq!(ProcessSpec::decode(&encoded), Ok(spec));
});
