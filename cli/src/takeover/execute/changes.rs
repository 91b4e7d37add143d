//! Changes of objects, made and undone, and the removal of canaries.

use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::{LOOK, PAUSE};
use crate::{
    distribution::{
        change::{Api, has},
        requests::{MERGE, Requests, is},
        text,
    },
    reach::why,
    takeover::canary::Removal,
};

/// Why a change is not made, or not undone.
pub(super) const CHANGED: &str = "somebody has changed it meanwhile, and nothing of that is overwritten";

/// Tries so many times.
pub(super) async fn insist<T>(tries: u32, mut what: impl AsyncFnMut() -> Result<T, String>) -> Result<T, String> {
    let mut last = String::new();
    for i in 0..tries {
        if i > 0 {
            sleep(PAUSE).await;
        }
        match timeout(LOOK, what()).await {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(why)) => last = why,
            Err(_) => last = "the API server does not answer".to_owned(),
        }
    }
    Err(last)
}

/// What came of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    Made,
    /// What was to be made was there.
    There,
    /// Somebody has changed it since it was read: it is as they left it.
    Changed,
}

/// Makes a change.
pub(super) async fn send(requests: &Requests, api: &Api) -> Result<Sent, kube::Error> {
    match api {
        Api::Create { collection, object } => match requests.create(collection, object).await {
            Ok(_) => Ok(Sent::Made),
            Err(error) if is(&error, 409) => Ok(Sent::There),
            Err(error) => Err(error),
        },
        Api::Delete { collection, object } => {
            let path = format!("{collection}/{}", text(object, "/metadata/name"));
            requests.delete(&path).await.map(|()| Sent::Made)
        }
        Api::Patch { path, kind, patch, read_as: None, .. } => {
            requests.patch(path, kind, patch).await?;
            // Helm's, for the most part, and not to be ours afterwards.
            if path.contains("/deployments/")
                && let Err(error) = requests.disown(path).await
            {
                eprintln!("  a later helm upgrade may need --force-conflicts: {}", why(&error));
            }
            Ok(Sent::Made)
        }
        Api::Patch { path, kind, patch, read_as: Some(version), .. } => {
            let mut patch_of_read = patch.clone();
            patch_of_read["metadata"]["resourceVersion"] = version.as_str().into();
            match requests.patch(path, kind, &patch_of_read).await {
                Ok(_) => Ok(Sent::Made),
                // A request whose answer was lost is sent again, and meets what it did itself.
                Err(error) if is(&error, 409) => {
                    let made = requests.get(path).await?.is_some_and(|found| has(&found, patch));
                    Ok(if made { Sent::Made } else { Sent::Changed })
                }
                Err(error) => Err(error),
            }
        }
    }
}

/// Undoes a change, or says why that must not be done.
pub(super) async fn unsend(requests: &Requests, back: &Api) -> Result<Option<&'static str>, String> {
    let said = |error: kube::Error| why(&error);
    let mut back = back.clone();
    if let Api::Patch { path, patch, undo, read_as: Some(version), .. } = &mut back {
        let Some(found) = requests.get(path).await.map_err(said)? else { return Ok(Some("it is gone")) };
        if has(&found, patch) {
            return Ok(None);
        }
        if !has(&found, undo) {
            return Ok(Some(CHANGED));
        }
        text(&found, "/metadata/resourceVersion").clone_into(version);
    }
    match send(requests, &back).await.map_err(said)? {
        Sent::Made | Sent::There => Ok(None),
        // The next look shows what it has become.
        Sent::Changed => Err(CHANGED.to_owned()),
    }
}

pub(crate) async fn remove(requests: &Requests, removal: &Removal) -> Result<(), String> {
    let said = |error: kube::Error| why(&error);
    match removal {
        Removal::One(path) => {
            let Some(found) = requests.get(path).await.map_err(said)? else { return Ok(()) };
            if found.pointer("/metadata/finalizers").is_some() {
                let none = json!({"metadata": {"finalizers": Value::Null}});
                requests.patch(path, MERGE, &none).await.map_err(said)?;
            }
            requests.delete(path).await.map_err(said)
        }
        Removal::Each(list) => {
            let collection = list.split('?').next().unwrap_or_default();
            for object in requests.list(list).await.map_err(said)? {
                let path = format!("{collection}/{}", text(&object, "/metadata/name"));
                requests.delete(&path).await.map_err(said)?;
            }
            Ok(())
        }
    }
}
