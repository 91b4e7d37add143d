//! Which path answers what.

use std::{collections::BTreeMap, fmt, sync::Arc};

use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use serde_json::Value;

use super::{
    auth::{Authorizer, Verdict},
    health::{Health, Probe},
};
use crate::metrics::{Registry, TEXT_FORMAT, encode};

const NO_PAGE: &str = "404 page not found";

/// Makes the body of a page, on demand: content type and text.
pub type Page = Arc<dyn Fn() -> BoxFuture<'static, (&'static str, String)> + Send + Sync>;

/// A page that is made at once.
#[must_use]
pub fn page(make: impl Fn() -> (&'static str, String) + Send + Sync + 'static) -> Page {
    Arc::new(move || std::future::ready(make()).boxed())
}

/// Everything that is served.
#[derive(Clone)]
pub struct Routes {
    /// Behind `/livez`, `/readyz`, `/healthz`.
    pub health: Health,
    /// Behind `/metrics`.
    pub metrics: Registry,
    /// Behind `/configz`.
    pub configz: Value,
    /// Further pages by path, for authorised callers.
    pub pages: BTreeMap<&'static str, Page>,
    /// Who may read what is not health. Without one, nobody.
    pub authorizer: Option<Arc<Authorizer>>,
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routes").field("pages", &self.pages.keys()).finish_non_exhaustive()
    }
}

fn metrics(registry: &Registry) -> Response<Full<Bytes>> {
    match encode(registry) {
        Ok(body) => response(StatusCode::OK, TEXT_FORMAT, body),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

impl Routes {
    /// Answers one request. Bodies of requests are not read.
    pub(super) async fn answer<B>(&self, request: Request<B>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return text(StatusCode::METHOD_NOT_ALLOWED, "only GET");
        }
        let path = request.uri().path();
        let probe = match path {
            "/livez" => Some(Probe::Live),
            "/readyz" => Some(Probe::Ready),
            "/healthz" => Some(Probe::Health),
            _ => None,
        };
        if let Some(probe) = probe {
            let verbose =
                request.uri().query().is_some_and(|q| q.split('&').any(|p| p == "verbose" || p == "verbose=true"));
            let (healthy, report) = self.health.report(probe, verbose);
            return text(if healthy { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR }, report);
        }
        if !matches!(path, "/metrics" | "/metrics/slis" | "/configz") && !self.pages.contains_key(path) {
            return text(StatusCode::NOT_FOUND, NO_PAGE);
        }
        let token = request
            .headers()
            .get(header::AUTHORIZATION)
            .and_then(|v| v.to_str().ok())
            .and_then(|v| v.strip_prefix("Bearer ").or_else(|| v.strip_prefix("bearer ")))
            .map(str::trim);
        let verdict = match &self.authorizer {
            Some(authorizer) => authorizer.may_get(token, path).await,
            None => Verdict::Forbidden,
        };
        match verdict {
            Verdict::Allowed => self.page(path).await,
            Verdict::Unauthenticated => text(StatusCode::UNAUTHORIZED, "Unauthorized"),
            Verdict::Forbidden => text(StatusCode::FORBIDDEN, "Forbidden"),
            Verdict::Unavailable => text(StatusCode::SERVICE_UNAVAILABLE, "the API server does not answer"),
        }
    }

    async fn page(&self, path: &str) -> Response<Full<Bytes>> {
        match path {
            "/metrics" => metrics(&self.metrics),
            "/metrics/slis" => self.health.slis().map_or_else(|| text(StatusCode::NOT_FOUND, NO_PAGE), metrics),
            "/configz" => response(StatusCode::OK, "application/json", self.configz.to_string()),
            _ => match self.pages.get(path) {
                Some(page) => {
                    let (kind, body) = page().await;
                    response(StatusCode::OK, kind, body)
                }
                None => text(StatusCode::NOT_FOUND, NO_PAGE),
            },
        }
    }
}

fn text(status: StatusCode, body: impl Into<String>) -> Response<Full<Bytes>> {
    response(status, "text/plain; charset=utf-8", body.into())
}

fn response(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, header::HeaderValue::from_static("nosniff"));
    response
}
