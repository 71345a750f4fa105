//! Retries.
use std::time::Duration;

/// How long to wait before attempt `attempt + 1` (`attempt` counts failures, from 1).
pub fn backoff(_attempt: u32, _random: u64) -> Duration {
    todo!()
}
