//! The declarative connector engine.

pub mod api;
pub mod budget;
pub mod client;

#[cfg(test)]
pub(crate) mod fakes;
