//! The stream of a watch, with its lag and its end.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::SinkExt;
use futures::channel::mpsc;
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming};
use tokio::time::Instant;

use super::Shared;
use super::forward::Broken;
use super::target::Target;
use super::{protobuf, told};

/// What is sent on.
pub(super) type Sent = Result<Frame<Bytes>, Broken>;

/// How a watch is parted into events; all of them are called lines here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parts {
    /// Lines of JSON.
    Lines,
    /// Frames of protobuf.
    Frames,
}

impl Parts {
    /// Takes the first event off what has arrived, if it is complete.
    fn take(self, rest: &mut BytesMut) -> Option<Bytes> {
        let end = match self {
            Self::Lines => rest.iter().position(|byte| *byte == b'\n')?.saturating_add(1),
            Self::Frames => protobuf::first(rest)?,
        };
        Some(rest.split_to(end).freeze())
    }
}

/// Lines that wait for a client that does not read.
const WAITING: usize = 64;
/// Lines that wait for their time.
const LATE: usize = 65_536;

/// Passes a watch on, `begin` and then what comes, line by line, until either side ends it or the dice do.
pub(super) fn pass_on(
    begin: Vec<Bytes>,
    (parts, body): (Parts, Incoming),
    target: Target,
    shared: Arc<Shared>,
) -> mpsc::Receiver<Sent> {
    let (out, answer) = mpsc::channel(WAITING);
    let (lines, waiting) = tokio::sync::mpsc::channel(LATE);
    let lag = shared.faults.borrow().lag(&shared.dice);
    let process = shared.told.watched(&target.resource);
    // What has come late is told late, however much comes in the meantime.
    tokio::spawn(read(begin, (parts, body), lag, lines, Arc::clone(&shared)));
    tokio::spawn(tell(waiting, out, target, process, shared));
    answer
}

type Line = (Instant, Bytes);

async fn read(
    begin: Vec<Bytes>,
    (parts, mut body): (Parts, Incoming),
    lag: Duration,
    lines: tokio::sync::mpsc::Sender<Line>,
    shared: Arc<Shared>,
) {
    for line in begin {
        if lines.send((Instant::now() + lag, line)).await.is_err() {
            return;
        }
    }
    let mut rest = BytesMut::new();
    while let Some(Ok(frame)) = tokio::select! {
        frame = body.frame() => frame,
        () = lines.closed() => None,
    } {
        let Ok(data) = frame.into_data() else { continue };
        rest.extend_from_slice(&data);
        while let Some(line) = parts.take(&mut rest) {
            if let Some((_, version)) = told::event(&line) {
                shared.history.note(version);
            }
            if lines.send((Instant::now() + lag, line)).await.is_err() {
                return;
            }
        }
    }
}

async fn tell(
    mut waiting: tokio::sync::mpsc::Receiver<Line>,
    mut out: mpsc::Sender<Sent>,
    target: Target,
    process: u64,
    shared: Arc<Shared>,
) {
    let mut held = shared.held.subscribe();
    // Before the bookmark that ends them, initial events come in the order of names.
    let mut whole = !target.initial;
    while let Some((due, line)) = waiting.recv().await {
        tokio::time::sleep_until(due).await;
        if held.wait_for(|held| !held.contains(&target.resource)).await.is_err() {
            return;
        }
        let cut = shared.faults.borrow().cut;
        if cut > 0 && shared.dice.below(1000) < cut {
            shared.spoil();
            let _ = out.send(Ok(Frame::data(line.slice(..line.len() / 2)))).await;
            if shared.dice.below(2) == 0 {
                let _ = out.send(Err(Broken)).await;
            }
            return;
        }
        let event = told::event(&line);
        if out.send(Ok(Frame::data(line))).await.is_err() {
            return;
        }
        if let Some((bookmark, version)) = event {
            whole |= bookmark;
            if whole {
                shared.told.note(process, &target.resource, version);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_taken_one_by_one_once_they_are_complete() {
        let frames = [protobuf::framed("ADDED", b"one"), protobuf::framed("DELETED", b"the other")];
        let lines = [Bytes::from("{\"type\":\"ADDED\"}\n"), Bytes::from("{}\n")];
        for (parts, [one, other]) in [(Parts::Frames, frames), (Parts::Lines, lines)] {
            let mut rest = BytesMut::from(&one[..one.len() - 1]);
            assert_eq!(parts.take(&mut rest), None, "{parts:?}");
            rest.extend_from_slice(&one[one.len() - 1..]);
            rest.extend_from_slice(&other);
            assert_eq!((parts.take(&mut rest), parts.take(&mut rest)), (Some(one), Some(other)), "{parts:?}");
            assert_eq!(parts.take(&mut rest), None);
        }
    }
}
