//! The decision core: pure functions over plain data. It knows no clock, network, file, database or log,
//! and imports nothing of the program but itself.

pub mod expr;
pub mod lens;
pub mod merge;
pub mod record;
pub mod spec;
pub mod value;
