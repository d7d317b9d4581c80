//! What recipes call: `proxmox::template`, `proxmox::vm` and `proxmox::token`.
use super::{
    names::TemplateName,
    template::{Template, TemplateSpec},
    token::{Token, TokenSpec},
    vm::{Vm, VmSpec},
};
use crate::workspace::{Cluster, Node};
use kthw_engine::{BadOption, Id, Options, Rhai, declare, throw};
use rhai::{Map, Module, plugin::*};

/// The module `proxmox`.
pub fn module() -> Module {
    exported_module!(api)
}

#[export_module]
mod api {
    /// Keeps a VM template, built from a pinned cloud image through the Proxmox API alone.
    ///
    /// Proxmox downloads the image to `images` (content type `import`), checks its digest, keeps it under `file` with that digest in its name, imports it to `storage` and adds a cloud-init
    /// drive, a serial console and the guest agent's channel. The machine's name ends in a digest of image and steps. Another image
    /// needs another `vmid`: machines that exist keep their template, and `--prune` removes the old one when no linked clone uses it.
    ///
    /// Where `artifacts.mirror` is a web server, the image comes from there.
    ///
    /// With `build`, the machine is started once at `template.build_address` of the workspace: it gets the guest agent and `packages`, has to show
    /// its agent after a start, and is cleaned of everything that makes it itself (machine-id, SSH host keys, user, logs). So what is cloned from it answers
    /// through its agent at its first start. Without `build` it is the image as it is.
    ///
    /// Options: `vmid`, `node`, `image_url`, `sha256`, `file`, `images`, `storage`, `bridge`, `cpu_type`; if wanted `vlan`, `disk_gib`,
    /// `vendor_snippet` (a cloud-init vendor file that lies on a storage already, such as `local:snippets/agent.yaml`) and `build`, such as
    /// `#{ packages: ["socat"] }`.
    ///
    /// ```rhai
    /// proxmox::template(cluster, "tpl-ubuntu-2404-k8s", #{
    ///     vmid:      9420,
    ///     node:      "homelab",
    ///     image_url: "https://cloud-images.ubuntu.com/releases/noble/release-20260814/ubuntu-24.04-server-cloudimg-amd64.img",
    ///     sha256:    "6e40c07ae715f744f84af0bec76415cc1987dd115b4b8de437818561f01a3733",
    ///     file:      "ubuntu-24.04-server-cloudimg-amd64-20260814.qcow2",
    ///     images:    "local",
    ///     storage:   "local-lvm",
    ///     bridge:    "vmbr0",
    ///     cpu_type:  "x86-64-v2-AES",
    /// });
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn template(cx: NativeCallContext, cluster: Cluster, name: &str, options: Map) -> Rhai<Id> {
        let Options { mut spec, common } = Options::<TemplateSpec>::parse(&cx, "proxmox::template", options)?;
        spec.image_url = crate::artifact::image_place(cluster.workspace(), &spec.image_url);
        let name = match name.parse::<TemplateName>() {
            Ok(name) => name,
            Err(error) => return throw(&cx, BadOption::new("proxmox::template", error.to_string())),
        };
        let template = match Template::new(&cluster.workspace().name, name, spec) {
            Ok(template) => template,
            Err(error) => return throw(&cx, error),
        };
        match template.of(cluster.workspace()) {
            Ok(template) => declare(&cx, template, common),
            Err(error) => throw(&cx, error),
        }
    }

