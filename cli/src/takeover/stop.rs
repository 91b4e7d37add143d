//! Signals while something is put right that should not be left undone.

use std::{future::pending, pin::pin};

use futures::future::{Either, select};
use headroom_runtime::process::stop_requested;

/// What a first signal is answered with.
pub(crate) const ONCE_MORE: &str = "stopping: once more ends this at once, and prints what is left to do";

/// Returns the signal's name when somebody who was told what that means asks for an end: of a first one if `told`, else of
/// a second one.
pub(crate) async fn insisted(mut told: bool) -> &'static str {
    loop {
        let Ok(signal) = stop_requested().await else { return pending().await };
        if std::mem::replace(&mut told, true) {
            return signal;
        }
        eprintln!("{ONCE_MORE}");
    }
}

/// Does what should not be left undone, unless somebody insists on an end: the signal then.
///
/// # Errors
/// It is not done, or not all of it.
pub(crate) async fn unless(
    insisted: impl Future<Output = &'static str>,
    work: impl Future<Output = ()>,
) -> Result<(), &'static str> {
    let work = pin!(work);
    let insisted = pin!(insisted);
    match select(work, insisted).await {
        Either::Left(_) => Ok(()),
        Either::Right((signal, _)) => Err(signal),
    }
}
