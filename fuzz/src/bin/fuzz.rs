//! One target under libFuzzer: `HEADROOM_FUZZ_TARGET=NAME fuzz CORPUS… [-flags]`. Built by `make fuzz` with coverage
//! instrumentation.
#![no_main]

use std::sync::OnceLock;

use headroom_fuzz::Target;

static TARGET: OnceLock<Target> = OnceLock::new();

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let target = TARGET.get_or_init(|| {
        let name = std::env::var("HEADROOM_FUZZ_TARGET").unwrap_or_default();
        #[expect(clippy::panic, reason = "a tool: without a target there is nothing to do")]
        headroom_fuzz::target(&name).unwrap_or_else(|| panic!("HEADROOM_FUZZ_TARGET={name:?} names no target"))
    });
    (target.run)(data);
});
