//! The kubelet's `/stats/summary?only_cpu_and_memory=true`, cut down to what is read (reference memory-and-swap.md 1.4).
//!
//! Every number may be missing, and a wrong one (negative, fractional, beyond 64 bits, of another type) counts as
//! missing: one odd field must not cost a whole node its sample. Numbers here are as the kubelet gave them; what can be
//! believed is decided in [`super::assess`].

use std::fmt;

use headroom_core::{Timestamp, memory::pressure::PsiLine};
use k8s_openapi::jiff;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use thiserror::Error;

/// Largest answer that is read, in bytes: a thousand pods take about 3 MB.
pub const MAX_BODY: usize = 8 << 20;
/// Most pods that are taken from one answer; kubelets run 110 by default.
pub const MAX_PODS: usize = 1000;

/// The answer is not a summary.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the answer is not what a kubelet gives: {0}")]
pub struct SummaryError(String);

impl SummaryError {
    /// A field that must be there is not.
    pub(super) fn without(field: &str) -> Self {
        Self(format!("it has no {field}"))
    }
}

impl From<serde_json::Error> for SummaryError {
    fn from(error: serde_json::Error) -> Self {
        Self(error.to_string())
    }
}

/// One answer.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Summary {
    /// The machine.
    pub node: NodeStats,
    /// Its pods.
    #[serde(deserialize_with = "nullable")]
    pub pods: Vec<PodStats>,
}

/// The machine.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeStats {
    /// Since when it is up.
    #[serde(deserialize_with = "time")]
    pub start_time: Option<Timestamp>,
    /// RAM.
    #[serde(deserialize_with = "nullable")]
    pub memory: MemoryStats,
    /// Swap; absent from kubelets that do not know it.
    #[serde(deserialize_with = "nullable")]
    pub swap: SwapStats,
}

/// RAM of a machine, a pod or a container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MemoryStats {
    /// When it was looked at, to the second.
    #[serde(deserialize_with = "time")]
    pub time: Option<Timestamp>,
    /// Bytes in use that cannot be dropped at once.
    #[serde(deserialize_with = "number")]
    pub working_set_bytes: Option<u64>,
    /// Page faults that needed I/O, since boot.
    #[serde(deserialize_with = "number")]
    pub major_page_faults: Option<u64>,
    /// Pressure stall information.
    #[serde(deserialize_with = "nullable")]
    pub psi: PsiStats,
}

/// Pressure stall information, as reported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct PsiStats {
    /// Some task waited.
    pub some: Option<PsiLineStats>,
    /// All tasks waited.
    pub full: Option<PsiLineStats>,
}

/// One line of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct PsiLineStats {
    #[serde(deserialize_with = "decimal")]
    avg10: Option<f64>,
    #[serde(deserialize_with = "decimal")]
    avg60: Option<f64>,
    #[serde(deserialize_with = "decimal")]
    avg300: Option<f64>,
    #[serde(deserialize_with = "number")]
    total: Option<u64>,
}

impl PsiLineStats {
    /// For the model; absent when an average that it reads is.
    #[must_use]
    pub fn line(&self) -> Option<PsiLine> {
        Some(PsiLine {
            avg10: self.avg10?,
            avg60: self.avg60?,
            avg300: self.avg300.unwrap_or(0.0),
            total: self.total.unwrap_or(0),
        })
    }
}

/// Swap of a machine, a pod or a container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SwapStats {
    /// When it was looked at.
    #[serde(deserialize_with = "time")]
    pub time: Option<Timestamp>,
    /// Bytes that it may still use; pods have none.
    #[serde(deserialize_with = "number")]
    pub swap_available_bytes: Option<u64>,
    /// Bytes in use.
    #[serde(deserialize_with = "number")]
    pub swap_usage_bytes: Option<u64>,
}

/// One pod.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStats {
    /// Which.
    pub pod_ref: PodRef,
    /// RAM.
    #[serde(deserialize_with = "nullable")]
    pub memory: MemoryStats,
    /// Swap.
    #[serde(deserialize_with = "nullable")]
    pub swap: SwapStats,
    /// Its containers.
    #[serde(deserialize_with = "nullable")]
    pub containers: Vec<ContainerStats>,
}

/// Name of a pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct PodRef {
    /// Name.
    pub name: String,
    /// Namespace.
    pub namespace: String,
    /// UID; of a static pod its `kubernetes.io/config.hash`.
    pub uid: String,
}

/// One container.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerStats {
    /// Name.
    pub name: String,
    /// Since when it runs.
    #[serde(deserialize_with = "time")]
    pub start_time: Option<Timestamp>,
    /// RAM.
    #[serde(deserialize_with = "nullable")]
    pub memory: MemoryStats,
    /// Swap.
    #[serde(deserialize_with = "nullable")]
    pub swap: SwapStats,
}

impl Summary {
    /// Reads an answer.
    ///
    /// # Errors
    /// [`SummaryError`] when it is no JSON object or a list or name has the wrong type.
    pub fn parse(body: &[u8]) -> Result<Self, SummaryError> {
        // A struct would be read from a list as well.
        if body.iter().find(|b| !b.is_ascii_whitespace()) != Some(&b'{') {
            return Err(SummaryError("it is no JSON object".into()));
        }
        let mut summary: Self = serde_json::from_slice(body)?;
        summary.pods.truncate(MAX_PODS);
        Ok(summary)
    }
}

/// `null` is the default, as Go prints empty lists and pointers.
fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(d: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(d)?.unwrap_or_default())
}

