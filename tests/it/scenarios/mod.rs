//! Stories about whole syncs: three twins over real HTTP, a real state file, the real engine.
//!
//! One file per theme. A story says what people do and what every side shows afterwards; it never looks at
//! how the engine came to it, and time moves only when the story says so.

mod config_changes;
mod conflicts;
mod deleting;
mod doubts;
mod guarding;
mod linking;
mod lost;
mod quiet;
mod references;
mod scope;
mod shipped;
mod travelling;
