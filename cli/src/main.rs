//! `kubectl headroom`.
fn main() {}
