//! Types that decode any JSON value.
//!
//! `null` and absence are the empty value, as they are for Go. A value of the wrong type is the empty value too, and is
//! noted as a fault of the object that is being decoded; [`with_faults`] collects the first one. The note goes through a
//! thread-local because serde's derived code has no other way to pass anything along without failing, and a failure
//! would take the whole page of a list with it (kube decodes pages as one value).

use std::{cell::RefCell, fmt, marker::PhantomData, ops::Deref};

use headroom_core::{
    Str, Timestamp, quantity,
    resource::{ResourceList, names},
};
use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};

use super::time::parse_rfc3339;

thread_local! {
    static FAULT: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Longest piece of a malformed value that a fault quotes, in characters.
const QUOTE: usize = 40;

/// Runs `decode` and returns with it the first fault noted meanwhile.
pub(super) fn with_faults<T>(decode: impl FnOnce() -> T) -> (T, Option<String>) {
    let outer = FAULT.take();
    let result = decode();
    (result, FAULT.replace(outer))
}

/// Notes a fault of the object being decoded, if it is the first.
pub(super) fn fault(reason: impl FnOnce() -> String) {
    FAULT.with_borrow_mut(|fault| {
        if fault.is_none() {
            *fault = Some(reason());
        }
    });
}

/// A JSON value, its contents as far as they are scalar.
#[derive(Debug, Clone, Copy)]
pub(super) enum Json<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(&'a str),
    List,
    Object,
}

impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(b) => b.fmt(f),
            Self::Int(n) => n.fmt(f),
            Self::Float(n) => n.fmt(f),
            Self::Text(t) => write!(f, "{:?}", t.chars().take(QUOTE).collect::<String>()),
            Self::List => f.write_str("a list"),
            Self::Object => f.write_str("an object"),
        }
    }
}

fn expected(what: &str, got: Json<'_>) {
    fault(|| format!("expected {what}, found {got}"));
}

/// Decodes any value and hands it to a function.
struct Scalar<F>(F);

impl<'de, T, F: FnOnce(Json<'_>) -> T> Visitor<'de> for Scalar<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<T, E> {
        Ok((self.0)(Json::Null))
    }

    fn visit_none<E: de::Error>(self) -> Result<T, E> {
        Ok((self.0)(Json::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, d: D) -> Result<T, D::Error> {
        d.deserialize_any(self)
    }

    fn visit_bool<E: de::Error>(self, v: bool) -> Result<T, E> {
        Ok((self.0)(Json::Bool(v)))
    }

    fn visit_i64<E: de::Error>(self, v: i64) -> Result<T, E> {
        Ok((self.0)(Json::Int(v)))
    }

    fn visit_u64<E: de::Error>(self, v: u64) -> Result<T, E> {
        Ok((self.0)(i64::try_from(v).map_or(Json::Float(v as f64), Json::Int)))
    }

    fn visit_f64<E: de::Error>(self, v: f64) -> Result<T, E> {
        Ok((self.0)(Json::Float(v)))
    }

    fn visit_str<E: de::Error>(self, v: &str) -> Result<T, E> {
        Ok((self.0)(Json::Text(v)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<T, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok((self.0)(Json::List))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok((self.0)(Json::Object))
    }
}

fn scalar<'de, D: Deserializer<'de>, T>(d: D, f: impl FnOnce(Json<'_>) -> T) -> Result<T, D::Error> {
    d.deserialize_any(Scalar(f))
}

/// The visits of a compound type for everything that it is not.
macro_rules! reject_scalars {
    ($expected:literal) => {
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str($expected)
        }
        fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
            Ok(Default::default())
        }
        fn visit_none<E: de::Error>(self) -> Result<Self::Value, E> {
            Ok(Default::default())
        }
        fn visit_some<D: Deserializer<'de>>(self, d: D) -> Result<Self::Value, D::Error> {
            d.deserialize_any(self)
        }
        fn visit_bool<E: de::Error>(self, v: bool) -> Result<Self::Value, E> {
            expected($expected, Json::Bool(v));
            Ok(Default::default())
        }
        fn visit_i64<E: de::Error>(self, v: i64) -> Result<Self::Value, E> {
            expected($expected, Json::Int(v));
            Ok(Default::default())
        }
        fn visit_u64<E: de::Error>(self, v: u64) -> Result<Self::Value, E> {
            expected($expected, Json::Float(v as f64));
            Ok(Default::default())
        }
        fn visit_f64<E: de::Error>(self, v: f64) -> Result<Self::Value, E> {
            expected($expected, Json::Float(v));
            Ok(Default::default())
        }
        fn visit_str<E: de::Error>(self, v: &str) -> Result<Self::Value, E> {
            expected($expected, Json::Text(v));
            Ok(Default::default())
        }
    };
}

macro_rules! not_a_list {
    ($expected:literal) => {
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            expected($expected, Json::List);
            Ok(Default::default())
        }
    };
}

