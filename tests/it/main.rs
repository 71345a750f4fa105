//! The one integration test binary: real processes, real HTTP, real files.
//!
//! One binary, because linking is the slow part of a test build; one module per subject. `support` starts
//! what the tests talk to. Nothing here looks inside the library: what can be tested without a process or
//! a socket is tested beside the code.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test ends by panicking; clippy.toml allows it in test functions but not in what they call"
)]

mod architecture;
mod cli;
mod cli_work;
mod clients;
mod demo;
mod documents;
mod faults;
mod harness;
mod histories;
mod kills;
mod own_connector;
mod scenarios;
#[allow(dead_code, reason = "the vocabulary of the tests is shared; no single test speaks all of it")]
mod support;
mod systemd_units;
mod tryton_sync;
