//! Hollow nodes: one process that behaves like N kubelets towards a real API server.
//!
//! It registers Nodes, renews their Leases, reports their status, runs the pods that are bound to them, and serves each
//! kubelet's `/stats/summary`, `/healthz` and `/configz` over HTTPS on an own loopback address, with TokenReview and
//! SubjectAccessReview. Memory, swap, pressure and OOM kills come from a small deterministic model. Everything can be
//! disturbed through a [`Hollow`] handle or a small HTTP API.
//!
//! Layers: `memory_model` and `pod` are pure state machines; `world` puts them together, pure as well; `engine`,
//! `kubelet` and `chaos_api` connect it to the network.
//!
//! # Annotations on pods
//!
//! | `hollow.headroom.dev/...` | meaning |
//! |---|---|
//! | `memory` | memory of the pod: `120Mi`, or a curve `50Mi@0s,200Mi@60s` (default: 60 % of each request, else 32Mi) |
//! | `memory.CONTAINER` | the same for one container |
//! | `hot-fraction` | share of it that is touched all the time (default 0.5) |
//! | `cpu` | CPU use per container, for the statistics (default 1m) |
//! | `run-seconds`, `exit-code` | app containers end after this time with this code |
//! | `work-seconds` | they end after this much work: as many seconds, and more where they wait for memory |
//! | `start-seconds`, `init-seconds`, `ready-seconds`, `stop-seconds` | how long starting, each init container, becoming ready and stopping take |
//!
//! # Deliberate differences from a kubelet
//!
//! No Events; no probes (readiness is a matter of time), readiness gates, volumes, images, host ports or static pods;
//! of the admission checks only resources; of the preStop hooks only `sleep`; no preemption for critical pods; a status that somebody else writes is not
//! taken back before the next own change. The memory model has no page cache.

mod chaos_api;
mod client;
mod config;
mod engine;
mod error;
mod hollow;
mod kubelet;
mod memory_model;
mod pod;
mod quantity;
mod time;
mod tls;
mod wire;
mod world;

pub use client::http2_client;
pub use config::{HollowConfig, MAX_NODES, MAX_PODS_PER_NODE, NodeClass, NodeTaint, PsiSupport, parse_nodes};
pub use error::HollowError;
pub use hollow::Hollow;
pub use kubelet::token_hash;
pub use memory_model::{Curve, Qos, SwapBehavior};
pub use world::{Loss, LossReason, NodeView, Received};
