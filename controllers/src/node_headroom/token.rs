//! The token that kubelets see: short-lived, of a ServiceAccount that may read `nodes/stats` and nothing else
//! (DESIGN.md 12). The controllers' own token never goes to a node.

use std::{fmt, time::Duration};

use futures::future::BoxFuture;
use headroom_core::object::ObjectKey;
use http::{HeaderValue, Request, header};
use serde::Deserialize;
use serde_json::json;
use tokio::{sync::Mutex, time::Instant};

use super::{command::TokenError, summary::parse_time};

/// Lifetime that is asked for; the API server may give another.
const LIFETIME: Duration = Duration::from_secs(3600);
/// A lifetime outside of these is not believed.
const LIFETIME_BOUNDS: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(86_400));
/// A token is renewed after this part of its lifetime, in percent.
const RENEW_PERCENT: u32 = 80;
/// No second request within this time after one that failed.
const RETRY_AFTER: Duration = Duration::from_secs(10);
/// A request takes no longer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A token as it was issued.
#[derive(Clone)]
pub struct FetchedToken {
    /// The value of the `Authorization` header.
    header: HeaderValue,
    /// How long it is valid.
    lifetime: Duration,
}

impl FetchedToken {
    /// From the bare token.
    ///
    /// # Errors
    /// When it cannot stand in a header; the text does not repeat it.
    pub fn new(token: &str, lifetime: Duration) -> Result<Self, String> {
        let mut header =
            HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| "the token has odd characters".to_owned())?;
        header.set_sensitive(true);
        Ok(Self { header, lifetime: lifetime.clamp(LIFETIME_BOUNDS.0, LIFETIME_BOUNDS.1) })
    }
}

impl fmt::Debug for FetchedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FetchedToken").field("lifetime", &self.lifetime).finish_non_exhaustive()
    }
}

/// Where tokens come from.
pub trait FetchToken: Send + Sync {
    /// Whose they are, for messages.
    fn account(&self) -> String;
    /// Gets one.
    fn fetch(&self) -> BoxFuture<'_, Result<FetchedToken, TokenError>>;
}

#[derive(Debug, Default)]
struct State {
    token: Option<(HeaderValue, Instant, Instant)>,
    failed: Option<(TokenError, Instant)>,
}

/// Gives out a token, and sees to it that there is one.
pub struct TokenSource {
    fetch: Box<dyn FetchToken>,
    state: Mutex<State>,
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSource").field("account", &self.fetch.account()).finish_non_exhaustive()
    }
}

impl TokenSource {
    /// With tokens from there.
    #[must_use]
    pub fn new(fetch: impl FetchToken + 'static) -> Self {
        Self { fetch: Box::new(fetch), state: Mutex::default() }
    }

    /// `system:serviceaccount:<namespace>:<name>`.
    #[must_use]
    pub fn account(&self) -> String {
        self.fetch.account()
    }

    /// The header to send. One request at a time, whoever waits for it; a token that is still valid outlives failures
    /// to renew it.
    ///
    /// # Errors
    /// [`TokenError`] when there is none and none can be had; remembered for [`RETRY_AFTER`].
    pub async fn header(&self) -> Result<HeaderValue, TokenError> {
        let mut state = self.state.lock().await;
        let now = Instant::now();
        let valid = state.token.as_ref().filter(|(_, _, expires)| now < *expires).cloned();
        if let Some((header, renew, _)) = &valid
            && now < *renew
        {
            return Ok(header.clone());
        }
        if let Some((error, at)) = &state.failed
            && now.duration_since(*at) < RETRY_AFTER
        {
            return valid.map(|(header, ..)| header).ok_or_else(|| error.clone());
        }
        let fetched = match tokio::time::timeout(TIMEOUT, self.fetch.fetch()).await {
            Ok(result) => result,
            Err(_) => Err(TokenError::Failed { account: self.account(), message: "no answer in time".into() }),
        };
        match fetched {
            Ok(token) => {
                state.failed = None;
                let renew = now + token.lifetime * RENEW_PERCENT / 100;
                state.token = Some((token.header.clone(), renew, now + token.lifetime));
                Ok(token.header)
            }
            Err(error) => {
                state.failed = Some((error.clone(), now));
                valid.map(|(header, ..)| header).ok_or(error)
            }
        }
    }

    /// A kubelet does not accept this header: the next one is fetched anew, unless that has happened already.
    pub async fn rejected(&self, header: &HeaderValue) {
        let mut state = self.state.lock().await;
        if state.token.as_ref().is_some_and(|(held, ..)| held == header) {
            state.token = None;
        }
    }
}

/// Tokens by TokenRequest.
#[derive(Clone)]
pub struct KubeTokens {
    client: kube::Client,
    account: ObjectKey,
}

impl KubeTokens {
    /// For this ServiceAccount.
    #[must_use]
    pub const fn new(client: kube::Client, account: ObjectKey) -> Self {
        Self { client, account }
    }