/// A text, empty when absent.
#[derive(Debug, Clone, Default)]
pub(super) struct Text(pub(super) Str);

impl Deref for Text {
    type Target = Str;
    fn deref(&self) -> &Str {
        &self.0
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.0 == *other
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        scalar(d, |json| match json {
            Json::Text(t) => Self(t.into()),
            Json::Null => Self::default(),
            other => {
                expected("a string", other);
                Self::default()
            }
        })
    }
}

/// A whole number.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Int(pub(super) Option<i64>);

impl<'de> Deserialize<'de> for Int {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        scalar(d, |json| match json {
            Json::Int(n) => Self(Some(n)),
            Json::Null => Self(None),
            // Out of i64's range: cut, since nothing here reads such numbers exactly.
            Json::Float(n) if n.fract() == 0.0 => Self(Some(n as i64)),
            other => {
                expected("a whole number", other);
                Self(None)
            }
        })
    }
}

/// A number that may have a fraction.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Num(pub(super) Option<f64>);

impl<'de> Deserialize<'de> for Num {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        scalar(d, |json| match json {
            Json::Int(n) => Self(Some(n as f64)),
            Json::Float(n) => Self(Some(n)),
            Json::Null => Self(None),
            other => {
                expected("a number", other);
                Self(None)
            }
        })
    }
}

/// True or false.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Flag(pub(super) Option<bool>);

impl Flag {
    pub(super) fn set(self) -> bool {
        self.0.unwrap_or(false)
    }
}

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        scalar(d, |json| match json {
            Json::Bool(b) => Self(Some(b)),
            Json::Null => Self(None),
            other => {
                expected("true or false", other);
                Self(None)
            }
        })
    }
}

/// A point in time.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Moment(pub(super) Option<Timestamp>);

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        scalar(d, |json| match json {
            Json::Text(t) => {
                let parsed = parse_rfc3339(t);
                if parsed.is_none() && !t.is_empty() {
                    expected("an RFC 3339 time", Json::Text(t));
                }
                Self(parsed)
            }
            Json::Null => Self(None),
            other => {
                expected("an RFC 3339 time", other);
                Self(None)
            }
        })
    }
}

/// `intstr.IntOrString`.
#[derive(Debug, Clone, Default)]
pub(super) enum IntOrText {
    #[default]
    Absent,
    Int(i64),
    Text(Str),
}

impl<'de> Deserialize<'de> for IntOrText {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        scalar(d, |json| match json {
            Json::Int(n) => Self::Int(n),
            Json::Text(t) => Self::Text(t.into()),
            Json::Null => Self::Absent,
            other => {
                expected("a number or a string", other);
                Self::Absent
            }
        })
    }
}