    /// Keeps a virtual machine: cloned from a template, configured, started, and up at its node's address.
    ///
    /// It is recognised by its VM id together with a mark in its description; a machine that somebody else made is never touched. Cores,
    /// memory, CPU type and what cloud-init sets are changed in the configuration and take effect when the machine is next
    /// restarted, which only `kubernetes::node_restarted` does. A disk only grows. Another storage, template or kind of clone would need the machine
    /// to be made anew, which kthw never does by itself.
    ///
    /// Options: `template`, `vmid`, `storage`, `bridge`, `cores`, `memory_mib`, `disk_gib`, `cpu_type`; if wanted `clone` (`"full"` or
    /// `"linked"`), `vlan`, `on_boot`, `tags`, `pool`, `node` (the Proxmox node that it is made on) and `agent_timeout_s` (how long the
    /// guest agent may stay silent after a start before the machine is used without it).
    ///
    /// ```rhai
    /// for node in cluster.nodes {
    ///     proxmox::vm(cluster, node, #{
    ///         template:   "tpl-ubuntu-2404-k8s",
    ///         vmid:       node.vmid,
    ///         clone:      "full",
    ///         storage:    "local-lvm",
    ///         bridge:     "vmbr0",
    ///         cores:      2,
    ///         memory_mib: 4096,
    ///         disk_gib:   20,
    ///         cpu_type:   "x86-64-v2-AES",
    ///         tags:       ["k8s", cluster.name],
    ///     });
    /// }
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn vm(cx: NativeCallContext, _cluster: Cluster, node: Node, options: Map) -> Rhai<Id> {
        let Options { spec, common } = Options::<VmSpec>::parse(&cx, "proxmox::vm", options)?;
        match Vm::new(&node, spec) {
            Ok(vm) => declare(&cx, vm, common),
            Err(error) => throw(&cx, error),
        }
    }

