//! Schedules.
use jiff::Timestamp;

/// A five-field Unix cron line in a time zone.
#[derive(Debug, Clone)]
pub struct Schedule {}
impl Schedule {
    /// Reads it.
    pub fn parse(_text: &str, _zone: &str) -> Result<Schedule, String> {
        todo!()
    }
    /// The first moment after this one.
    pub fn next_after(&self, _after: Timestamp) -> Option<Timestamp> {
        todo!()
    }
}
