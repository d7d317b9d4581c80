//! The sandboxed script engine with every module in it.
use crate::{MODULES, sops, workspace};
use rhai::{Engine, Module};

/// A module that scripts call: its name and what makes it.
pub type Entry = (&'static str, fn() -> Module);

/// A sandboxed script engine with every module.
pub fn script_engine() -> Engine {
    let mut engine = Engine::new();
    kthw_engine::limits(&mut engine);
    workspace::register(&mut engine);
    sops::register(&mut engine);
    for (name, module) in MODULES {
        engine.register_static_module(*name, module().into());
    }
    engine
}
