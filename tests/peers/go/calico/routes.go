// Routes to the pods of other nodes, through those nodes' own addresses: every node of a test network is a neighbour.
package main

import (
	"errors"
	"fmt"
	"log"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	corev1 "k8s.io/api/core/v1"
)

// The mark of the routes that are ours, in the field where the kernel keeps who made a route; Calico's own routes bear this number.
const protocol = 80

// podNetwork is the first IPv4 pod CIDR of a node.
func podNetwork(node *corev1.Node) (netip.Prefix, bool) {
	for _, text := range node.Spec.PodCIDRs {
		if prefix, err := netip.ParsePrefix(text); err == nil && prefix.Addr().Is4() {
			return prefix.Masked(), true
		}
	}
	return netip.Prefix{}, false
}

// routesWanted says through which address the pods of every other node are reached. A node without both is left out until it has them.
func routesWanted(own netip.Prefix, others []corev1.Node) map[netip.Prefix]netip.Addr {
	wanted := map[netip.Prefix]netip.Addr{}
	for _, node := range others {
		pods, found := podNetwork(&node)
		if !found || pods == own {
			continue
		}
		for _, address := range node.Status.Addresses {
			if gateway, err := netip.ParseAddr(address.Address); err == nil && gateway.Is4() && address.Type == corev1.NodeInternalIP {
				wanted[pods] = gateway
				break
			}
		}
	}
	return wanted
}

// routeChanges compares: which routes to set, which to take away.
func routeChanges(wanted, live map[netip.Prefix]netip.Addr) (set, stale map[netip.Prefix]netip.Addr) {
	set, stale = map[netip.Prefix]netip.Addr{}, map[netip.Prefix]netip.Addr{}
	for pods, gateway := range wanted {
		if live[pods] != gateway {
			set[pods] = gateway
		}
	}
	for pods, gateway := range live {
		if _, still := wanted[pods]; !still {
			stale[pods] = gateway
		}
	}
	return set, stale
}

// keepRoutes makes the node's routes that bear our mark what is wanted; others are not touched.
func keepRoutes(wanted map[netip.Prefix]netip.Addr) error {
	found, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Protocol: protocol}, netlink.RT_FILTER_PROTOCOL)
	if err != nil {
		return fmt.Errorf("cannot read the node's routes: %w", err)
	}
	live := map[netip.Prefix]netip.Addr{}
	for _, route := range found {
		bits, _ := route.Dst.Mask.Size()
		destination, _ := netip.AddrFromSlice(route.Dst.IP.To4())
		gateway, _ := netip.AddrFromSlice(route.Gw.To4())
		live[netip.PrefixFrom(destination, bits)] = gateway
	}
	set, stale := routeChanges(wanted, live)
	var failed []error
	for pods := range stale {
		log.Printf("taking away the route to %s", pods)
		failed = append(failed, named(pods, netlink.RouteDel(route(pods, stale[pods]))))
	}
	for pods, gateway := range set {
		log.Printf("setting the route to %s via %s", pods, gateway)
		failed = append(failed, named(pods, netlink.RouteReplace(route(pods, gateway))))
	}
	return errors.Join(failed...)
}

func route(pods netip.Prefix, gateway netip.Addr) *netlink.Route {
	destination := &net.IPNet{IP: pods.Addr().AsSlice(), Mask: net.CIDRMask(pods.Bits(), 32)}
	return &netlink.Route{Dst: destination, Gw: gateway.AsSlice(), Protocol: protocol}
}

func named(pods netip.Prefix, err error) error {
	if err != nil {
		return fmt.Errorf("route to %s: %w", pods, err)
	}
	return nil
}
