//! Small bodies that go out together.
//!
//! tokio-rustls says of itself that it takes several buffers at once. h2 then leaves bodies of 256 bytes and more where they
//! are, writes each from there, and flushes before it takes the next frame: in a burst every event is a TLS record and a
//! system call of its own. To a connection that takes one buffer at a time it copies what is shorter than 1 KiB, behind the
//! frames before it.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use tower::Service;

/// Makes connections that gather, or those of `inner` as they are.
#[derive(Debug, Clone)]
pub(super) struct GatheringConnector<C> {
    pub(super) inner: C,
    pub(super) gathers: bool,
}

impl<C> Service<Uri> for GatheringConnector<C>
where
    C: Service<Uri>,
    C::Future: Send + 'static,
{
    type Response = GatheringIo<C::Response>;
    type Error = C::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.inner.call(uri);
        let gathers = self.gathers;
        Box::pin(async move { Ok(GatheringIo { inner: connecting.await?, gathers }) })
    }
}

/// A connection that takes one buffer at a time, when it gathers.
#[derive(Debug)]
pub(super) struct GatheringIo<T> {
    inner: T,
    gathers: bool,
}

impl<T: Connection> Connection for GatheringIo<T> {
    fn connected(&self) -> Connected {
        self.inner.connected()
    }
}

impl<T: Read + Unpin> Read for GatheringIo<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<T: Write + Unpin> Write for GatheringIo<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        !self.gathers && self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }
}

#[cfg(test)]
mod tests {
    use hyper_util::rt::TokioIo;

    use super::*;

    #[tokio::test]
    async fn a_connection_that_gathers_takes_one_buffer_at_a_time() {
        for gathers in [false, true] {
            let (io, _peer) = tokio::io::duplex(1);
            let io = TokioIo::new(io);
            assert!(io.is_write_vectored(), "as TLS says of itself");
            assert_eq!(GatheringIo { inner: io, gathers }.is_write_vectored(), !gathers);
        }
    }
}
