//! The Tallyfy adapter.
