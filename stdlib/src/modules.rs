//! The table of modules: one line each. Help, definitions and example tests are derived from it.
use crate::{calico, kubeadm, kubernetes, proxmox, workspace};
use rhai::{Engine, Module};

/// A module that scripts call: its name and what makes it.
pub type Entry = (&'static str, fn() -> Module);

/// All modules, in the order in which help lists them.
#[rustfmt::skip]
pub const MODULES: &[Entry] = &[
    ("proxmox", proxmox::module),
    ("kubeadm", kubeadm::module),
    ("kubernetes", kubernetes::module),
    ("calico", calico::module),
];

/// A sandboxed script engine with every module.
pub fn script_engine() -> Engine {
    let mut engine = Engine::new();
    kthw_engine::limits(&mut engine);
    workspace::register(&mut engine);
    for (name, module) in MODULES {
        engine.register_static_module(*name, module().into());
    }
    engine
}
