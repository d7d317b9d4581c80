//! kthw.
fn main() {}
