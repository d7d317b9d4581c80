//! Every variable that the old system knew: where it goes in a workspace, or why it goes nowhere.

/// What becomes of a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It becomes this field.
    Field(&'static str),
    /// It becomes this field if it stands in an environment's own file; in `cpc.env` nothing read it.
    FieldOfEnvironment(&'static str),
    /// Nothing read it. The variable of OpenTofu whose default was in force instead, and the field where kthw has the same.
    OfTofu { default: &'static str, field: &'static str },
    /// Nothing read it: why, and what to do.
    Unread { why: &'static str, instead: &'static str },
    /// It had an effect, and a workspace does not say such a thing: what to do.
    LeftOut { instead: &'static str },
    /// A secret, by the name that it has in `secrets.sops.yaml`.
    Secret(&'static str),
}

/// What becomes of the variable `name`; `None` for one that kthw never heard of.
pub fn fate(name: &str) -> Option<Fate> {
    KNOWN.iter().find(|(known, _)| *known == name).map(|(_, fate)| *fate)
}

/// Whether the value of a variable that kthw does not know may be a secret, by its name.
pub fn sounds_secret(name: &str) -> bool {
    ["PASSWORD", "PASSWD", "SECRET", "TOKEN", "CREDENTIAL", "PRIVATE", "API_KEY", "ACCESS_KEY"].iter().any(|word| name.contains(word))
}

const fn of_tofu(default: &'static str, field: &'static str) -> Fate {
    Fate::OfTofu { default, field }
}

const fn unread(why: &'static str, instead: &'static str) -> Fate {
    Fate::Unread { why, instead }
}

const fn left_out(instead: &'static str) -> Fate {
    Fate::LeftOut { instead }
}

/// The add-ons of the old system read variables in lower case, and Ansible got them in upper case.
const fn add_on(why: &'static str) -> Fate {
    unread(why, "kthw has no module for it yet: install it as before")
}

const fn named_add_on(why: &'static str) -> Fate {
    unread(why, "name it under `add_ons`, with its version")
}

const OLD_SPELLING: Fate = left_out("it is an old spelling, which counted no more: look at the one without the name of a distribution");

/// All of them, by the place where they are written.
const KNOWN: &[(&str, Fate)] = &[
    // cpc.env
    ("TIMEZONE", unread("templates were made with America/New_York", "kthw leaves the image's time zone, which is UTC")),
    ("PROXMOX_NODE", Fate::Field("proxmox.node")),
    ("PROXMOX_HOST", Fate::Secret("proxmox.endpoint")),
    ("PROXMOX_USERNAME", Fate::Secret("proxmox.username")),
    ("PROXMOX_PASSWORD", Fate::Secret("proxmox.password")),
    ("PROXMOX_SSH_USERNAME", left_out("kthw never logs in to a Proxmox host: its API does everything")),
    ("PROXMOX_STORAGE_BASE_PATH", left_out("kthw asks Proxmox for storages and knows no paths: see `proxmox.image_storage`")),
    ("PROXMOX_ISO_PATH", left_out("kthw asks Proxmox for storages and knows no paths: see `proxmox.image_storage`")),
    ("PROXMOX_DISK_DATASTORE", Fate::Field("proxmox.storage")),
    ("PROXMOX_BACKUPS_DATASTORE", left_out("kthw makes no backups of machines: keep the backup job that you have")),
    ("FORCE_IMAGE_DOWNLOAD", left_out("an image is kept by its digest and never downloaded twice: see `template.image.sha256`")),
    ("TEMPLATE_VM_BRIDGE", left_out("template and machines have one bridge: see `proxmox.bridge`")),
    ("TEMPLATE_VLAN_TAG", left_out("machines had no VLAN: if they are to have one, write `proxmox.vlan`")),
    ("TEMPLATE_VM_SEARCH_DOMAIN", left_out("machines search in `domain`, or in what `network.dns_search` says")),
    ("TEMPLATE_VM_GATEWAY", left_out("only the template had it: see `network.gateway`")),
    ("TEMPLATE_VM_CPU_TYPE", left_out("only the template had it, and machines had kvm64: see `machine.cpu_type`")),
    ("TEMPLATE_VM_CPU", left_out("only the template had it: see `machine.cores`")),
    ("TEMPLATE_VM_MEM", left_out("only the template had it: see `machine.memory_mib`")),
    ("TEMPLATE_DISK_SIZE", left_out("only the template had it: see `machine.disk_gib`")),
    (
        "TEMPLATE_VM_IP",
        left_out("a template of kthw is built at `template.build_address`: write a free address of the nodes' network there"),
    ),
    ("NVIDIA_DRIVER_VERSION", left_out("kthw installs no drivers: a recipe of your own can")),
    ("EXTRA_TEMPLATE_TAGS", left_out("kthw marks templates with a tag of its own; tags that you add stay")),
    ("NON_PASSWORD_PROTECTED_SSH_KEY", left_out("write the key's path as `ssh.key_file`, such as `~/.ssh/id_ed25519`")),
    ("ANSIBLE_REMOTE_USER", Fate::Field("ssh.user")),
    ("KUBECONFIG", left_out("`kthw kubeconfig` writes a file for each cluster and leaves yours alone")),
    ("NETWORK_BRIDGE", of_tofu("network_bridge", "proxmox.bridge")),
    ("STORAGE", unread("machines' disks were on MyStorage, which was written into locals.tf", "see `proxmox.storage`")),
    ("NETWORK_CIDR", Fate::FieldOfEnvironment("network.nodes")),
    ("NETWORK_GATEWAY", unread("the first host of the network was taken", "see `network.gateway`")),
    ("STATIC_IP_START", Fate::FieldOfEnvironment("nodes[].address")),
    ("WORKSPACE_IP_BLOCK_SIZE", Fate::FieldOfEnvironment("nodes[].address")),
    ("STATIC_IP_BASE", Fate::FieldOfEnvironment("nodes[].address")),
    ("STATIC_IP_GATEWAY", Fate::FieldOfEnvironment("network.gateway")),
    ("PRIMARY_DNS_SERVER", Fate::Field("network.dns")),
    ("SECONDARY_DNS_SERVER", Fate::Field("network.dns")),
    ("TWO_DNS_SERVERS", left_out("PRIMARY_DNS_SERVER and SECONDARY_DNS_SERVER counted: see `network.dns`")),
    ("DNS_SERVERS", left_out("PRIMARY_DNS_SERVER and SECONDARY_DNS_SERVER counted: see `network.dns`")),
    ("REPO_PATH", left_out("kthw needs no path of itself")),
    // Users and secrets, which people write into either file.
    ("VM_USERNAME", Fate::Field("ssh.user")),
    ("VM_SSH_KEY", Fate::Field("ssh.authorized_keys")),
    ("VM_PASSWORD", Fate::Secret("vm.password")),
    ("CLOUDFLARE_DNS_API_TOKEN", Fate::Secret("cloudflare.api_token")),
    ("CLOUDFLARE_EMAIL", Fate::Secret("cloudflare.email")),
    ("DOCKER_HUB_USERNAME", Fate::Secret("docker_hub.username")),
    ("DOCKER_HUB_PASSWORD", Fate::Secret("docker_hub.password")),
    ("AWS_ACCESS_KEY_ID", Fate::Secret("s3.access_key")),
    ("AWS_SECRET_ACCESS_KEY", Fate::Secret("s3.secret_key")),
    ("AWS_DEFAULT_REGION", Fate::Secret("s3.region")),
    ("PIHOLE_WEB_PASSWORD", Fate::Secret("pihole.password")),
    ("PIHOLE_IP_ADDRESS", Fate::Secret("pihole.address")),
    ("HARBOR_HOSTNAME", Fate::Secret("harbor.hostname")),
    ("HARBOR_ROBOT_USERNAME", Fate::Secret("harbor.robot_username")),
    ("HARBOR_ROBOT_TOKEN", Fate::Secret("harbor.robot_token")),
    // envs/NAME.env
    ("TEMPLATE_VM_ID", Fate::Field("template.vmid")),
    ("TEMPLATE_VM_NAME", Fate::Field("template.name")),
    ("IMAGE_NAME", Fate::Field("template.image.file")),
    ("IMAGE_LINK", Fate::Field("template.image.url")),
    ("RELEASE_LETTER", Fate::Field("release_letter")),
    ("KUBERNETES_LONG_VERSION", Fate::Field("versions.kubernetes")),
    ("KUBERNETES_MEDIUM_VERSION", left_out("the repository of packages follows from `versions.kubernetes`")),
    ("KUBERNETES_SHORT_VERSION", left_out("it follows from `versions.kubernetes`")),
    ("ADDITIONAL_WORKERS", Fate::Field("nodes")),
    ("ADDITIONAL_CONTROLPLANES", left_out("the old system never joined one to the cluster, and kthw builds one control plane")),
    ("PM_TEMPLATE_ID", unread("machines were cloned from the id in variables.tf", "see `template.vmid`")),
    ("VM_CPU_CORES", of_tofu("vm_cpu_cores", "machine.cores")),
    ("VM_MEMORY_DEDICATED", of_tofu("vm_memory_dedicated", "machine.memory_mib")),
    ("VM_DISK_SIZE", of_tofu("vm_disk_size", "machine.disk_gib")),
    ("VM_STARTED", unread("machines were started in any case", "kthw starts what it makes")),
    ("VM_DOMAIN", of_tofu("vm_domain", "domain")),
    ("CALICO_VERSION", unread("v3.28.0 was installed, which was written into the playbook", "see `versions.calico`")),
    (
        "METALLB_VERSION",
        unread(
            "v0.14.8 was installed, by its add-on's default, with the same addresses in every cluster",
            "name it in a block `metallb`, with a pool of this cluster's own",
        ),
    ),
    ("COREDNS_VERSION", unread("kubeadm's own, or 1.11.1 by its add-on's default", "kubeadm's own goes with `versions.kubernetes`")),
    ("METRICS_SERVER_VERSION", named_add_on("v0.7.2 was installed, by its add-on's default")),
    ("CERT_MANAGER_VERSION", named_add_on("v1.16.2 was installed, by its add-on's default")),
    ("ARGOCD_VERSION", add_on("v2.13.2 was installed, by its add-on's default")),
    ("INGRESS_NGINX_VERSION", add_on("v1.12.0 was installed, by its add-on's default")),
    ("CNI_PLUGINS_VERSION", unread("nothing installed these plugins", "packages bring them")),
    ("ETCD_VERSION", unread("kubeadm's own was installed", "it goes with `versions.kubernetes`")),
    ("LOCAL_PATH_PROVISIONER_VERSION", unread("there was no such add-on", "name it under `add_ons` if you want it")),
    (
        "KUBELET_SERVING_CERT_APPROVER_VERSION",
        unread("there was no such add-on", "kthw leaves kubelets' certificates as kubeadm makes them, so none waits to be approved"),
    ),
];

/// What becomes of a variable whose name ends in a distribution's, `CALICO_VERSION_UBUNTU`, as old copies of cpc.env have them.
pub fn fate_of_old_spelling(name: &str) -> Option<Fate> {
    let (before, distribution) = name.rsplit_once('_')?;
    let is_one = ["UBUNTU", "DEBIAN", "ROCKY", "SUSE"].contains(&distribution);
    let template = before == "PM_TEMPLATE" || name.starts_with("PM_TEMPLATE_") && name.ends_with("_ID");
    (is_one && fate(before).is_some() || template).then_some(OLD_SPELLING)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_variable_is_there_once_and_a_field_is_one_of_the_workspace() {
        let help = kthw_stdlib::workspace::reference();
        for (index, (name, fate)) in KNOWN.iter().enumerate() {
            assert!(KNOWN[..index].iter().all(|(other, _)| other != name), "{name} twice");
            let (Fate::Field(field) | Fate::FieldOfEnvironment(field) | Fate::OfTofu { field, .. }) = fate else { continue };
            let last = field.rsplit('.').next().unwrap();
            assert!(help.contains(last), "{field} of {name} is not in the help");
        }
    }

    #[test]
    fn each_secret_has_a_name_that_kthw_knows() {
        for (name, fate) in KNOWN {
            let Fate::Secret(secret) = fate else { continue };
            assert!(kthw_sops::KNOWN.iter().any(|known| known.name == *secret), "{name}: {secret}");
        }
        assert!(sounds_secret("MY_API_TOKEN") && !sounds_secret("TIMEZONE"));
    }

    #[test]
    fn old_spellings_are_known_as_such() {
        assert_eq!(fate_of_old_spelling("CALICO_VERSION_UBUNTU"), Some(OLD_SPELLING));
        assert_eq!(fate_of_old_spelling("PM_TEMPLATE_SUSE_ID"), Some(OLD_SPELLING));
        assert_eq!(fate_of_old_spelling("MY_OWN_UBUNTU"), None);
    }
}
