//! The body of an answer, turned into JSON while it arrives.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use hyper::body::{Body, Frame, SizeHint};
use tower::BoxError;

use super::{Malformed, Trust, to_json, write_event};
use crate::clock;

/// Longest frame of a watch that is believed, in bytes: far above any object that an API server stores.
const LONGEST_FRAME: usize = 64 << 20;
/// Bytes of JSON that are handed on in one piece, roughly.
const PIECE: usize = 64 << 10;

/// How an answer is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// Whatever it is, it is handed on as it is.
    Plain,
    /// One object.
    Object,
    /// A watch.
    Watch,
}

/// An answer's body. When protobuf could not be read, `trust` is lost.
#[derive(Debug)]
pub(crate) struct Answer<B> {
    inner: B,
    encoding: Encoding,
    trust: Trust,
    buffer: BytesMut,
    ended: bool,
}

impl<B> Answer<B> {
    pub(crate) fn new(inner: B, encoding: Encoding, trust: Trust) -> Self {
        Self { inner, encoding, trust, buffer: BytesMut::new(), ended: false }
    }

    /// The complete frames that have arrived, as lines; absent when there is none.
    fn lines(&mut self) -> Result<Option<Bytes>, Malformed> {
        let mut out = Vec::new();
        while let Some(length) = self.buffer.first_chunk::<4>() {
            let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
            if length > LONGEST_FRAME {
                return Err(Malformed("a frame's length"));
            }
            let Some(event) = self.buffer.get(4..4 + length) else { break };
            write_event(&mut out, event)?;
            self.buffer.advance(4 + length);
            if out.len() >= PIECE {
                break;
            }
        }
        Ok((!out.is_empty()).then(|| out.into()))
    }

    /// What is there at the end.
    fn rest(&mut self) -> Result<Option<Bytes>, Malformed> {
        let rest = self.buffer.split();
        match self.encoding {
            Encoding::Object => to_json(&rest).map(|json| Some(json.into())),
            // A watch that ends within a frame was cut; its reader resumes from what it has.
            Encoding::Watch | Encoding::Plain => Ok(None),
        }
    }

    fn fail(&mut self, error: Malformed) -> BoxError {
        self.ended = true;
        if self.trust.lose(clock::mono()) {
            tracing::warn!("{error}; asking for JSON for the next hour");
        }
        error.into()
    }
}

impl<B> Body for Answer<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if this.encoding == Encoding::Plain {
            return Pin::new(&mut this.inner).poll_frame(cx).map_err(Into::into);
        }
        while !this.ended {
            if this.encoding == Encoding::Watch {
                match this.lines() {
                    Ok(None) => {}
                    Ok(Some(lines)) => return Poll::Ready(Some(Ok(Frame::data(lines)))),
                    Err(error) => return Poll::Ready(Some(Err(this.fail(error)))),
                }
            }
            match ready!(Pin::new(&mut this.inner).poll_frame(cx)) {
                // Trailers of an answer say nothing here.
                Some(Ok(frame)) => this.buffer.extend(frame.into_data().ok()),
                Some(Err(error)) => {
                    this.ended = true;
                    return Poll::Ready(Some(Err(error.into())));
                }
                None => {
                    this.ended = true;
                    return match this.rest() {
                        Ok(rest) => Poll::Ready(rest.map(|json| Ok(Frame::data(json)))),
                        Err(error) => Poll::Ready(Some(Err(this.fail(error)))),
                    };
                }
            }
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        if self.encoding == Encoding::Plain { self.inner.is_end_stream() } else { self.ended }
    }

    fn size_hint(&self) -> SizeHint {
        if self.encoding == Encoding::Plain { self.inner.size_hint() } else { SizeHint::default() }
    }
}
