//! The secrets that kthw knows by name, and what the system before called each of them.

/// One secret as kthw names it.
#[derive(Debug)]
pub struct Known {
    /// Its dotted name.
    pub name: &'static str,
    /// What it is.
    pub meaning: &'static str,
    /// Who uses it.
    pub used_by: &'static str,
    /// Whether it is a list, each of whose items is a secret.
    pub list: bool,
    /// Its names in the files of the system before.
    pub old: &'static [&'static str],
}

const fn known(name: &'static str, meaning: &'static str, used_by: &'static str, old: &'static [&'static str]) -> Known {
    Known { name, meaning, used_by, list: false, old }
}

/// For what kthw has no module yet: recipes of one's own can use it.
const RECIPES: &str = "recipes, by `sops::secret`";

/// All secrets that kthw knows by name. The old names are those of the loader (`global`, `default`), of the top level, of the host name
/// scripts (`virtual_environment_…`, `proxmox_…`) and of the object storage script (`minio_…`).
pub const KNOWN: &[Known] = &[
    known(
        "proxmox.endpoint",
        "URL of a Proxmox host",
        "module proxmox",
        &["default.proxmox.endpoint", "proxmox_endpoint", "virtual_environment_endpoint"],
    ),
    known("proxmox.token", "API token, `user@realm!id=uuid`", "module proxmox", &["virtual_environment_api_token"]),
    known(
        "proxmox.username",
        "user with its realm, where there is no token",
        "module proxmox",
        &["default.proxmox.username", "proxmox_username", "virtual_environment_username"],
    ),
    known(
        "proxmox.password",
        "that user's password",
        "module proxmox",
        &["default.proxmox.password", "proxmox_password", "virtual_environment_password"],
    ),
    known("ssh.private_key", "key that nodes are logged in to with", "`ssh.key_secret` of the workspace", &[]),
    known(
        "vm.username",
        "user of the machines; `ssh.user` of the workspace is what counts",
        RECIPES,
        &["global.vm_username", "vm_username"],
    ),
    known("vm.password", "that user's password; kthw logs in with keys alone", RECIPES, &["global.vm_password", "vm_password"]),
    Known {
        name: "vm.ssh_keys",
        meaning: "public keys of the machines; `ssh.authorized_keys` of the workspace is what counts",
        used_by: RECIPES,
        list: true,
        old: &["global.vm_ssh_keys", "vm_ssh_keys"],
    },
    known("cloudflare.api_token", "token for DNS", RECIPES, &["global.cloudflare_dns_api_token"]),
    known("cloudflare.email", "account of that token", RECIPES, &["global.cloudflare_email"]),
    known("docker_hub.username", "account of the image registry", RECIPES, &["global.docker_hub_username"]),
    known("docker_hub.password", "its password", RECIPES, &["global.docker_hub_password"]),
    known("s3.bucket", "bucket of the object storage", RECIPES, &["default.s3_backend.bucket", "minio_bucket"]),
    known("s3.region", "its region", RECIPES, &["default.s3_backend.region", "minio_region"]),
    known("s3.endpoint", "its URL", RECIPES, &["default.s3_backend.endpoint", "minio_endpoint"]),
    known("s3.access_key", "access key", RECIPES, &["default.s3_backend.access_key", "minio_access_key"]),
    known("s3.secret_key", "secret key", RECIPES, &["default.s3_backend.secret_key", "minio_secret_key"]),
    known("pihole.password", "password of the name server's web interface", RECIPES, &["default.pihole.web_password"]),
    known("pihole.address", "its address", RECIPES, &["default.pihole.ip_address"]),
    known("harbor.hostname", "host name of the registry", RECIPES, &["default.harbor.hostname"]),
    known("harbor.robot_username", "its robot account", RECIPES, &["default.harbor.robot_username", "default.harbor.robot_user"]),
    known("harbor.robot_token", "the token of that account", RECIPES, &["default.harbor.robot_token"]),
];
