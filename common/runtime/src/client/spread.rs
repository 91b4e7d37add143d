//! Writes over several connections, when there are many.
//!
//! An API server takes 100 requests of a connection at once. More of them are answered more cheaply together: etcd syncs and
//! commits what arrives meanwhile as one. Go's clients open another connection when one is full, and so does this.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use http::Request;
use kube::client::Body;
use tower::Service;

/// Requests that an API server takes on one connection at once (`secure_serving.go`).
const STREAMS: usize = 100;

/// A client that makes one connection, and how many of its requests are not answered.
#[derive(Debug, Clone)]
struct Connection<S> {
    client: S,
    open: Arc<AtomicUsize>,
}

/// Uses the next connection when the ones before are full. One that is never needed is never made.
#[derive(Debug, Clone)]
pub(super) struct Spread<S> {
    connections: Vec<Connection<S>>,
}

impl<S> Spread<S> {
    /// Over these clients, of which each makes one connection.
    pub(super) fn over(clients: impl IntoIterator<Item = S>) -> Self {
        let connections = clients.into_iter().map(|client| Connection { client, open: Arc::default() });
        Self { connections: connections.collect() }
    }
}

/// One request that is not answered yet.
struct Open(Arc<AtomicUsize>);

impl Open {
    fn count(open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        Self(open.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The first connection that has room, or else the one that has most of it.
fn choose(open: impl Iterator<Item = usize>) -> usize {
    let mut best = (0, usize::MAX);
    for (i, open) in open.enumerate() {
        if open < STREAMS {
            return i;
        }
        if open < best.1 {
            best = (i, open);
        }
    }
    best.0
}

impl<S> Service<Request<Body>> for Spread<S>
where
    S: Service<Request<Body>>,
    S::Future: Send + 'static,
    S::Response: 'static,
    S::Error: 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    /// The pool behind each client is always ready.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        for connection in &mut self.connections {
            std::task::ready!(connection.client.poll_ready(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let chosen = choose(self.connections.iter().map(|c| c.open.load(Ordering::Relaxed)));
        let connection = &mut self.connections[chosen];
        let open = Open::count(&connection.open);
        let answer = connection.client.call(request);
        Box::pin(async move {
            let result = answer.await;
            drop(open);
            result
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_connection_is_used_when_those_before_are_full() {
        for (open, expected) in [
            (vec![0], 0),
            (vec![99, 0, 0], 0),
            (vec![100, 0, 0], 1),
            (vec![100, 100, 7], 2),
            (vec![99, 100, 100], 0),
            (vec![130, 110, 120], 1),
            (vec![500], 0),
        ] {
            assert_eq!(choose(open.iter().copied()), expected, "{open:?}");
        }
    }

    #[tokio::test]
    async fn requests_that_are_answered_or_given_up_make_room() {
        let client = tower::service_fn(|request: Request<Body>| async move {
            if request.uri().path() == "/held" {
                std::future::pending::<()>().await;
            }
            Ok::<_, std::convert::Infallible>(())
        });
        let mut spread = Spread::over([client, client]);
        let request = |path: &str| Request::get(path).body(Body::empty()).unwrap();
        let open = |s: &Spread<_>| s.connections.iter().map(|c| c.open.load(Ordering::Relaxed)).collect::<Vec<_>>();
        let mut held: Vec<_> = (0..150).map(|_| spread.call(request("/held"))).collect();
        assert_eq!(open(&spread), [100, 50]);
        held.truncate(30);
        assert_eq!(open(&spread), [30, 0]);
        spread.call(request("/")).await.unwrap();
        assert_eq!(open(&spread), [30, 0]);
    }
}
