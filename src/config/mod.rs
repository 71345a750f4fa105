//! The config file.

pub mod model;
