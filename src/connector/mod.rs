//! Connectors: outside systems as data.
//!
//! `api.rs` is the one trait that the engine knows. `client.rs` sends requests within budget; every
//! adapter uses it. The declarative engine reads definitions (`definition.rs`, judged by `lint.rs`) and
//! runs them: `system.rs` and `entity.rs` on top, `connection.rs` for one exchange with its credentials,
//! and pure parts below. It must not import the store or the engine.

pub mod api;
pub mod auth;
pub mod budget;
pub mod capabilities;
pub mod card;
pub mod client;
pub mod connection;
pub mod definition;
pub mod entity;
pub mod items;
pub mod jwt;
mod lint;
mod listing;
pub mod oauth1;
pub mod placeholder;
pub mod rules;
pub mod scan;
pub mod secret;
pub mod system;
mod tombstones;
mod vars;
pub mod wire;

#[cfg(test)]
pub(crate) mod fakes;
