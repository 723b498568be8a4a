//! The worker on a source in memory.
