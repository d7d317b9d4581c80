#!/bin/bash
# Writes the floors' scripts: floor-scripts.sh ROOTS RENDERED TARGET N makes TARGET/{apply,batch}/<host>.sh for hosts 1..N.
#   apply: the 20 tasks, each idempotent, in one script
#   batch: the 20 checks folded into one call each of stat, readlink, grep and sha256sum; only when one fails does the whole script run
set -eu
roots=$1 rendered=$2 target=$3 count=$4

helpers() { cat <<'L'
set -eu
changed() { echo "changed: $*"; }
mode() { [ "$(stat -c %a "$1" 2>/dev/null)" = "$2" ] || { changed "mode $1" && chmod "$2" "$1"; } || :; }
dir() { [ -d "$1" ] && { mode "$1" "$2"; return; }; changed "dir $1" && mkdir -m "$2" "$1" || :; }
put() { n=$(cat; echo .); n=${n%.}; if [ -f "$1" ] && printf %s "$n" | cmp -s - "$1"; then mode "$1" "$2"
  else changed "file $1"; printf %s "$n" > "$1.new"; chmod "$2" "$1.new"; mv "$1.new" "$1"; fi; }
line() { grep -qxF -e "$2" "$1" || { changed "line $1" && printf '%s\n' "$2" >> "$1"; } || :; }
link() { [ "$(readlink "$2" 2>/dev/null)" = "$1" ] || { changed "link $2" && ln -sfn "$1" "$2"; } || :; }
creates() { [ -e "$1" ] || { changed "command $1" && sh -c "$2"; } || :; }
L
}

put() { printf "put '%s' %s <<'END_OF_FILE'\n" "$root/$2" "$3"; cat "$rendered/$host/$1"; printf 'END_OF_FILE\n'; }

tasks() {
  echo "dir $root/etc/kubernetes 755"
  echo "dir $root/etc/kubernetes/pki 700"
  echo "dir $root/var/lib/etcd 700"
  put k8s-modules.conf etc/modules-load.d/k8s.conf 644
  put 99-kubernetes.conf etc/sysctl.d/99-kubernetes.conf 644
  put config.toml etc/containerd/config.toml 644
  put crictl.yaml etc/crictl.yaml 644
  put kubelet-config.yaml var/lib/kubelet/config.yaml 600
  put 10-kubeadm.conf etc/systemd/system/kubelet.service.d/10-kubeadm.conf 644
  echo "line $root/etc/sysctl.conf 'net.ipv4.ip_forward=1'"
  echo "line $root/etc/hosts '10.20.0.250 api.cluster.local'"
  echo "line $root/etc/security/limits.conf 'root soft nofile 65536'"
  echo "line $root/etc/environment 'KUBECONFIG=/etc/kubernetes/admin.conf'"
  for program in kubeadm kubelet kubectl; do echo "link $root/opt/k8s/v1.34/$program $root/usr/local/bin/$program"; done
  for program in kubeadm kubelet kubectl; do
    echo "creates $root/var/lib/kthw/$program.sum 'cksum < $root/opt/k8s/v1.34/$program > $root/var/lib/kthw/$program.sum'"
  done
  echo "creates $root/var/lib/kthw/preflight 'test -d $root/etc/kubernetes/pki && echo ok > $root/var/lib/kthw/preflight'"
}

digests() {
  while read -r file path; do echo "$(sha256sum < "$rendered/$host/$file" | cut -d' ' -f1)  $root/$path"; done <<'S'
k8s-modules.conf etc/modules-load.d/k8s.conf
99-kubernetes.conf etc/sysctl.d/99-kubernetes.conf
config.toml etc/containerd/config.toml
crictl.yaml etc/crictl.yaml
kubelet-config.yaml var/lib/kubelet/config.yaml
10-kubeadm.conf etc/systemd/system/kubelet.service.d/10-kubeadm.conf
S
}

checks() { cat <<B
settled() {
[ "\$(cd $root && stat -c '%a' etc/kubernetes etc/kubernetes/pki var/lib/etcd etc/modules-load.d/k8s.conf etc/sysctl.d/99-kubernetes.conf etc/containerd/config.toml etc/crictl.yaml var/lib/kubelet/config.yaml etc/systemd/system/kubelet.service.d/10-kubeadm.conf 2>/dev/null | tr '\n' ' ')" = '755 700 700 644 644 644 644 600 644 ' ] || return
[ -e $root/var/lib/kthw/kubeadm.sum ] && [ -e $root/var/lib/kthw/kubelet.sum ] && [ -e $root/var/lib/kthw/kubectl.sum ] && [ -e $root/var/lib/kthw/preflight ] || return
[ "\$(cd $root/usr/local/bin && readlink kubeadm kubelet kubectl | tr '\n' ' ')" = '$root/opt/k8s/v1.34/kubeadm $root/opt/k8s/v1.34/kubelet $root/opt/k8s/v1.34/kubectl ' ] || return
[ "\$(cd $root/etc && grep -cxF -e 'net.ipv4.ip_forward=1' -e '10.20.0.250 api.cluster.local' -e 'root soft nofile 65536' -e 'KUBECONFIG=/etc/kubernetes/admin.conf' sysctl.conf hosts security/limits.conf environment | tr '\n' ' ')" = 'sysctl.conf:1 hosts:1 security/limits.conf:1 environment:1 ' ] || return
sha256sum --status -c - <<'S'
$(digests)
S
}
if settled; then exit 0; fi
B
}

mkdir -p "$target/apply" "$target/batch"
for number in $(seq "$count"); do
  host=$(printf 'h%02d' "$number") root=$roots/$(printf 'h%02d' "$number")
  { helpers; tasks; } > "$target/apply/$host.sh"
  { checks; cat "$target/apply/$host.sh"; } > "$target/batch/$host.sh"
done
