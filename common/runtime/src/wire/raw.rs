//! Objects as text: what all kinds have in common on their way from the socket to their store.
//!
//! kube's client and watcher are generic over the kind, and so is what serde derives for lists and watch events around
//! it: some 100 KB of code for each kind, which a small process then has in memory. With one type for every kind that
//! exists once, and a kind's own decoder once as well, instead of once for each container it may come in.

use std::{borrow::Cow, fmt};

use headroom_core::{
    Str,
    object::{Kind, ObjectKey},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::DynamicResourceScope;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{ConvertError, Interners, WireObject, de::Obj, meta::WireMeta};

/// An object of any kind, not decoded yet. Only JSON that serde_json reads becomes one.
#[derive(Debug, Clone)]
pub struct RawObject {
    /// What kube's watcher reads: the resourceVersion only.
    metadata: ObjectMeta,
    text: Box<RawValue>,
}

impl RawObject {
    /// The row.
    ///
    /// # Errors
    /// [`ConvertError`] when a field is malformed in a way that must not be guessed over.
    pub(crate) fn row<W: WireObject>(&self, interners: &mut Interners) -> Result<W::Row, ConvertError> {
        let wire: W = serde_json::from_str(self.text.get()).map_err(|error| ConvertError {
            kind: W::KIND.kind,
            key: self.identity().0,
            reason: error.to_string(),
        })?;
        wire.convert(interners)
    }

    /// Key and UID, as far as they can be read.
    pub(crate) fn identity(&self) -> (ObjectKey, Str) {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Metadata {
            metadata: Obj<WireMeta>,
        }
        let (decoded, _) = super::de::with_faults(|| serde_json::from_str::<Metadata>(self.text.get()));
        let meta = decoded.unwrap_or_default().metadata.0;
        (meta.key(), meta.uid.0)
    }
}

impl<'de> Deserialize<'de> for RawObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        let metadata = ObjectMeta { resource_version: resource_version(text.get()), ..ObjectMeta::default() };
        Ok(Self { metadata, text })
    }
}

impl kube::Resource for RawObject {
    type DynamicType = Kind;
    // One type serves both namespaced and cluster-wide APIs; `Kind` knows which is right.
    type Scope = DynamicResourceScope;

    fn kind(kind: &Kind) -> Cow<'_, str> {
        kind.kind.into()
    }

    fn group(kind: &Kind) -> Cow<'_, str> {
        kind.group.into()
    }

    fn version(kind: &Kind) -> Cow<'_, str> {
        kind.version.into()
    }

    fn plural(kind: &Kind) -> Cow<'_, str> {
        kind.plural.into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// `metadata.resourceVersion`. Reading ends where it was found, which is near the beginning of what an API server
/// writes.
fn resource_version(text: &str) -> Option<String> {
    let mut found = None;
    // How reading ends says nothing: it is cut short on purpose, and the object's own decoder finds its faults.
    let _ = Within { path: &["metadata", "resourceVersion"], found: &mut found }
        .deserialize(&mut serde_json::Deserializer::from_str(text));
    found
}

/// Follows a path of keys to a string.
struct Within<'a> {
    path: &'a [&'static str],
    found: &'a mut Option<String>,
}

impl<'de> DeserializeSeed<'de> for Within<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Within<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of the API")
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<(), E> {
        if self.path.is_empty() {
            *self.found = Some(value.to_owned());
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((first, rest)) = self.path.split_first() else { return Ok(()) };
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            if key == *first {
                map.next_value_seed(Within { path: rest, found: self.found })?;
                // The rest of the map is left unread, which the deserializer calls an error.
                return Ok(());
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_resource_version_wherever_it_is() {
        for (text, expected) in [
            (
                r#"{"kind":"Pod","metadata":{"name":"a","resourceVersion":"17","labels":{"resourceVersion":"3"}}}"#,
                Some("17"),
            ),
            (
                r#"{"spec":{"resourceVersion":"3","deep":[{}]},"metadata":{"labels":{},"resourceVersion":"17"}}"#,
                Some("17"),
            ),
            (r#"{"metadata":{"resourceVersi\u006fn":"17"}}"#, Some("17")),
            (r#"{"metadata":{"resourceVersion":17}}"#, None),
            (r#"{"metadata":[{"resourceVersion":"17"}]}"#, None),
            (r#"{"metadata":{}}"#, None),
            (r#""text""#, None),
            ("[]", None),
            ("null", None),
        ] {
            assert_eq!(resource_version(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn keeps_the_text_and_knows_who_it_is() {
        let text = r#"{"metadata":{"namespace":"n","name":"a","uid":"u","resourceVersion":"5","labels":7},"spec":4}"#;
        let raw: RawObject = serde_json::from_str(text).unwrap();
        assert_eq!(raw.text.get(), text);
        assert_eq!(kube::ResourceExt::resource_version(&raw).as_deref(), Some("5"));
        assert_eq!(raw.identity(), (ObjectKey::new("n", "a"), "u".into()));
        assert_eq!(serde_json::from_str::<RawObject>("3").unwrap().identity(), Default::default());
    }
}
