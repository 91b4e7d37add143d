//! The scheduler process: informers, engine, dispatcher.
