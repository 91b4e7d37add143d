//! Simulated nodes on a control plane, and processes of ours that read them.

use std::net::Ipv4Addr;

use headroom_hollow::{Hollow, HollowConfig};
use kube::config::{KubeConfigOptions, Kubeconfig};

use crate::error::{HarnessError, Result};

use super::{ControlPlane, Identity};

impl ControlPlane {
    /// How simulated nodes of a spec (`worker=3:1Gi:swap=2Gi`) come to this control plane: on addresses that no other one
    /// uses, without a chaos API.
    ///
    /// # Errors
    /// [`HarnessError::Hollow`]: the spec is none.
    pub fn hollow_config(&self, nodes: &str) -> Result<HollowConfig> {
        let mut config = HollowConfig::from_spec(nodes)?;
        config.address_base = Ipv4Addr::new(127, self.loopback_octet(), 0, 0);
        config.chaos = None;
        Ok(config)
    }

    /// Starts simulated nodes.
    ///
    /// # Errors
    /// [`HarnessError`]: no kubeconfig, or they did not come up.
    pub async fn start_hollow(&self, config: HollowConfig) -> Result<Hollow> {
        let path = self.kubeconfig(&Identity::Admin)?;
        let failed = |source| HarnessError::Kubeconfig { path: path.clone(), source: Box::new(source) };
        let file = Kubeconfig::read_from(&path).map_err(failed)?;
        let client = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.map_err(failed)?;
        Ok(Hollow::connect(config, &client).await?)
    }

    /// The flag with which our controllers trust the simulated kubelets.
    ///
    /// # Errors
    /// [`HarnessError::Io`].
    pub fn trust_kubelets(&self, hollow: &Hollow) -> Result<String> {
        let ca = self.dir().join("kubelet-serving-ca.crt");
        std::fs::write(&ca, hollow.ca_pem()).map_err(HarnessError::io("write", &ca))?;
        Ok(format!("--kubelet-certificate-authority={}", ca.display()))
    }
}