    async fn request(&self) -> Result<FetchedToken, TokenError> {
        let ObjectKey { namespace, name } = &self.account;
        let failed = |message: String| TokenError::Failed { account: self.account.to_string(), message };
        let body = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {"expirationSeconds": LIFETIME.as_secs()},
        });
        // Without audiences the token is for the API server, whose TokenReview is what kubelets ask.
        let request = Request::post(format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(body.to_string().into_bytes())
            .map_err(|e| failed(e.to_string()))?;
        match self.client.request::<Issued>(request).await {
            Ok(issued) => {
                let lifetime = issued.lifetime();
                FetchedToken::new(&issued.status.token, lifetime).map_err(failed)
            }
            Err(kube::Error::Api(status)) if status.code == 403 => {
                Err(TokenError::Forbidden { account: self.account.to_string() })
            }
            Err(kube::Error::Api(status)) if status.code == 404 => {
                Err(TokenError::NoAccount { account: self.account.to_string() })
            }
            Err(kube::Error::Api(status)) => Err(failed(format!("HTTP {}: {}", status.code, status.message))),
            Err(error) => Err(failed(error.to_string())),
        }
    }
}

impl FetchToken for KubeTokens {
    fn account(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.account.namespace, self.account.name)
    }

    fn fetch(&self) -> BoxFuture<'_, Result<FetchedToken, TokenError>> {
        Box::pin(self.request())
    }
}

/// The answer to a TokenRequest, cut down.
#[derive(Deserialize)]
struct Issued {
    #[serde(default)]
    metadata: IssuedMeta,
    status: IssuedStatus,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct IssuedMeta {
    creation_timestamp: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IssuedStatus {
    token: String,
    #[serde(default)]
    expiration_timestamp: String,
}

impl Issued {
    /// By the server's clock alone: ours may differ.
    fn lifetime(&self) -> Duration {
        let expires = parse_time(&self.status.expiration_timestamp);
        let created = self.metadata.creation_timestamp.as_deref().and_then(parse_time);
        expires.zip(created).map_or(LIFETIME, |(expires, created)| expires.since(created))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    /// Gives numbered tokens of 100 s, or fails when told to.
    #[derive(Clone, Default)]
    struct Fake {
        asked: Arc<AtomicUsize>,
        broken: Arc<std::sync::atomic::AtomicBool>,
    }

    impl FetchToken for Fake {
        fn account(&self) -> String {
            "a".into()
        }
        fn fetch(&self) -> BoxFuture<'_, Result<FetchedToken, TokenError>> {
            Box::pin(async {
                let n = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
                if self.broken.load(Ordering::SeqCst) {
                    return Err(TokenError::Forbidden { account: "a".into() });
                }
                Ok(FetchedToken::new(&format!("t{n}"), Duration::from_secs(100)).unwrap())
            })
        }
    }

    async fn advance(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn renewed_at_four_fifths_and_kept_while_valid() {
        let fake = Fake::default();
        let source = TokenSource::new(fake.clone());
        assert_eq!(source.header().await.unwrap(), "Bearer t1");
        advance(79).await;
        assert_eq!(source.header().await.unwrap(), "Bearer t1");
        advance(1).await;
        assert_eq!(source.header().await.unwrap(), "Bearer t2");
        fake.broken.store(true, Ordering::SeqCst);
        advance(85).await;
        assert_eq!(source.header().await.unwrap(), "Bearer t2", "still valid");
        assert_eq!(source.header().await.unwrap(), "Bearer t2");
        assert_eq!(fake.asked.load(Ordering::SeqCst), 3, "failures are not repeated at once");
        advance(20).await;
        assert_eq!(source.header().await, Err(TokenError::Forbidden { account: "a".into() }), "expired");
        assert_eq!(source.header().await, Err(TokenError::Forbidden { account: "a".into() }));
        assert_eq!(fake.asked.load(Ordering::SeqCst), 4);
        fake.broken.store(false, Ordering::SeqCst);
        advance(10).await;
        assert_eq!(source.header().await.unwrap(), "Bearer t5");
    }

    #[tokio::test(start_paused = true)]
    async fn a_rejected_token_is_replaced_once() {
        let source = TokenSource::new(Fake::default());
        let first = source.header().await.unwrap();
        source.rejected(&first).await;
        assert_eq!(source.header().await.unwrap(), "Bearer t2");
        source.rejected(&first).await;
        assert_eq!(source.header().await.unwrap(), "Bearer t2");
    }

    #[test]
    fn a_token_is_never_printed() {
        let token = FetchedToken::new("secret", Duration::from_secs(1)).unwrap();
        assert!(!format!("{token:?} {:?}", token.header).contains("secret"));
        assert!(FetchedToken::new("a\nb", LIFETIME).is_err());
    }
}
