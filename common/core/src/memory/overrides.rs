//! What people say of a node by hand, for scheduler and controllers alike: an annotation, else a label of the same name
//! (memory-and-swap.md 5.0; interfaces.md 1). Values that mean nothing are ignored.

use super::{SwapBehavior, SwapMedia};
use crate::object::Meta;

/// Which swap behaviour the kubelet has.
pub const SWAP_BEHAVIOR: &str = "headroom.dev/swap-behavior";
/// What the swap is on.
pub const SWAP_MEDIA: &str = "headroom.dev/swap-media";
/// Whether control-plane protection applies.
pub const PROTECTED: &str = "headroom.dev/protected";

/// The annotation of this name, else the label.
#[must_use]
pub fn said<'a>(meta: &'a Meta, key: &str) -> Option<&'a str> {
    meta.annotations.get(key).or_else(|| meta.labels.get(key)).map(|value| &**value)
}

/// The swap behaviour that is said to be in force.
#[must_use]
pub fn swap_behavior(meta: &Meta) -> Option<SwapBehavior> {
    said(meta, SWAP_BEHAVIOR).and_then(SwapBehavior::parse)
}

/// What the swap is said to be on.
#[must_use]
pub fn swap_media(meta: &Meta) -> Option<SwapMedia> {
    said(meta, SWAP_MEDIA).and_then(SwapMedia::parse)
}

/// Whether the node is said to be protected, or not to be.
#[must_use]
pub fn protected(meta: &Meta) -> Option<bool> {
    match said(meta, PROTECTED) {
        Some("true") => Some(true),
        Some("false") => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(annotations: &[(&str, &str)], labels: &[(&str, &str)]) -> Meta {
        Meta {
            annotations: annotations.iter().copied().collect(),
            labels: labels.iter().copied().collect(),
            ..Meta::default()
        }
    }

    #[test]
    fn the_annotation_comes_before_the_label() {
        let both =
            meta(&[(SWAP_MEDIA, "hdd")], &[(SWAP_MEDIA, "zram"), (SWAP_BEHAVIOR, "NoSwap"), (PROTECTED, "true")]);
        assert_eq!(swap_media(&both), Some(SwapMedia::Hdd));
        assert_eq!((swap_behavior(&both), protected(&both)), (Some(SwapBehavior::NoSwap), Some(true)));
        assert_eq!(said(&both, "headroom.dev/other"), None);
        assert_eq!(protected(&meta(&[(PROTECTED, "false")], &[(PROTECTED, "true")])), Some(false));
    }

    #[test]
    fn what_means_nothing_is_ignored() {
        let odd = meta(&[(SWAP_MEDIA, "tape"), (SWAP_BEHAVIOR, "Some"), (PROTECTED, "maybe")], &[(PROTECTED, "true")]);
        assert_eq!((swap_media(&odd), swap_behavior(&odd), protected(&odd)), (None, None, None));
    }
}
