//! The one file that comes from this project itself: the checker of a load balancer.
use super::Upstream;

/// The checker (`kthw-checker`, docs/adr/0016-an-active-check-beside-nginx.md) in the version of this kthw. It has no address: whoever builds kthw
/// builds it too, and puts it into the artifacts' mirror.
pub fn checker_file() -> Upstream {
    Upstream {
        project: "kthw".into(),
        version: concat!("v", env!("CARGO_PKG_VERSION")).into(),
        file: "kthw-checker-x86_64-linux".into(),
        url: String::new(),
    }
}
