//! All that touches the world, shared by the scheduler, the controllers and the CLI.
//!
//! | module | what it does |
//! |---|---|
//! | [`client`] | HTTP/2 clients of the API server, one connection each for watches, writes and the lease; the write fence |
//! | [`wire`] | API objects as they come over the wire or from a file, and their conversion into core rows |
//! | [`protobuf`] | the API server's cheaper encoding, read as JSON of what is needed |
//! | [`informer`] | watches that survive everything, as a stream of changes |
//! | [`lease`] | leader election, and the gate that every write passes |
//! | [`dispatcher`] | executes the cores' intents |
//! | [`events`] | spam-limited events that never block |
//! | [`serving`] | health, metrics and configuration over HTTPS |
//! | [`metrics`] | metrics under upstream's names |
//! | [`moderation`] | fewer wake-ups under load |
//! | [`process`] | flags, logs, signals, exit codes |
//! | [`check`] | whether a process does its work, asked from beside it |
//! | [`clock`] | the only place where clocks are read |
//!
//! The cores (`headroom-core`, `headroom-engine`) know none of this: they take rows and times and return intents.

pub mod check;
pub mod client;
pub mod clock;
pub mod dispatcher;
pub mod events;
pub mod informer;
pub mod lease;
pub mod metrics;
pub mod moderation;
pub mod process;
pub mod protobuf;
pub mod serving;
pub mod wire;
