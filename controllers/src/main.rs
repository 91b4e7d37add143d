//! The controllers binary.
fn main() {}
