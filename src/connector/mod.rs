//! The declarative connector engine.

pub mod api;
