//! Catalogues: which machines can be had, for how much. Dated files; nothing is asked of any network.

use std::fmt;

use headroom_core::{
    Str,
    quantity::{human_bytes, milli_value, value},
};
use serde::{Deserialize, Serialize, Serializer};

/// `apiVersion` of a catalogue.
pub const API_VERSION: &str = "headroom.dev/v1alpha1";
/// `kind` of a catalogue.
pub const KIND: &str = "MachineCatalog";
/// Most machine types of a catalogue: the search looks at sets of them.
pub const MAX_MACHINES: usize = 64;
/// Most pods of a node where a catalogue does not say: the kubelet's default.
const DEFAULT_PODS: i64 = 110;

/// Money per month, in hundredths of the catalogue's currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Price(pub i64);

impl Price {
    /// This part of it: for overheads.
    #[must_use]
    pub fn share(self, part: i64, whole: i64) -> Self {
        if whole <= 0 {
            return Self(0);
        }
        let share = i128::from(self.0) * i128::from(part.clamp(0, whole)) / i128::from(whole);
        Self(i64::try_from(share).unwrap_or(0))
    }
}

impl std::iter::Sum for Price {
    fn sum<I: Iterator<Item = Self>>(prices: I) -> Self {
        prices.fold(Self(0), |sum, price| Self(sum.0.saturating_add(price.0)))
    }
}

impl fmt::Display for Price {
    /// Units, and hundredths where there are any.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, cents) = (if self.0 < 0 { "-" } else { "" }, self.0.unsigned_abs());
        match cents % 100 {
            0 => write!(f, "{sign}{}", cents / 100),
            rest => write!(f, "{sign}{}.{rest:02}", cents / 100),
        }
    }
}

impl Serialize for Price {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0 as f64 / 100.0)
    }
}

/// What a machine's processor runs, as its kubelet says (`GOARCH`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Arch {
    /// x86 of 64 bits.
    #[default]
    Amd64,
    /// Arm of 64 bits.
    Arm64,
    /// Arm of 32 bits.
    Arm,
}

impl Arch {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Amd64, Self::Arm64, Self::Arm];

    /// As in the label `kubernetes.io/arch`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
            Self::Arm => "arm",
        }
    }
}

/// A machine type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The provider's name for it.
    pub name: Str,
    /// CPU, thousandths of a core.
    pub milli_cpu: i64,
    /// RAM as Linux reports it, bytes.
    pub memory: i64,
    /// Pods that its kubelet takes.
    pub pods: i64,
    /// Per month.
    pub price: Price,
    /// Whether swap can be set up on it.
    pub swap: bool,
    /// What it runs.
    pub arch: Arch,
}

/// A catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Wire")]
pub struct Catalogue {
    /// Its name.
    pub name: String,
    /// Who offers these machines.
    pub provider: String,
    /// The day as of which the prices are, `2026-11-29`.
    pub date: String,
    /// Where the figures come from.
    pub source: String,
    /// What stands before a price: `$` or `€`.
    pub currency: String,
    /// What has to be known besides.
    pub note: String,
    /// The machines, cheapest first.
    pub offers: Vec<Offer>,
}

impl Catalogue {
    /// The machine type of this name.
    #[must_use]
    pub fn offer(&self, name: &str) -> Option<&Offer> {
        self.offers.iter().find(|offer| offer.name == *name)
    }

