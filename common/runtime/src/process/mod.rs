//! How both processes start and stop: flags that they share, durations in Go's syntax, logs, signals, exit codes.

mod duration;
mod ending;
mod explain;
mod flags;
mod logging;
mod signals;
mod stock_flags;
mod text;

pub use self::{
    duration::{DurationError, GoDuration},
    ending::{RUNTIME_PATIENCE, TASK_PATIENCE, THREAD_PATIENCE, Tasks, Worker, WorkerError, panic_text},
    explain::one_line,
    flags::{ConnectionFlags, KUBERNETES, LeaderFlags, LogFlags, ServingFlags, parse_or_explain},
    logging::{LogFormat, init_logging},
    signals::stop_requested,
    stock_flags::StockFlags,
    text::{clean, cut},
};
