//! The time of a test: it stands still, and moves only when a test says so or the program waits.
//!
//! Nothing here sleeps. The twins of a world are moved along, so that their stamps and ours tell one story.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tallysync::ports::{BoxFuture, Clock, Random};
use twins::kit::Hub;

/// A clock that stands still.
pub struct TestClock {
    now: Mutex<Timestamp>,
    hubs: Vec<Arc<Hub>>,
}

impl TestClock {
    /// A clock at the present second, and twins that follow it. (What was seeded lies before.)
    pub fn new(hubs: Vec<Arc<Hub>>) -> TestClock {
        let second = Timestamp::now().as_second() + 1;
        let clock = TestClock {
            now: Mutex::new(Timestamp::from_second(second).expect("the present is a time")),
            hubs,
        };
        clock.advance(SignedDuration::ZERO);
        clock
    }

    /// Moves on.
    pub fn advance(&self, by: SignedDuration) {
        let mut now = self.now.lock().expect("no test panics with the clock in hand");
        *now = now.checked_add(by).expect("a test ends before time does");
        for hub in &self.hubs {
            hub.world().set_now(*now);
        }
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        *self.now.lock().expect("no test panics with the clock in hand")
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'_, ()> {
        self.advance(SignedDuration::try_from(duration).expect("a short wait"));
        Box::pin(tokio::task::yield_now())
    }
}

/// Random numbers that are the same in every run of a test.
#[derive(Default)]
pub struct TestRandom(AtomicU64);

impl Random for TestRandom {
    fn next(&self) -> u64 {
        let count = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        count.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}