    /// The names of all types, for error messages.
    #[must_use]
    pub fn names(&self) -> String {
        self.offers.iter().map(|offer| offer.name.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// A price with its currency.
    #[must_use]
    pub fn money(&self, price: Price) -> String {
        match price.to_string().strip_prefix('-') {
            Some(amount) => format!("-{}{amount}", self.currency),
            None => format!("{}{price}", self.currency),
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Wire {
    api_version: String,
    kind: String,
    name: String,
    provider: String,
    date: String,
    source: String,
    currency: String,
    #[serde(default)]
    note: String,
    /// Whether swap can be set up: not in managed pools.
    swap: bool,
    /// The part of the advertised RAM that Linux reports.
    usable_memory: f64,
    /// Pods per node.
    pods: Option<i64>,
    /// The smallest machine that may be a node.
    minimum_memory: Option<String>,
    machines: Vec<WireMachine>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct WireMachine {
    name: String,
    cpu: String,
    memory: String,
    price: f64,
    swap: Option<bool>,
    /// `amd64` where it is not said.
    arch: Option<String>,
}

/// Most that a machine may cost per month.
const MAX_PRICE: f64 = 1e7;

impl WireMachine {
    fn into_offer(self, of: &Wire) -> Result<Offer, String> {
        let name = self.name;
        let wrong = |what: &str| format!("machine {name:?}: {what}");
        let advertised = value(&self.memory).map_err(|e| wrong(&format!("memory: {e}")))?;
        let milli_cpu = milli_value(&self.cpu).map_err(|e| wrong(&format!("cpu: {e}")))?;
        if advertised <= 0 || milli_cpu <= 0 {
            return Err(wrong("cpu and memory must be more than nothing"));
        }
        if !(self.price.is_finite() && (0.0..=MAX_PRICE).contains(&self.price)) {
            return Err(wrong("price must be a number of at least 0, per month"));
        }
        let arch = match self.arch.as_deref() {
            None => Arch::default(),
            Some(given) => Arch::ALL
                .into_iter()
                .find(|arch| arch.as_str() == given)
                .ok_or_else(|| wrong(&format!("arch: {given:?} is not known: amd64, arm64 or arm")))?,
        };
        Ok(Offer {
            milli_cpu,
            memory: (advertised as f64 * of.usable_memory) as i64,
            pods: of.pods.unwrap_or(DEFAULT_PODS),
            price: Price((self.price * 100.0).round() as i64),
            swap: self.swap.unwrap_or(of.swap),
            arch,
            name: name.into(),
        })
    }
}

/// `2026-11-29`.
fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    parts.iter().map(|part| part.len()).eq([4, 2, 2]) && parts.iter().all(|p| p.bytes().all(|b| b.is_ascii_digit()))
}

impl TryFrom<Wire> for Catalogue {
    type Error = String;

    fn try_from(mut wire: Wire) -> Result<Self, String> {
        if wire.api_version != API_VERSION || wire.kind != KIND {
            return Err(format!("expected apiVersion {API_VERSION} and kind {KIND}"));
        }
        if !is_date(&wire.date) {
            return Err(format!("date: {:?} is not a day like 2026-11-29", wire.date));
        }
        if !(wire.usable_memory > 0.0 && wire.usable_memory <= 1.0) {
            return Err("usableMemory: must be more than 0 and at most 1".to_owned());
        }
        let currency = match wire.currency.as_str() {
            "USD" => "$",
            "EUR" => "€",
            other => return Err(format!("currency: {other:?} is not known: USD or EUR")),
        };
        let minimum = match &wire.minimum_memory {
            Some(text) => value(text).map_err(|e| format!("minimumMemory: {e}"))?,
            None => 0,
        };
        let machines = std::mem::take(&mut wire.machines);
        if machines.is_empty() || machines.len() > MAX_MACHINES {
            return Err(format!("machines: between 1 and {MAX_MACHINES} of them"));
        }
        let mut offers: Vec<Offer> = Vec::new();
        for machine in machines {
            let advertised = value(&machine.memory).unwrap_or(0);
            let offer = machine.into_offer(&wire)?;
            if offers.iter().any(|known| known.name == offer.name) {
                return Err(format!("machine {:?} stands there twice", offer.name));
            }
            if advertised >= minimum {
                offers.push(offer);
            }
        }
        if offers.is_empty() {
            return Err(format!("no machine has the {} of minimumMemory", human_bytes(minimum)));
        }
        offers.sort_by(|a, b| (a.price, a.memory, &*a.name).cmp(&(b.price, b.memory, &*b.name)));
        Ok(Self {
            name: wire.name,
            provider: wire.provider,
            date: wire.date,
            source: wire.source,
            currency: currency.to_owned(),
            note: wire.note,
            offers,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_read_and_written() {
        for (cents, text) in [(500, "5"), (1250, "12.50"), (-2000, "-20"), (0, "0"), (5, "0.05")] {
            assert_eq!(Price(cents).to_string(), text);
        }
        assert_eq!(Price(1000).share(1, 4), Price(250));
        assert_eq!(Price(1000).share(5, 4), Price(1000));
        assert_eq!(Price(1000).share(1, 0), Price(0));
    }

    fn wire() -> Wire {
        let machine = |name: &str, memory: &str, price| WireMachine {
            name: name.into(),
            cpu: "1".into(),
            memory: memory.into(),
            price,
            swap: None,
            arch: None,
        };
        Wire {
            api_version: API_VERSION.into(),
            kind: KIND.into(),
            name: "c".into(),
            provider: "p".into(),
            date: "2026-11-29".into(),
            source: "s".into(),
            currency: "USD".into(),
            note: String::new(),
            swap: true,
            usable_memory: 0.5,
            pods: None,
            minimum_memory: None,
            machines: vec![machine("large", "2Gi", 10.0), machine("small", "1Gi", 5.5)],
        }
    }

    #[test]
    fn machines_are_sorted_and_their_ram_is_what_linux_reports() {
        let catalogue = Catalogue::try_from(wire()).unwrap();
        assert_eq!(catalogue.names(), "small, large");
        let small = catalogue.offer("small").unwrap();
        assert_eq!((small.memory, small.milli_cpu, small.price, small.pods), (512 << 20, 1000, Price(550), 110));
        assert_eq!((catalogue.money(Price(-550)), catalogue.money(Price(500))), ("-$5.50".into(), "$5".into()));
        let managed = Wire { minimum_memory: Some("2Gi".into()), swap: false, ..wire() };
        let managed = Catalogue::try_from(managed).unwrap();
        assert_eq!((managed.names(), managed.offers[0].swap), ("large".to_owned(), false));
    }

    #[test]
    fn machines_run_what_they_say() {
        for (given, expected) in [
            (None, Some(Arch::Amd64)),
            (Some("amd64"), Some(Arch::Amd64)),
            (Some("arm64"), Some(Arch::Arm64)),
            (Some("arm"), Some(Arch::Arm)),
            (Some("ARM64"), None),
            (Some("aarch64"), None),
            (Some(""), None),
        ] {
            let mut wire = wire();
            wire.machines[0].arch = given.map(str::to_owned);
            match Catalogue::try_from(wire) {
                Ok(catalogue) => assert_eq!(catalogue.offer("large").map(|offer| offer.arch), expected, "{given:?}"),
                Err(why) => {
                    let known =
                        format!("machine \"large\": arch: {:?} is not known: amd64, arm64 or arm", given.unwrap());
                    assert_eq!((why, None), (known, expected), "{given:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = |change: fn(&mut Wire)| {
            let mut wire = wire();
            change(&mut wire);
            Catalogue::try_from(wire).unwrap_err()
        };
        assert!(wrong(|w| w.kind = "List".into()).contains("kind MachineCatalog"));
        assert!(wrong(|w| w.date = "yesterday".into()).starts_with("date: "));
        assert!(wrong(|w| w.usable_memory = 1.5).starts_with("usableMemory: "));
        assert!(wrong(|w| w.currency = "XYZ".into()).starts_with("currency: "));
        assert!(wrong(|w| w.machines.clear()).starts_with("machines: "));
        assert!(wrong(|w| w.machines[0].price = -1.0).contains("machine \"large\": price"));
        assert!(wrong(|w| w.machines[0].memory = "lots".into()).contains("memory: "));
        assert!(wrong(|w| w.machines[0].name = "small".into()).contains("twice"));
        assert!(wrong(|w| w.minimum_memory = Some("64Gi".into())).starts_with("no machine has the 64Gi"));
    }
}
