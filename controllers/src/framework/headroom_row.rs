//! What the controllers keep of a NodeHeadroom.

use std::sync::Arc;

use headroom_core::{
    memory::Sample,
    object::{Meta, NodeHeadroom, PublishedCondition},
};

/// A NodeHeadroom, as far as its writer needs it after a restart: whose it is, and what was last measured.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HeadroomRow {
    /// Metadata, with the owners.
    pub meta: Meta,
    /// The sample; its time is 0 when there never was one.
    pub sample: Sample,
    /// `systemOverheadBytes`, absent when never measured.
    pub overhead: Option<i64>,
    /// Its conditions.
    pub conditions: Box<[PublishedCondition]>,
    /// All that it says, each pod's use included. Kept only where evictions are held back by it: the writer knows it
    /// already, and 20,000 pods are to fit in little memory.
    pub details: Option<Arc<NodeHeadroom>>,
}
