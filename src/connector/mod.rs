//! Connectors: outside systems as data.
//!
//! `api.rs` is the one trait that the engine knows. `client.rs` sends requests within budget; every
//! adapter uses it. The declarative engine reads definitions (`definition.rs`, judged by `lint.rs`) and
//! runs them: `system.rs` and `entity.rs` on top, `connection.rs` for one exchange with its credentials,
//! and pure parts below. It must not import the store or the engine.

mod answers;
pub mod api;
pub mod auth;
pub mod budget;
pub mod capabilities;
pub mod card;
pub mod catalog;
pub mod client;
pub mod connection;
pub mod definition;
pub mod entity;
pub mod items;
pub mod jwt;
mod lint;
mod lint_places;
mod listing;
mod login;
pub mod oauth1;
mod opening;
pub mod placeholder;
pub mod rules;
pub mod scan;
pub mod secret;
pub mod system;
pub mod template;
mod tombstones;
mod vars;
pub mod wire;

#[cfg(test)]
pub(crate) mod fakes;
#[cfg(test)]
mod own_definition_tests;
#[cfg(test)]
mod tryton_server_tests;
