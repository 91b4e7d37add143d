//! What is printed on standard output.

use std::{fmt::Arguments, io, io::Write};

/// Like the standard library's, which panics when nobody reads any more, as in `kubectl headroom explain … | head`.
macro_rules! print {
    ($($text:tt)*) => { $crate::output::write(format_args!($($text)*)) };
}

/// Writes to standard output. When its reader has gone, the rest is of no use to anybody: the process ends, as one that the
/// signal reaches. Other errors end it as well, with a line.
#[allow(clippy::exit, reason = "no caller could do anything else, and there is nothing left to be put in order")]
pub(crate) fn write(text: Arguments<'_>) {
    let Err(error) = io::stdout().lock().write_fmt(text) else { return };
    if error.kind() == io::ErrorKind::BrokenPipe {
        std::process::exit(crate::READER_GONE.into());
    }
    eprintln!("kubectl headroom: cannot write to standard output: {error}");
    std::process::exit(1);
}
