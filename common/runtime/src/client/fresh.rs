//! Watches that begin with all objects begin with what etcd has.

use http::Uri;

/// What kube's watcher asks for: the objects of any time, as an API server that has fallen behind has them in its cache. After a
/// watch that broke, the process would go back in time: objects that are newer vanish from its view, and what watched them takes
/// that for deletions.
const ANY: &str = "resourceVersion=0";
/// At least as new as the request, as client-go's reflectors ask for.
const CONSISTENT: &str = "resourceVersion=";

/// The same request for a consistent beginning; nothing where it is none of these watches.
pub(super) fn fresh(uri: &Uri) -> Option<Uri> {
    let query = uri.query()?;
    let has = |pair: &str| query.split('&').any(|q| q == pair);
    if !(has("sendInitialEvents=true") && has(ANY)) {
        return None;
    }
    let query: Vec<&str> = query.split('&').map(|pair| if pair == ANY { CONSISTENT } else { pair }).collect();
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = format!("{}?{}", uri.path(), query.join("&")).parse().ok();
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_watches_that_begin_with_anything_are_changed() {
        let asked = |text: &str| fresh(&text.parse().unwrap()).map(|uri| uri.to_string());
        let query = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
        assert_eq!(
            asked(&format!("https://s/api/v1/pods?{query}&resourceVersion=0&labelSelector=a%3Db")),
            Some(format!("https://s/api/v1/pods?{query}&resourceVersion=&labelSelector=a%3Db"))
        );
        for same in [
            "https://s/api/v1/pods",
            "https://s/api/v1/pods?watch=true&resourceVersion=0",
            "https://s/api/v1/pods?watch=true&sendInitialEvents=true&resourceVersion=07",
            "https://s/api/v1/pods?watch=true&sendInitialEvents=true&resourceVersion=5",
            "https://s/api/v1/pods?limit=500&resourceVersion=0",
        ] {
            assert_eq!(asked(same), None, "{same}");
        }
    }
}
