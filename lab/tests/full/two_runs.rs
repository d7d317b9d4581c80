//! Two runs on one world at the same time.
