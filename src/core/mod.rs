//! The decision core: pure functions over plain data. It knows no clock, network, file, database or log,
//! and imports nothing of the program but itself.

pub mod account;
pub mod convert;
pub mod expr;
pub mod guard;
pub mod identity;
pub mod lens;
pub mod merge;
pub mod plan;
pub mod record;
pub mod retry;
pub mod schedule;
pub mod spec;
pub mod value;
