//! Real control plane for tests: builder, harness, scenarios, demo, benches.
