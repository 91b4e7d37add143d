//! Lists and watches in protobuf, where the kind has a table.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use http::{
    HeaderValue, Method, Request, Response, Uri,
    header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE},
};
use kube::client::Body;
use tower::{BoxError, Service};

use crate::{
    clock,
    protobuf::{self, Answer, Encoding, Trust},
};

/// Asks for protobuf and hands JSON on. Once an answer could not be read, it asks for JSON for a while. Who asks for
/// protobuf himself, as the dispatcher does of its writes, gets what comes and reads it himself.
#[derive(Debug, Clone)]
pub(super) struct Negotiating<S> {
    pub(super) inner: S,
    pub(super) trust: Trust,
}

impl<S, B> Service<Request<Body>> for Negotiating<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = BoxError>,
    S::Future: Send + 'static,
    B: 'static,
{
    type Response = Response<Answer<B>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let watch = is_watch(request.uri());
        let asks = self.trust.asks(clock::mono()) && wants_protobuf(&request);
        if asks {
            request.headers_mut().insert(ACCEPT, HeaderValue::from_static(protobuf::ACCEPT));
        }
        let trust = self.trust.clone();
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            let encoding = if asks { encoding(&answer, watch) } else { Encoding::Plain };
            Ok(convert(answer, encoding, trust))
        })
    }
}

/// A list or a watch of a kind that has a table, of whole objects.
fn wants_protobuf(request: &Request<Body>) -> bool {
    let whole = request.headers().get(ACCEPT).is_none_or(|accept| accept == "application/json" || accept == "*/*");
    request.method() == Method::GET && whole && protobuf::reads(request.uri().path())
}

/// Whether a request begins a watch.
pub(super) fn is_watch(uri: &Uri) -> bool {
    uri.query().is_some_and(|query| query.split('&').any(|pair| matches!(pair, "watch=true" | "watch=1")))
}

/// How it comes, of a request that asked for protobuf.
fn encoding<B>(response: &Response<B>, watch: bool) -> Encoding {
    let media_type = response.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if media_type.split(';').next().is_none_or(|t| t.trim() != protobuf::MEDIA_TYPE) {
        Encoding::Plain
    } else if watch && response.status().is_success() {
        Encoding::Watch
    } else {
        // Refusals come as one object, whatever was asked for.
        Encoding::Object
    }
}

