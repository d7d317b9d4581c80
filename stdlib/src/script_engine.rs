//! The sandboxed script engine with every module in it.
use crate::{MODULES, sops, workspace};
use rhai::{Engine, Module, Token};

/// A module that scripts call: its name and what makes it.
pub type Entry = (&'static str, fn() -> Module);

/// A sandboxed script engine with every module.
pub fn script_engine() -> Engine {
    let mut engine = Engine::new();
    kthw_engine::limits(&mut engine);
    allow_package(&mut engine);
    workspace::register(&mut engine);
    sops::register(&mut engine);
    for (name, module) in MODULES {
        engine.register_static_module(*name, module().into());
    }
    engine
}

/// Rhai reserves the word `package` for a use that it never came to; here it is what everybody calls a package: `ssh::package`.
#[allow(deprecated)] // Rhai's note that the function may change, not that it goes away.
fn allow_package(engine: &mut Engine) {
    engine.on_parse_token(|token, _, _| match token {
        Token::Reserved(word) if *word == "package" => Token::Identifier(word),
        token => token,
    });
}
