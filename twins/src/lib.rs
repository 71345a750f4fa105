//! Stateful stand-ins for vendors' APIs, written from the vendors' documents.
//!
//! A twin keeps real state, speaks the vendor's protocol, can be told to misbehave, and remembers its true
//! history. Tests, the simulation's network scenarios and `tallysync demo` use them. Nothing here may know how
//! the daemon talks to a vendor: both can then be wrong only separately.

pub mod kit;
pub mod netsuite;
pub mod salesforce;
pub mod tallyfy;
