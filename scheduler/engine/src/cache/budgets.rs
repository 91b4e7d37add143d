//! Pod disruption budgets, by namespace. Only preemption reads them.

use std::sync::Arc;

use hashbrown::HashMap;
use headroom_core::{
    Str,
    object::{ObjectKey, PodDisruptionBudget},
};

use super::Cache;

/// Budgets by namespace and name.
#[derive(Debug, Clone, Default)]
pub(super) struct Budgets(HashMap<Str, HashMap<Str, Arc<PodDisruptionBudget>>>);

impl Cache {
    /// A budget came or changed.
    pub fn set_budget(&mut self, budget: Arc<PodDisruptionBudget>) {
        let key = budget.meta.key.clone();
        self.budgets.0.entry(key.namespace).or_default().insert(key.name, budget);
    }

    /// A budget went.
    pub fn remove_budget(&mut self, key: &ObjectKey) {
        if let Some(all) = self.budgets.0.get_mut(&key.namespace) {
            all.remove(&key.name);
            if all.is_empty() {
                self.budgets.0.remove(&key.namespace);
            }
        }
    }

    /// The budgets of a namespace, in no particular order.
    pub fn budgets(&self, namespace: &str) -> impl Iterator<Item = &Arc<PodDisruptionBudget>> {
        self.budgets.0.get(namespace).into_iter().flat_map(HashMap::values)
    }
}
