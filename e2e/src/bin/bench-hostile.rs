//! `bench-hostile`: see [`headroom_e2e::bench_hostile`].

use std::process::ExitCode;

use headroom_e2e::{arguments, bench_hostile};

fn main() -> ExitCode {
    match arguments::<bench_hostile::Arguments>() {
        Ok(arguments) => bench_hostile::main(&arguments),
        Err(status) => status,
    }
}
