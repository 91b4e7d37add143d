//! What `MemoryHeadroom` knows of nodes; filled in by the memory index.

/// Memory of a node.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeMemoryInfo {}
