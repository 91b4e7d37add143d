//! The scheduling engine, pure: framework, plugins, queue, cache, cycle.
