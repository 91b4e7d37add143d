//! Bodies that stop in their midst.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use thiserror::Error;
use tokio::time::{Sleep, sleep};
use tower::BoxError;

/// The head has come, the connection lives, and the rest of the answer does not come.
#[derive(Debug, Error)]
#[error("the answer stopped: nothing came for {0:?}")]
pub(crate) struct Stopped(pub(crate) Duration);

/// A body that ends with an error when nothing of it has come for as long as `patience`, if there is one. Only silence
/// counts, not the time that the whole takes (a long list over a slow line may take minutes), and only while somebody waits:
/// what had come while the reader was at something else is handed on, however late.
#[derive(Debug)]
pub(crate) struct Steady<B> {
    inner: B,
    patience: Option<Duration>,
    /// Since the reader began to wait for the next frame.
    silence: Option<Pin<Box<Sleep>>>,
}

impl<B> Steady<B> {
    pub(crate) fn new(inner: B, patience: Option<Duration>) -> Self {
        Self { inner, patience, silence: None }
    }
}

impl<B> Body for Steady<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(cx) {
            this.silence = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let Some(patience) = this.patience else { return Poll::Pending };
        let silence = this.silence.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(silence.as_mut().poll(cx));
        this.silence = None;
        Poll::Ready(Some(Err(Stopped(patience).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::stream;
    use http_body_util::{BodyExt, StreamBody};
    use tokio::time::{Instant, timeout};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    /// Pauses, whether it ends, patience; what is read or why not, and after how many seconds.
    type Case = (&'static [u64], bool, Option<Duration>, Result<usize, String>, u64);

    /// A body of one byte after each of these pauses, in seconds, which then ends or stays open.
    fn body(pauses: &'static [u64], ends: bool) -> impl Body<Data = Bytes, Error = Infallible> + Unpin {
        let frames = stream::unfold(pauses.iter(), move |mut left| async move {
            match left.next() {
                Some(pause) => sleep(Duration::from_secs(*pause)).await,
                None if ends => return None,
                None => std::future::pending::<()>().await,
            }
            Some((Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"x"))), left))
        });
        StreamBody::new(Box::pin(frames))
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_a_body_and_slowness_does_not() {
        let stopped = || Err("the answer stopped: nothing came for 30s".to_owned());
        let cases: [Case; 6] = [
            (&[0, 29, 29, 29, 29], true, Some(PATIENCE), Ok(5), 116),
            (&[], true, Some(PATIENCE), Ok(0), 0),
            (&[], false, Some(PATIENCE), stopped(), 30),
            (&[1, 5], false, Some(PATIENCE), stopped(), 36),
            (&[1, 31], true, Some(PATIENCE), stopped(), 31),
            // As a watch of what seldom changes.
            (&[1, 600], true, None, Ok(2), 601),
        ];
        for (pauses, ends, patience, expected, seconds) in cases {
            let begun = Instant::now();
            let all = Steady::new(body(pauses, ends), patience).collect().await;
            let read = all.map(|all| all.to_bytes().len()).map_err(|error| error.to_string());
            assert_eq!((read, begun.elapsed().as_secs()), (expected, seconds), "{pauses:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_came_while_nobody_read_is_no_silence() {
        let mut slow = Steady::new(body(&[0, 29, 29], true), Some(PATIENCE));
        assert!(slow.frame().await.is_some_and(|frame| frame.is_ok()));
        // The reader waits a second, and then does not look for a long time.
        assert!(timeout(Duration::from_secs(1), slow.frame()).await.is_err());
        sleep(Duration::from_secs(300)).await;
        assert!(slow.frame().await.is_some_and(|frame| frame.is_ok()));
        sleep(Duration::from_secs(300)).await;
        assert!(slow.frame().await.is_some_and(|frame| frame.is_ok()));
        assert!(slow.frame().await.is_none());
    }
}