fn convert<B>(response: Response<B>, encoding: Encoding, trust: Trust) -> Response<Answer<B>> {
    let (mut head, body) = response.into_parts();
    if encoding != Encoding::Plain {
        head.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        head.headers.remove(CONTENT_LENGTH);
    }
    Response::from_parts(head, Answer::new(body, encoding, trust))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::{BodyExt, Collected, Full};

    use super::*;

    const PODS: &str = "https://s/api/v1/pods";
    const POD: &str = "k8s\0\x0a\x09\x0a\x02v1\x12\x03Pod\x12\x00";
    /// No table has these.
    const EVENT: &str = "k8s\0\x0a\x0b\x0a\x02v1\x12\x05Event\x12\x00";

    fn request(method: Method, uri: &str, accept: Option<&str>) -> Request<Body> {
        let mut builder = Request::builder().method(method).uri(uri);
        if let Some(accept) = accept {
            builder = builder.header(ACCEPT, accept);
        }
        builder.body(Body::empty()).unwrap()
    }

    #[test]
    fn only_collections_of_known_kinds_are_asked_for() {
        for (uri, expected) in [
            ("https://s/api/v1/pods?limit=500", true),
            ("https://s/api/v1/namespaces/d/pods?watch=true", true),
            ("https://s/apis/discovery.k8s.io/v1/endpointslices", true),
            ("https://s/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases", true),
            ("https://s/api/v1/namespaces/d/pods/web", false),
            ("https://s/api/v1/namespaces", false),
            ("https://s/api/v1/replicationcontrollers", false),
            ("https://s/apis/headroom.dev/v1alpha1/nodeheadrooms", false),
            ("https://s/apis/metrics.k8s.io/v1beta1/pods", false),
            ("https://s/api/v1/nodes/n/proxy/stats", false),
            ("https://s/readyz", false),
            ("https://s/", false),
        ] {
            assert_eq!(wants_protobuf(&request(Method::GET, uri, None)), expected, "{uri}");
        }
        assert!(wants_protobuf(&request(Method::GET, PODS, Some("application/json"))));
        assert!(!wants_protobuf(&request(Method::GET, PODS, Some("application/json;as=Table;v=v1;g=meta.k8s.io"))));
        assert!(!wants_protobuf(&request(Method::POST, PODS, None)));
    }

    /// The media type and the text of an answer.
    type Told = (String, Result<String, String>);

    /// What comes of a request that is answered with this.
    async fn through(
        trust: &Trust,
        request: Request<Body>,
        (code, media_type, body): (u16, &'static str, &'static str),
    ) -> Told {
        let server = tower::service_fn(move |_: Request<Body>| {
            let answer = Response::builder().status(code).header(CONTENT_TYPE, media_type);
            std::future::ready(Ok::<_, BoxError>(answer.body(Full::<Bytes>::from(body)).unwrap()))
        });
        let answer = Negotiating { inner: server, trust: trust.clone() }.call(request).await.unwrap();
        let (head, body) = answer.into_parts();
        let body = body.collect().await.map(Collected::to_bytes);
        let media_type = head.headers[CONTENT_TYPE].to_str().unwrap().to_owned();
        (media_type, body.map(|b| String::from_utf8(b.to_vec()).unwrap()).map_err(|e| e.to_string()))
    }

    #[tokio::test]
    async fn what_was_asked_for_in_protobuf_is_handed_on_as_json() {
        let json = |text: &str| -> Told { ("application/json".to_owned(), Ok(text.to_owned())) };
        let trust = Trust::default();
        let get = |uri: &str| request(Method::GET, uri, None);
        let pod = (200, protobuf::MEDIA_TYPE, POD);
        assert_eq!(through(&trust, get(PODS), pod).await, json(r#"{"kind":"Pod","apiVersion":"v1"}"#));
        // A refusal is an object, also where a watch was asked for.
        let refusal = "k8s\0\x0a\x0c\x0a\x02v1\x12\x06Status\x12\x02\x30\x07";
        let refused = through(&trust, get(&format!("{PODS}?watch=1")), (410, protobuf::MEDIA_TYPE, refusal)).await;
        assert_eq!(refused, json(r#"{"kind":"Status","apiVersion":"v1","code":7}"#));
        // A server that does not speak it for this kind.
        assert_eq!(through(&trust, get(PODS), (200, "application/json", "{ }")).await, json("{ }"));
        assert!(trust.asks(clock::mono()));
        // What cannot be read ends it: from then on nothing is asked for, nor touched.
        assert!(through(&trust, get(PODS), (200, protobuf::MEDIA_TYPE, EVENT)).await.1.is_err());
        assert!(!trust.asks(clock::mono()));
        assert_eq!(through(&trust, get(PODS), pod).await, (protobuf::MEDIA_TYPE.to_owned(), Ok(POD.to_owned())));
    }

    /// The dispatcher reads the metadata of any kind; a table of the whole object would not be there for most.
    #[tokio::test]
    async fn what_others_ask_for_themselves_stays_as_it_is() {
        for trust in [Trust::default(), Trust::never()] {
            let write = request(Method::POST, "https://s/api/v1/namespaces/d/events", Some(protobuf::ACCEPT));
            let answer = through(&trust, write, (201, protobuf::MEDIA_TYPE, EVENT)).await;
            assert_eq!(answer, (protobuf::MEDIA_TYPE.to_owned(), Ok(EVENT.to_owned())));
        }
    }

    #[test]
    fn a_watch_is_known_by_its_query() {
        for (query, expected) in [("watch=true", true), ("limit=5&watch=1", true), ("watch=false", false), ("", false)]
        {
            assert_eq!(is_watch(&format!("https://s/api/v1/pods?{query}").parse().unwrap()), expected, "{query}");
        }
    }
}
