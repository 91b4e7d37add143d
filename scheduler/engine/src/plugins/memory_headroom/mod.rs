//! `MemoryHeadroom`.

use serde_json::Value;

use crate::framework::{ArgsError, Plugin, Points};

/// The plugin.
#[derive(Debug)]
pub struct MemoryHeadroom;

impl MemoryHeadroom {
    /// From `MemoryHeadroomArgs`.
    ///
    /// # Errors
    /// Unknown fields.
    pub fn from_args(_: Option<&Value>) -> Result<Self, ArgsError> {
        Ok(Self)
    }
}

impl Plugin for MemoryHeadroom {
    type Filter = ();
    type Score = ();
    type Raw = i64;
    type Bounds = ();

    fn name(&self) -> &'static str {
        "MemoryHeadroom"
    }

    fn points(&self) -> Points {
        Points::of(&[])
    }
}