/// A list, empty when absent.
#[derive(Debug, Clone)]
pub(super) struct List<T>(pub(super) Vec<T>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for V<T> {
            type Value = List<T>;
            reject_scalars!("a list");
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(List(items))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                expected("a list", Json::Object);
                Ok(List::default())
            }
        }
        d.deserialize_any(V(PhantomData))
    }
}

/// An object with known fields, its default when absent.
#[derive(Debug, Clone, Default)]
pub(super) struct Obj<T>(pub(super) T);

impl<T> Deref for Obj<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<'de, T: Deserialize<'de> + Default> Deserialize<'de> for Obj<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Ok(Self(Opt::deserialize(d)?.0.unwrap_or_default()))
    }
}

/// An object with known fields, of which it matters whether it is there.
#[derive(Debug, Clone)]
pub(super) struct Opt<T>(pub(super) Option<T>);

impl<T> Default for Opt<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Opt<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for V<T> {
            type Value = Opt<T>;
            reject_scalars!("an object");
            not_a_list!("an object");
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(|t| Opt(Some(t)))
            }
        }
        d.deserialize_any(V(PhantomData))
    }
}

/// Labels or annotations.
#[derive(Debug, Clone, Default)]
pub(super) struct Pairs(pub(super) Option<Vec<(Str, Str)>>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Pairs;
            reject_scalars!("an object of strings");
            not_a_list!("an object of strings");
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some((key, value)) = map.next_entry::<Text, Text>()? {
                    pairs.push((key.0, value.0));
                }
                Ok(Pairs(Some(pairs)))
            }
        }
        d.deserialize_any(V)
    }
}

/// A `v1.ResourceList`.
#[derive(Debug, Clone, Default)]
pub(super) struct Quantities(pub(super) Option<ResourceList>);

impl<'de> Deserialize<'de> for Quantities {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Quantities;
            reject_scalars!("an object of quantities");
            not_a_list!("an object of quantities");
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Quantities, A::Error> {
                let mut list = ResourceList::default();
                let mut scalars: Vec<(Str, i64)> = Vec::new();
                while let Some(name) = map.next_key::<Text>()? {
                    let amount = map.next_value_seed(Amount(&name))?;
                    match name.as_str() {
                        names::CPU => list.milli_cpu = amount,
                        names::MEMORY => list.memory = amount,
                        names::EPHEMERAL_STORAGE => list.ephemeral_storage = amount,
                        names::PODS => list.pods = amount,
                        _ => scalars.extend(amount.map(|a| (name.0, a))),
                    }
                }
                scalars.sort_by(|a, b| a.0.cmp(&b.0));
                scalars.dedup_by(|a, b| a.0 == b.0);
                list.scalars = scalars.into();
                Ok(Quantities(Some(list)))
            }
        }
        d.deserialize_any(V)
    }
}

/// A quantity: thousandths for `cpu`, else whole units.
struct Amount<'n>(&'n str);

impl<'de> DeserializeSeed<'de> for Amount<'_> {
    type Value = Option<i64>;

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Option<i64>, D::Error> {
        let name = self.0;
        scalar(d, |json| {
            let parse = |text: &str| {
                if name == names::CPU { quantity::milli_value(text) } else { quantity::value(text) }
            };
            // Snapshot files written by hand have plain numbers.
            let parsed = match json {
                Json::Text(t) => parse(t).map_err(|e| e.to_string()),
                Json::Int(n) => parse(&n.to_string()).map_err(|e| e.to_string()),
                Json::Float(n) => parse(&n.to_string()).map_err(|e| e.to_string()),
                Json::Null => return None,
                other => Err(format!("{other} is not a quantity")),
            };
            match parsed {
                Ok(amount) => Some(amount),
                Err(reason) => {
                    fault(|| format!("resource {:?}: {reason}", name.chars().take(QUOTE).collect::<String>()));
                    None
                }
            }
        })
    }
}

/// A single quantity outside a resource list, in whole units.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Quantity(pub(super) Option<i64>);

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Amount("").deserialize(d).map(Self)
    }
}