    /// Keeps an API token in the secrets file, and makes it anew when the workspace's `rotation` asks for it.
    ///
    /// A token is called `NAME-GENERATION`. It is made anew when the one in the secrets file was not made by kthw, has a lower generation
    /// than `rotation.generation`, or is older than `rotation.max_age_days`. The new one gets the same rights (`privsep` and the entries of
    /// the access control list), is tried, and written to the secrets file; only then those before it that kthw made are removed. A run that
    /// fails in between leaves a token in the file that works, and the next run finishes the work. A token that kthw did not make is never
    /// removed; the run says how to do it.
    ///
    /// Where the secret is not there yet, a token with its user's own rights is made for whoever is signed in: so a password is left behind.
    /// Whoever is signed in needs `User.Modify` on the user (a user may do it for itself, a token may not), and for a token with privilege
    /// separation `Permissions.Modify` where it has rights.
    ///
    /// Options: `secret` (which holds `user@realm!id=uuid`); if wanted `user`.
    ///
    /// ```rhai
    /// proxmox::token(cluster, `kthw-${cluster.name}`, #{ secret: sops::secret("proxmox.token") });
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn token(cx: NativeCallContext, cluster: Cluster, name: &str, options: Map) -> Rhai<Id> {
        let Options { spec, common } = Options::<TokenSpec>::parse(&cx, "proxmox::token", options)?;
        match Token::new(&cluster, name, spec) {
            Ok(token) => declare(&cx, token, common),
            Err(error) => throw(&cx, error),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{help, proxmox::vm::tests::a_cluster, script_engine};
    use kthw_engine::{Recipe, Source, evaluate};
    use rhai::Dynamic;

    /// The identities that a script declares, or its error.
    fn declared(script: &str) -> Result<Vec<String>, String> {
        let text = format!("const VERSION = \"1.0.0\";\nfn declare(cluster) {{\n{script}\n}}\n");
        let engine = script_engine();
        let source = Source { name: "example".into(), path: "example.rhai".into(), text };
        let recipe = Recipe::parse(&engine, source).map_err(|error| error.to_string())?;
        let evaluated = evaluate(&engine, &recipe, Dynamic::from(a_cluster())).map_err(|error| error.to_string())?;
        Ok(evaluated.declared.iter().map(|one| one.id().to_string()).collect())
    }

    #[test]
    fn the_examples_run() {
        let of_module = help::functions().into_iter().filter(|function| function.module == "proxmox");
        let ids: Vec<_> = of_module.flat_map(|function| function.examples()).map(|example| declared(&example)).collect();
        assert_eq!(
            ids,
            ["proxmox.template/tpl-ubuntu-2404-k8s", "proxmox.token/kthw-ubuntu", "proxmox.vm/cu1"].map(|id| Ok(vec![id.to_owned()]))
        );
    }

    #[test]
    fn wrong_options_are_named() {
        let error = |script| declared(script).expect_err("a wrong option");
        assert_eq!(
            error(r#"proxmox::template(cluster, "tpl", #{ vmid: 1, nodes: "a" });"#),
            "unknown field `nodes`, expected one of `vmid`, `node`, `image_url`, `sha256`, `file`, `images`, `storage`, `bridge`, `cpu_type`, \
             `vlan`, `disk_gib`, `vendor_snippet`, `build`, `needs`, `present`"
        );
        let vm = r#"proxmox::vm(cluster, cluster.nodes[0], #{
            template: "tpl", storage: "s1", bridge: "b", cores: 1, memory_mib: 1024, disk_gib: 4, cpu_type: "host" });"#;
        assert_eq!(error(vm), "`cu1` has no VM id");
    }

    type Call<'a> = (&'a str, &'a [(&'a str, &'a str)]);

    /// What is said of a call whose option has this value.
    fn said_of((head, options): Call<'_>, option: &str, value: &str) -> String {
        let others = options.iter().filter(|(name, _)| *name != option);
        let options: Vec<String> = others.chain([&(option, value)]).map(|(name, value)| format!("{name}: {value}")).collect();
        declared(&format!("{head}, #{{ {} }});", options.join(", "))).expect_err("a wrong value")
    }

    #[test]
    fn no_option_reaches_further_than_its_own_place() {
        let usual = [("storage", r#""s1""#), ("bridge", r#""b""#), ("cpu_type", r#""host""#)];
        let of_vm =
            [&usual[..], &[("template", r#""tpl""#), ("vmid", "401"), ("cores", "1"), ("memory_mib", "1024"), ("disk_gib", "4")]].concat();
        let vm: Call<'_> = ("proxmox::vm(cluster, cluster.nodes[0]", &of_vm);
        let of_template = [
            &usual[..],
            &[("vmid", "9420"), ("node", r#""homelab""#), ("image_url", r#""https://a/b""#), ("sha256", r#""00""#)],
            &[("file", r#""a.qcow2""#), ("images", r#""local""#)],
        ]
        .concat();
        let template: Call<'_> = (r#"proxmox::template(cluster, "tpl""#, &of_template);
        for (call, option, value, what) in [
            (vm, "cpu_type", r#""host,flags=+aes""#, "a CPU type"),
            (vm, "storage", r#""local,discard=on""#, "a storage"),
            (vm, "bridge", r#""vmbr0,firewall=0""#, "a bridge"),
            (vm, "pool", r#""a/b""#, "a pool"),
            (vm, "node", r#""..""#, "a node"),
            (vm, "tags", r#"["a;b"]"#, "a tag"),
            (template, "cpu_type", r#""host,hidden=1""#, "a CPU type"),
            (template, "storage", r#""local:0,backup=0""#, "a storage"),
            (template, "images", r#""../local""#, "a storage"),
            (template, "node", r#""a/b""#, "a node"),
            (template, "bridge", r#""vmbr0 ""#, "a bridge"),
            (template, "file", r#""a,b.qcow2""#, "a file"),
            (template, "vendor_snippet", r#""local:snippets/a.yaml,user=local:snippets/b.yaml""#, "a snippet"),
        ] {
            let said = said_of(call, option, value);
            assert!(said.contains(&format!("is not {what}")), "{option}: {value}: {said}");
        }
        let named: Call<'_> = (r#"proxmox::template(cluster, "a&b""#, &of_template);
        assert!(said_of(named, "vmid", "9421").contains("is not a name of a template"));
    }
}
