//! A power cut of the machine that the control plane runs on.

use crate::error::Result;

use super::assets::Component;
use super::{ControlPlane, builder, lock, servers};

impl ControlPlane {
    /// Kills the API server and etcd at once (`kill -9`) and starts both again with the same data, at the same port. Ends
    /// when the API server is ready. From then on [`etcd`](Self::etcd) is the process before the first cut, which is gone.
    ///
    /// # Errors
    /// [`HarnessError`](crate::HarnessError) as at the first start.
    pub async fn cut_power(&self) -> Result<()> {
        self.kill_api_server();
        self.etcd.kill9();
        // Dropping it kills it. There must never be two on the same data.
        drop(lock(&self.later_etcd).take());
        let program = self.assets.require(Component::Etcd)?;
        let etcd = self.start_process("etcd", servers::etcd(&program, self.dir(), &self.options))?;
        builder::wait_etcd(&etcd, &self.dir().join(servers::ETCD_SOCKET), builder::start_timeout()?).await?;
        *lock(&self.later_etcd) = Some(etcd);
        self.start_api_server().await
    }
}
