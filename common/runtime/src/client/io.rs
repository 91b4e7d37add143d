//! A socket that refuses to write once the fence is closed, below TLS and HTTP/2, so that frames that were queued
//! before the deadline stay where they are.

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

use super::{Fence, FenceClosed, Purpose};

/// What a connection is checked against.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    pub(super) fence: Fence,
    pub(super) purpose: Purpose,
}

impl Guard {
    pub(super) fn check(&self) -> Result<(), FenceClosed> {
        let open = match self.purpose {
            Purpose::Watch | Purpose::Foreign => true,
            Purpose::Write => self.fence.may_write(),
            Purpose::Lease => self.fence.may_renew(),
        };
        if open { Ok(()) } else { Err(FenceClosed) }
    }

    fn check_io(&self) -> io::Result<()> {
        self.check().map_err(|e| io::Error::new(io::ErrorKind::ConnectionAborted, e))
    }
}

/// Makes guarded connections.
#[derive(Debug, Clone)]
pub(super) struct GuardedConnector<C> {
    pub(super) inner: C,
    pub(super) guard: Guard,
}

impl<C> Service<Uri> for GuardedConnector<C>
where
    C: Service<Uri>,
    C::Future: Send + 'static,
{
    type Response = GuardedIo<C::Response>;
    type Error = C::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.inner.call(uri);
        let guard = self.guard.clone();
        Box::pin(async move { Ok(GuardedIo { inner: connecting.await?, guard }) })
    }
}

/// A guarded connection.
#[derive(Debug)]
pub(super) struct GuardedIo<T> {
    inner: T,
    guard: Guard,
}

impl<T: Connection> Connection for GuardedIo<T> {
    fn connected(&self) -> Connected {
        self.inner.connected()
    }
}

impl<T: Read + Unpin> Read for GuardedIo<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<T: Write + Unpin> Write for GuardedIo<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.guard.check_io()?;
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.guard.check_io()?;
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }
}
