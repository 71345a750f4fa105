//! What all twins share: a server, a world with a true history, and knobs for everything that can go wrong.
//!
//! A twin is a state machine (`Twin`) that answers one request at a time from a `World` of JSON records. The
//! `Hub` puts faults between the wire and the twin; `start` serves a hub over HTTP or HTTPS; `Hub::exchange`
//! calls it in process. The kit must not know any vendor.

pub mod behaviour;
mod control;
pub mod faults;
mod gates;
pub mod http;
mod hub;
mod outgoing;
mod server;
mod store;
mod stream;
mod tls;
mod world;

#[cfg(test)]
mod hub_tests;
#[cfg(test)]
mod server_tests;

pub use behaviour::{Automation, Dropped, Normalise, Normaliser, Occasion, SEED, merge, set, unset};
pub use faults::{Edit, Effect, Fault, Faults, RetryAfter, When};
pub use gates::Gates;
pub use http::{Answer, Request};
pub use hub::{Hub, Outcome, Twin};
pub use outgoing::Outgoing;
pub use server::{Running, start};
pub use store::Store;
pub use tls::{Authority, Tls};
pub use world::{Event, Logged, Save, World};
