//! `bench-hostile`: see [`headroom_e2e::bench_hostile`].

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    headroom_e2e::bench_hostile::main(&headroom_e2e::bench_hostile::Arguments::parse())
}
