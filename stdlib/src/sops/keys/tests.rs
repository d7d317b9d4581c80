//! The services over variables of a test, and against the real programs where they are installed.
