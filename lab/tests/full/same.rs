//! The world of a test when everything in it has had its time.
use super::{FULL, Lab};
use kthw_lab::end_state;
use serde_json::Value;
use std::time::Duration;

impl Lab {
    /// The world when everything in it has had its time.
    pub async fn at_rest(&self) -> Value {
        for _ in 0..2 {
            self.peers.clock().sleep(Duration::from_secs(600)).await;
            self.plan(FULL).await;
        }
        end_state(&self.world)
    }
}
