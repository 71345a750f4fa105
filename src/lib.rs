//! tallysync keeps Tallyfy, the ERP and the CRM telling one story.
//!
//! `docs/architecture.md` is the map. Data flows one way: observe (poll, mirror, changes), decide (merge,
//! plan, guards), act (outbox, write, confirm).

pub mod cli;
pub mod config;
pub mod connector;
pub mod core;
pub mod engine;
pub mod ports;
pub mod store;
pub mod tallyfy;
