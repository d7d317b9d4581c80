//! What recipes declare on a node, one file for each kind.

mod boot;
mod command;
mod declare;
mod directory;
mod file;
mod in_use;
mod kernel_module;
mod key_pair;
mod line;
mod open_node;
mod package;
mod proxy;
mod repository;
mod script;
mod secret_file;
mod selinux;
mod service;
mod swap;
mod symlink;
mod sysctl;
#[cfg(test)]
pub(crate) mod testing;

pub use boot::restart_reasons;
pub(crate) use boot::{has_started, restart_query};
pub(crate) use file::kind_field;
pub use in_use::InUse;
pub use kernel_module::MODULES_QUERY;
pub use key_pair::{Logins, private_key, public_half};
pub(crate) use open_node::until_open;
pub(crate) use package::Package;
pub use service::PROPERTIES as SERVICE_PROPERTIES;
pub(crate) use service::{Service, started_s};
pub use swap::SWAP_QUERY;
pub use sysctl::SYSCTL_QUERY;

use rhai::{Module, plugin::*};

/// The `ssh` module, for scripts.
pub fn module() -> Module {
    let mut module = Module::new();
    module
        .combine(exported_module!(open_node::api))
        .combine(exported_module!(file::api))
        .combine(exported_module!(directory::api))
        .combine(exported_module!(symlink::api))
        .combine(exported_module!(line::api))
        .combine(exported_module!(repository::api))
        .combine(exported_module!(package::api))
        .combine(exported_module!(proxy::api))
        .combine(exported_module!(service::api))
        .combine(exported_module!(kernel_module::api))
        .combine(exported_module!(sysctl::api))
        .combine(exported_module!(swap::api))
        .combine(exported_module!(selinux::api))
        .combine(exported_module!(command::api))
        .combine(exported_module!(script::api))
        .combine(exported_module!(key_pair::api));
    module
}

#[cfg(test)]
mod tests {
    use crate::{help, script_engine, workspace::Cluster};
    use kthw_engine::{Recipe, Source, evaluate};
    use rhai::Dynamic;
    use std::sync::Arc;

    #[test]
    fn every_function_has_an_example_that_declares() {
        let engine = script_engine();
        for function in help::functions().into_iter().filter(|function| function.module == "ssh") {
            let examples = function.examples();
            assert!(!examples.is_empty(), "{} has no example", function.signature());
            for example in examples {
                let text = format!("const VERSION = \"1.0.0\";\nfn declare(cluster) {{\n{example}}}\n");
                let source = Source { name: "example".into(), path: "example.rhai".into(), text };
                let recipe = Recipe::parse(&engine, source).unwrap_or_else(|error| panic!("{}: {error}", function.signature()));
                let cluster = Cluster::new(Arc::new(super::testing::workspace())).unwrap();
                let declared =
                    evaluate(&engine, &recipe, Dynamic::from(cluster)).unwrap_or_else(|error| panic!("{}: {error}", function.signature()));
                assert!(!declared.declared.is_empty(), "{}", function.signature());
            }
        }
    }

    #[test]
    fn large_files_without_end_are_too_much() {
        let engine = script_engine();
        let told = |call: &str| {
            let text = format!(
                "const VERSION = \"1.0.0\";\nfn declare(cluster) {{\n  let half = \"x\"; for n in 0..19 {{ half += half; }}\n  \
                 for n in 0..600 {{ {call}; }}\n}}\n"
            );
            let recipe = Recipe::parse(&engine, Source { name: "large".into(), path: "large.rhai".into(), text }).unwrap();
            let cluster = Cluster::new(Arc::new(super::testing::workspace())).unwrap();
            evaluate(&engine, &recipe, Dynamic::from(cluster)).unwrap_err().to_string()
        };
        for call in ["ssh::file(cluster.nodes[0], `/srv/${n}`, #{ content: half })", "ssh::line(cluster.nodes[0], `/srv/${n}`, half)"] {
            assert_eq!(told(call), "this recipe declares more than 256 MiB of text", "{call}");
        }
    }

    #[test]
    fn wrong_options_are_told_with_the_nearest_name() {
        let engine = script_engine();
        let told = |call: &str| {
            let text = format!("const VERSION = \"1.0.0\";\nfn declare(cluster) {{ for node in cluster.nodes {{ {call}; }} }}\n");
            let source = Source { name: "wrong".into(), path: "wrong.rhai".into(), text };
            let recipe = Recipe::parse(&engine, source).unwrap();
            let cluster = Cluster::new(Arc::new(super::testing::workspace())).unwrap();
            evaluate(&engine, &recipe, Dynamic::from(cluster)).unwrap_err().to_string()
        };
        expect_test::expect![[r#"
            unknown field `contents`, expected one of `content`, `mode`, `owner`, `needs`, `present`
            `mode` is text in octal, such as "0644"
            `content` is text or a secret
            the path "etc/a" is not absolute
            give either `creates` or `unless`, so that a second run has nothing to do
            "a b" is not the name of a package: letters, digits and `+-.` only
            `restarted_by` takes a list of identities that other functions returned
            `enabled: true` is not supported; kthw only keeps swap off"#]]
        .assert_eq(
            &[
                r#"ssh::file(node, "/etc/a", #{ contents: "x" })"#,
                r#"ssh::file(node, "/etc/a", #{ content: "x", mode: 644 })"#,
                r#"ssh::file(node, "/etc/a", #{ content: 5 })"#,
                r#"ssh::directory(node, "etc/a")"#,
                r#"ssh::command(node, "a", #{ run: ["true"] })"#,
                r#"ssh::package(node, "a b")"#,
                r#"ssh::service(node, "a", #{ restarted_by: ["containerd"] })"#,
                r#"ssh::swap(node, #{ enabled: true })"#,
            ]
            .map(told)
            .join("\n"),
        );
    }
}