fn time<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Timestamp>, D::Error> {
    struct Text;
    impl<'de> Visitor<'de> for Text {
        type Value = Option<Timestamp>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a time")
        }
        fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
            // Go's zero time means "not known".
            Ok(parse_time(text).filter(|t| t.0 > 0))
        }
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
    }
    d.deserialize_any(Text)
}

/// A time in RFC 3339.
#[must_use]
pub fn parse_time(text: &str) -> Option<Timestamp> {
    text.parse::<jiff::Timestamp>().ok().map(|t| Timestamp(t.as_microsecond()))
}

macro_rules! lenient {
    ($(#[$doc:meta])* $name:ident: $target:ty, $expecting:literal, $u64:expr, $i64:expr, $f64:expr) => {
        $(#[$doc])*
        fn $name<'de, D: Deserializer<'de>>(d: D) -> Result<Option<$target>, D::Error> {
            struct Lenient;
            impl<'de> Visitor<'de> for Lenient {
                type Value = Option<$target>;
                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str($expecting)
                }
                fn visit_u64<E>(self, v: u64) -> Result<Self::Value, E> {
                    Ok($u64(v))
                }
                fn visit_i64<E>(self, v: i64) -> Result<Self::Value, E> {
                    Ok($i64(v))
                }
                fn visit_f64<E>(self, v: f64) -> Result<Self::Value, E> {
                    Ok($f64(v))
                }
                fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
                    Ok(None)
                }
                fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
                    Ok(None)
                }
                fn visit_unit<E>(self) -> Result<Self::Value, E> {
                    Ok(None)
                }
                fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                    while seq.next_element::<IgnoredAny>()?.is_some() {}
                    Ok(None)
                }
                fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                    while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                    Ok(None)
                }
            }
            d.deserialize_any(Lenient)
        }
    };
}

lenient!(
    /// A count or a size; anything else is `None`.
    number: u64, "a count", Some, |v| u64::try_from(v).ok(),
    |v: f64| (v >= 0.0 && v < u64::MAX as f64 && v.fract() == 0.0).then_some(v as u64)
);
lenient!(
    /// A percentage; anything else is `None`.
    decimal: f64, "a number", |v| Some(v as f64), |v| Some(v as f64), |v: f64| v.is_finite().then_some(v)
);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SAMPLE: &[u8] = include_bytes!("../../tests/fixtures/stats-summary.json");

    #[test]
    fn a_real_kubelets_answer() {
        let s = Summary::parse(SAMPLE).unwrap();
        assert_eq!(s.node.memory.working_set_bytes, Some(384_561_152));
        assert_eq!(s.node.memory.major_page_faults, Some(6198));
        assert_eq!(s.node.memory.time.unwrap().to_string(), "2026-11-22T21:32:56Z");
        let some = s.node.memory.psi.some.unwrap().line().unwrap();
        assert_eq!((some.avg10, some.avg60, some.total), (0.92, 2.28, 2_410_000));
        assert_eq!(s.node.swap.swap_available_bytes, Some(2_096_361_472));
        assert_eq!(s.pods.iter().map(|p| p.pod_ref.name.as_str()).collect::<Vec<_>>(), ["web", "hog300", "shell"]);
        let hog = &s.pods[1];
        assert_eq!(hog.memory.working_set_bytes, Some(268_320_768));
        assert_eq!((hog.swap.swap_usage_bytes, hog.swap.swap_available_bytes), (Some(50_884_608), None));
        let c = &hog.containers[0];
        assert_eq!((c.swap.swap_usage_bytes, c.swap.swap_available_bytes), (Some(50_880_512), Some(86_695_936)));
    }

    #[test]
    fn odd_fields_count_as_missing() {
        let s = Summary::parse(
            br#"{"node":{"startTime":"never","memory":{"time":7.5,"workingSetBytes":-1,"majorPageFaults":"x","psi":null},
                "swap":{"swapUsageBytes":18446743709127774000,"swapAvailableBytes":1.8e30}},"pods":null,"more":[1]}"#,
        );
        assert!(s.is_err(), "a time that is a number is another format altogether");
        let s = Summary::parse(
            br#"{"node":{"startTime":"never","memory":{"time":"0001-01-01T00:00:00Z","workingSetBytes":-1,
                "majorPageFaults":{"a":[1]},"psi":null},
                "swap":{"swapUsageBytes":18446743709127774000,"swapAvailableBytes":1.8e30}},"pods":null,"more":[1]}"#,
        )
        .unwrap();
        assert_eq!((s.node.start_time, s.node.memory.time, s.node.memory.working_set_bytes), (None, None, None));
        assert_eq!(s.node.swap.swap_usage_bytes, Some(18_446_743_709_127_774_000));
        assert_eq!(s.node.swap.swap_available_bytes, None);
        assert!(s.pods.is_empty());
        assert!(Summary::parse(b"").is_err() && Summary::parse(b"[]").is_err() && Summary::parse(b"<html>").is_err());
        assert_eq!(Summary::parse(b"{}").unwrap(), Summary::default());
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        use serde_json::Value;
        let names = prop::sample::select(vec![
            "node",
            "pods",
            "memory",
            "swap",
            "psi",
            "some",
            "full",
            "avg10",
            "avg60",
            "total",
            "time",
            "podRef",
            "uid",
            "containers",
            "workingSetBytes",
            "swapUsageBytes",
            "swapAvailableBytes",
            "startTime",
            "majorPageFaults",
        ]);
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "[0-9TZ:-]{0,20}".prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 64, 8, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::vec((names.clone(), inner), 0..8)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn anything_is_answered(value in json()) {
            let _ = Summary::parse(value.to_string().as_bytes());
        }

        #[test]
        fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Summary::parse(&bytes);
        }
    }
}
