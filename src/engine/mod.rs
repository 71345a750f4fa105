//! The engine: the only place that knows store and connectors.
