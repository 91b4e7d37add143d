//! Who may read metrics: the API server decides.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use hashbrown::HashMap;
use headroom_core::Mono;
use k8s_openapi::api::{
    authentication::v1::{TokenReview, TokenReviewSpec},
    authorization::v1::{NonResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec},
};
use kube::{Api, Client, api::PostParams};
use tokio::time::timeout;

use crate::clock;

/// How long an answer is kept (upstream: 10 s for tokens and for verdicts).
const CACHE_FOR: Duration = Duration::from_secs(10);
/// Answers kept; when full, all are forgotten.
const CACHE_SIZE: usize = 256;
/// Longest token that is looked at.
const MAX_TOKEN: usize = 16 * 1024;
/// How long the API server may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// Asks the API server about a bearer token and a path, and remembers for a moment.
pub struct Authorizer {
    authentication: Client,
    authorization: Client,
    cache: Mutex<HashMap<(String, String), (Mono, Verdict)>>,
}

impl std::fmt::Debug for Authorizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authorizer").finish_non_exhaustive()
    }
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Go ahead.
    Allowed,
    /// Nobody we know: 401.
    Unauthenticated,
    /// Known, but not allowed: 403.
    Forbidden,
    /// The API server does not answer: 503.
    Unavailable,
}

impl Authorizer {
    /// With one client for both questions, or two.
    #[must_use]
    pub fn new(authentication: Client, authorization: Client) -> Self {
        Self { authentication, authorization, cache: Mutex::default() }
    }

    /// Whether the bearer of `token` may GET `path`.
    pub(super) async fn may_get(&self, token: Option<&str>, path: &str) -> Verdict {
        let Some(token) = token.filter(|t| !t.is_empty() && t.len() <= MAX_TOKEN) else {
            return Verdict::Unauthenticated;
        };
        let key = (token.to_owned(), path.to_owned());
        let now = clock::mono();
        if let Some((until, verdict)) = self.lock().get(&key)
            && now < *until
        {
            return *verdict;
        }
        let verdict = match timeout(DEADLINE, self.ask(token, path)).await {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(error)) => {
                tracing::warn!(%error, "cannot ask the API server who may read {path}: TokenReview and SubjectAccessReview need the verb create");
                Verdict::Unavailable
            }
            Err(_) => Verdict::Unavailable,
        };
        if verdict != Verdict::Unavailable {
            let mut cache = self.lock();
            if cache.len() >= CACHE_SIZE {
                cache.clear();
            }
            cache.insert(key, (now + CACHE_FOR, verdict));
        }
        verdict
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(String, String), (Mono, Verdict)>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask(&self, token: &str, path: &str) -> Result<Verdict, kube::Error> {
        let review = TokenReview {
            spec: TokenReviewSpec { token: token.to_owned(), ..TokenReviewSpec::default() },
            ..TokenReview::default()
        };
        let review = Api::all(self.authentication.clone()).create(&PostParams::default(), &review).await?;
        let Some(status) = review.status.filter(|s| s.authenticated == Some(true)) else {
            return Ok(Verdict::Unauthenticated);
        };
        let user = status.user.unwrap_or_default();
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: user.username,
                groups: user.groups,
                uid: user.uid,
                extra: user.extra,
                non_resource_attributes: Some(NonResourceAttributes {
                    path: Some(path.to_owned()),
                    verb: Some("get".to_owned()),
                }),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let review = Api::all(self.authorization.clone()).create(&PostParams::default(), &review).await?;
        let allowed = review.status.is_some_and(|s| s.allowed && s.denied != Some(true));
        Ok(if allowed { Verdict::Allowed } else { Verdict::Forbidden })
    }
}
