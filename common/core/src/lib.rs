//! Headroom's domain, pure: object model, quantities, selectors, memory model, work queue, intents.
