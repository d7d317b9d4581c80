//! Nodes over SSH: the transport, the shell that queries and changes compile to, and the resources of a node.
mod shell;

/// The `ssh` module, for scripts.
pub fn module() -> rhai::Module {
    rhai::Module::new()
}
