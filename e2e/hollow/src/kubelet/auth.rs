//! Who may ask a kubelet: TokenReview and SubjectAccessReview on the API server, cached as a kubelet caches them.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::Api;
use kube::api::PostParams;
use tokio::time::Instant;

use crate::engine::Shared;

/// The kubelet's defaults: `authentication.webhook.cacheTTL`, `authorization.webhook.cacheAuthorizedTTL` and
/// `cacheUnauthorizedTTL`.
const TOKEN_TTL: Duration = Duration::from_secs(120);
const ALLOWED_TTL: Duration = Duration::from_secs(300);
const DENIED_TTL: Duration = Duration::from_secs(30);
/// More entries than this and the cache starts anew.
const CACHE_ENTRIES: usize = 256;
const REVIEW_TIMEOUT: Duration = Duration::from_secs(10);

/// A short, stable name for a bearer token, safe to print: 16 hexadecimal digits.
#[must_use]
pub fn token_hash(token: &str) -> String {
    let mut hasher = DefaultHasher::new();
    token.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// What the kubelet decided about a request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Decision {
    Allowed(String),
    /// No token, or one that the API server does not know.
    Unauthorized,
    /// The user, and the subresources that would have done.
    Forbidden(String),
    /// The API server did not answer.
    Unknown,
}

/// One kubelet's caches.
#[derive(Debug, Default)]
pub(crate) struct Authorizer {
    tokens: Cache<String, UserInfo>,
    access: Cache<(String, &'static str), bool>,
}

/// Subresources of `nodes` of which any one lets a request through (fine-grained kubelet authorisation): the special
/// one of the path, and `proxy` where upstream falls back to it.
pub(crate) fn subresources(path: &str) -> &'static [&'static str] {
    let within = |base: &str| path == base || path.strip_prefix(base).is_some_and(|rest| rest.starts_with('/'));
    match () {
        () if within("/stats") => &["stats"],
        () if within("/metrics") => &["metrics"],
        () if within("/logs") => &["log"],
        () if within("/checkpoint") => &["checkpoint"],
        () if within("/configz") => &["configz", "proxy"],
        () if within("/healthz") => &["healthz", "proxy"],
        () if within("/pods") || within("/runningpods") => &["pods", "proxy"],
        () => &["proxy"],
    }
}

impl Authorizer {
    pub(crate) async fn decide(
        &self,
        shared: &Shared,
        node: &str,
        token: Option<&str>,
        verb: &'static str,
        path: &str,
    ) -> Decision {
        let Some(token) = token else { return Decision::Unauthorized };
        let user = match self.user(shared, token).await {
            Ok(Some(user)) => user,
            Ok(None) => return Decision::Unauthorized,
            Err(error) => {
                tracing::warn!(node, %error, "token review failed");
                return Decision::Unauthorized;
            }
        };
        let name = user.username.clone().unwrap_or_default();
        for &subresource in subresources(path) {
            match self.allowed(shared, node, token, &user, verb, subresource).await {
                Ok(true) => return Decision::Allowed(name),
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(node, %error, "subject access review failed");
                    return Decision::Unknown;
                }
            }
        }
        Decision::Forbidden(name)
    }

    async fn user(&self, shared: &Shared, token: &str) -> Result<Option<UserInfo>, kube::Error> {
        if let Some(user) = fresh(&self.tokens, &token.to_owned()) {
            return Ok(Some(user));
        }
        let review = TokenReview {
            spec: TokenReviewSpec { token: token.to_owned(), ..TokenReviewSpec::default() },
            ..TokenReview::default()
        };
        let status = create(shared, &review).await?.status.unwrap_or_default();
        let user = status.user.filter(|_| status.authenticated == Some(true));
        if let Some(user) = &user {
            keep(&self.tokens, token.to_owned(), user.clone(), TOKEN_TTL);
        }
        Ok(user)
    }

    async fn allowed(
        &self,
        shared: &Shared,
        node: &str,
        token: &str,
        user: &UserInfo,
        verb: &'static str,
        subresource: &'static str,
    ) -> Result<bool, kube::Error> {
        // One token is one user, and one verb is what these servers know.
        let key = (format!("{verb} {token}"), subresource);
        if let Some(allowed) = fresh(&self.access, &key) {
            return Ok(allowed);
        }
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: user.username.clone(),
                uid: user.uid.clone(),
                groups: user.groups.clone(),
                extra: user.extra.clone(),
                resource_attributes: Some(ResourceAttributes {
                    verb: Some(verb.to_owned()),
                    version: Some("v1".to_owned()),
                    resource: Some("nodes".to_owned()),
                    subresource: Some(subresource.to_owned()),
                    name: Some(node.to_owned()),
                    ..ResourceAttributes::default()
                }),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let allowed = create(shared, &review).await?.status.is_some_and(|status| status.allowed);
        keep(&self.access, key, allowed, if allowed { ALLOWED_TTL } else { DENIED_TTL });
        Ok(allowed)
    }
}

async fn create<K>(shared: &Shared, review: &K) -> Result<K, kube::Error>
where
    K: kube::Resource<DynamicType = ()>
        + serde::Serialize
        + serde::de::DeserializeOwned
        + Clone
        + std::fmt::Debug
        + Sync,
{
    let _permit = shared.reviews.acquire().await;
    let api = Api::<K>::all(shared.client.clone());
    match tokio::time::timeout(REVIEW_TIMEOUT, api.create(&PostParams::default(), review)).await {
        Ok(answer) => answer,
        Err(_) => Err(kube::Error::Service("no answer in time".into())),
    }
}

type Cache<K, V> = Mutex<HashMap<K, (Instant, V)>>;

fn fresh<K: Hash + Eq, V: Clone>(cache: &Cache<K, V>, key: &K) -> Option<V> {
    let cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
    cache.get(key).filter(|(until, _)| *until > Instant::now()).map(|(_, value)| value.clone())
}

fn keep<K: Hash + Eq, V>(cache: &Cache<K, V>, key: K, value: V, ttl: Duration) {
    let mut cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
    if cache.len() >= CACHE_ENTRIES {
        cache.clear();
    }
    cache.insert(key, (Instant::now() + ttl, value));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_paths_to_subresources_as_the_kubelet_does() {
        assert_eq!(subresources("/stats/summary"), ["stats"]);
        assert_eq!(subresources("/statsx"), ["proxy"]);
        assert_eq!(subresources("/configz"), ["configz", "proxy"]);
        assert_eq!(subresources("/healthz/ping"), ["healthz", "proxy"]);
        assert_eq!(subresources("/metrics/cadvisor"), ["metrics"]);
        assert_eq!(subresources("/exec/a/b"), ["proxy"]);
    }

    #[test]
    fn hashes_do_not_show_the_token() {
        assert_eq!(token_hash("secret"), token_hash("secret"));
        assert_ne!(token_hash("secret"), token_hash("secret2"));
        assert_eq!(token_hash("secret").len(), 16);
    }
}
