//! Gates at which requests wait until a test lets them go; no sleeping anywhere.
//!
//! This file must not know requests or twins.

use std::collections::BTreeMap;

use tokio::sync::watch;

#[derive(Debug, Clone, Copy, Default)]
struct Gate {
    released: u64,
    waiting: usize,
}

/// All gates of a hub, by name. A gate exists as soon as somebody names it.
#[derive(Debug)]
pub struct Gates {
    gates: watch::Sender<BTreeMap<String, Gate>>,
}

impl Default for Gates {
    fn default() -> Gates {
        Gates { gates: watch::Sender::new(BTreeMap::new()) }
    }
}

impl Gates {
    /// Lets everybody go who waits at the gate now.
    pub fn release(&self, name: &str) {
        self.gates.send_modify(|gates| {
            let gate = gates.entry(name.to_owned()).or_default();
            gate.released += 1;
            gate.waiting = 0;
        });
    }

    /// Lets everybody go at all gates.
    pub fn release_all(&self) {
        self.gates.send_modify(|gates| {
            for gate in gates.values_mut() {
                gate.released += 1;
                gate.waiting = 0;
            }
        });
    }

    /// Who waits: name of the gate and number of requests.
    pub fn waiting(&self) -> BTreeMap<String, usize> {
        self.gates.borrow().iter().map(|(name, gate)| (name.clone(), gate.waiting)).collect()
    }

    /// Returns when at least so many requests wait at the gate.
    pub async fn wait_until_held(&self, name: &str, requests: usize) {
        let mut watcher = self.gates.subscribe();
        // The sender lives as long as `self`, so the only way out is the condition.
        let _ = watcher.wait_for(|gates| gates.get(name).is_some_and(|gate| gate.waiting >= requests)).await;
    }

    pub(crate) async fn wait(&self, name: &str) {
        let mut watcher = self.gates.subscribe();
        let mut ticket = 0;
        self.gates.send_modify(|gates| {
            let gate = gates.entry(name.to_owned()).or_default();
            gate.waiting += 1;
            ticket = gate.released;
        });
        let _ = watcher.wait_for(|gates| gates.get(name).is_some_and(|gate| gate.released > ticket)).await;
    }
}
