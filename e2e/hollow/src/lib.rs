//! Hollow nodes: simulated kubelets on a real API server.
