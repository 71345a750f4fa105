//! How long to wait before trying again: exponential with full jitter, capped. Randomness is an argument.

use std::time::Duration;

const FIRST_MS: u64 = 2_000;
const LONGEST_MS: u64 = 3_600_000;
const SHORTEST_MS: u64 = 250;

/// How long to wait after the `attempt`-th failure (from 1). Evenly spread between a quarter second and twice
/// as long with every failure, from two seconds up to an hour: many records that fail together do not come
/// back together.
pub fn backoff(attempt: u32, random: u64) -> Duration {
    let doubled = 1_u64.checked_shl(attempt.saturating_sub(1)).unwrap_or(u64::MAX);
    let ceiling = FIRST_MS.saturating_mul(doubled.max(1)).min(LONGEST_MS);
    let spread = ceiling - SHORTEST_MS + 1;
    Duration::from_millis(SHORTEST_MS + random % spread)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_ceiling_doubles_and_stops_at_an_hour() {
        let most = |attempt: u32| {
            let ceiling = 2_000 * 2_u64.pow(attempt - 1);
            backoff(attempt, ceiling.min(3_600_000) - 250)
        };
        assert_eq!(most(1), Duration::from_secs(2));
        assert_eq!(most(2), Duration::from_secs(4));
        assert_eq!(most(10), Duration::from_secs(1024));
        assert_eq!(most(12), Duration::from_secs(3600));
        assert_eq!(backoff(1, 0), Duration::from_millis(250));
    }

    proptest! {
        #[test]
        fn always_within_bounds(attempt: u32, random: u64) {
            let wait = backoff(attempt, random);
            prop_assert!(wait >= Duration::from_millis(250) && wait <= Duration::from_secs(3600));
            if attempt <= 1 {
                prop_assert!(wait <= Duration::from_secs(2));
            }
        }
    }
}
