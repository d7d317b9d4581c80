// What an Installation asks for: the defaults that the real operator writes into it, and what is wrong with it. Pure.
package main

import (
	"fmt"
	"net/netip"
	"strings"
)

// pool is the part of an Installation's IP pool that can be wrong.
type pool struct {
	CIDR          string `json:"cidr"`
	Encapsulation string `json:"encapsulation"`
	BlockSize     int    `json:"blockSize"`
}

// installation is the part of an Installation's spec that this stand-in acts on.
type installation struct {
	Registry string `json:"registry"`
	CNI      struct {
		Type string `json:"type"`
	} `json:"cni"`
	CalicoNetwork struct {
		BGP     string `json:"bgp"`
		MTU     int    `json:"mtu"`
		IPPools []pool `json:"ipPools"`
	} `json:"calicoNetwork"`
}

// fillDefaults returns the spec with what the real operator fills in and writes back: kthw must not take that for a change of its own.
// podSubnets are the cluster's, for an Installation that names no pool.
func fillDefaults(spec map[string]any, podSubnets []string) map[string]any {
	spec = withDefaults(spec, map[string]any{
		"variant": "Calico",
		"cni":     map[string]any{"type": "Calico", "ipam": map[string]any{"type": "Calico"}},
		"calicoNetwork": map[string]any{
			"bgp": "Enabled", "hostPorts": "Enabled", "linuxDataplane": "Iptables", "multiInterfaceMode": "None",
			"nodeAddressAutodetectionV4": map[string]any{"firstFound": true}, "windowsDataplane": "Disabled",
		},
	})
	network := spec["calicoNetwork"].(map[string]any)
	pools, _ := network["ipPools"].([]any)
	for _, cidr := range podSubnets {
		if network["ipPools"] == nil {
			pools = append(pools, map[string]any{"cidr": cidr})
		}
	}
	filled := []any{}
	for _, one := range pools {
		fields, _ := one.(map[string]any)
		name := "default-ipv4-ippool"
		if len(pools) > 1 {
			name = strings.ReplaceAll(fmt.Sprint(fields["cidr"]), "/", "-")
		}
		filled = append(filled, withDefaults(fields, map[string]any{
			"name": name, "encapsulation": "IPIP", "natOutgoing": "Enabled", "nodeSelector": "all()", "blockSize": int64(26),
			"allowedUses": []any{"Workload", "Tunnel"},
		}))
	}
	network["ipPools"] = filled
	return spec
}

// withDefaults returns a copy of fields with what is missing taken from defaults, at every depth.
func withDefaults(fields, defaults map[string]any) map[string]any {
	filled := map[string]any{}
	for key, value := range fields {
		filled[key] = value
	}
	for key, value := range defaults {
		inner, nested := value.(map[string]any)
		if present, _ := filled[key].(map[string]any); nested && (present != nil || filled[key] == nil) {
			filled[key] = withDefaults(present, inner)
		} else if filled[key] == nil {
			filled[key] = value
		}
	}
	return filled
}

// wrong says why this Installation cannot be carried out, or nothing. podSubnets are the cluster's, podCIDRs the nodes'.
func (spec installation) wrong(podSubnets, podCIDRs []string) string {
	if spec.CNI.Type != "Calico" {
		return fmt.Sprintf("spec.cni.type is %s: only Calico can be stood in for", spec.CNI.Type)
	}
	if len(spec.CalicoNetwork.IPPools) == 0 {
		return "spec.calicoNetwork.ipPools is empty and the cluster has no pod subnet"
	}
	var pools []netip.Prefix
	for _, one := range spec.CalicoNetwork.IPPools {
		prefix, err := netip.ParsePrefix(one.CIDR)
		switch {
		case err != nil:
			return fmt.Sprintf("IP pool CIDR %q is invalid: %v", one.CIDR, err)
		case !prefix.Addr().Is4():
			return fmt.Sprintf("IP pool %s: only IPv4 can be stood in for", one.CIDR)
		case one.BlockSize < 20 || one.BlockSize > 32:
			return fmt.Sprintf("IP pool %s: block size %d is not between 20 and 32", one.CIDR, one.BlockSize)
		case one.BlockSize < prefix.Bits():
			return fmt.Sprintf("IP pool %s is smaller than one block of size /%d", one.CIDR, one.BlockSize)
		case !strings.HasPrefix(one.Encapsulation, "VXLAN") && spec.CalicoNetwork.BGP != "Enabled":
			return fmt.Sprintf("IP pool %s: encapsulation %s needs spec.calicoNetwork.bgp Enabled", one.CIDR, one.Encapsulation)
		case len(podSubnets) > 0 && !within(prefix, prefixes(podSubnets)):
			return fmt.Sprintf("IP pool %s is not within the cluster's pod subnet %s", one.CIDR, strings.Join(podSubnets, ","))
		}
		pools = append(pools, prefix)
	}
	for _, cidr := range podCIDRs {
		if prefix, err := netip.ParsePrefix(cidr); err != nil || prefix.Addr().Is4() && !within(prefix, pools) {
			return fmt.Sprintf("a node has the pod CIDR %s, which is in no IP pool", cidr)
		}
	}
	return ""
}

func prefixes(texts []string) []netip.Prefix {
	var all []netip.Prefix
	for _, text := range texts {
		if prefix, err := netip.ParsePrefix(text); err == nil {
			all = append(all, prefix)
		}
	}
	return all
}

func within(inner netip.Prefix, outer []netip.Prefix) bool {
	for _, one := range outer {
		if one.Bits() <= inner.Bits() && one.Contains(inner.Addr()) {
			return true
		}
	}
	return false
}

// image is where the nodes find this program: the operator's own image, in the registry that the Installation names.
func (spec installation) image(own string) string {
	if spec.Registry == "" || spec.Registry == "UseDefault" {
		return own
	}
	if host, path, found := strings.Cut(own, "/"); found && (strings.ContainsAny(host, ".:") || host == "localhost") {
		own = path
	}
	return strings.TrimSuffix(spec.Registry, "/") + "/" + own
}
