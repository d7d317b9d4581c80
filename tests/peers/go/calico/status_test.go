// The decisions of the stand-in: what it says about Calico, and which Installations it refuses.
package main

import (
	"reflect"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

func rolledOut(desired, updated, available int32) *appsv1.DaemonSet {
	set := &appsv1.DaemonSet{Status: appsv1.DaemonSetStatus{ObservedGeneration: 2, DesiredNumberScheduled: desired,
		UpdatedNumberScheduled: updated, NumberAvailable: available}}
	set.Generation = 2
	return set
}

func TestOnlyARolledOutDaemonSetIsAvailable(t *testing.T) {
	behind := rolledOut(3, 3, 3)
	behind.Generation = 3
	for name, one := range map[string]struct {
		seen   seen
		truth  string
		reason string
	}{
		"everything runs":             {seen{nodes: rolledOut(3, 3, 3)}, "Available", "AllObjectsAvailable"},
		"no DaemonSet":                {seen{}, "Progressing", "ResourceNotReady"},
		"no node":                     {seen{nodes: rolledOut(0, 0, 0)}, "Progressing", "ResourceNotReady"},
		"one node is not ready":       {seen{nodes: rolledOut(3, 3, 2)}, "Progressing", "ResourceNotReady"},
		"one node runs the old one":   {seen{nodes: rolledOut(3, 2, 3)}, "Progressing", "ResourceNotReady"},
		"the change was not seen":     {seen{nodes: behind}, "Progressing", "ResourceNotReady"},
		"a pod cannot start":          {seen{nodes: rolledOut(3, 3, 2), failing: []string{"Pod a"}}, "Degraded", "PodFailure"},
		"wrong, though all nodes run": {seen{nodes: rolledOut(3, 3, 3), reason: "InvalidConfigurationError", wrong: "w"}, "Degraded", "InvalidConfigurationError"},
	} {
		var kinds []string
		for _, condition := range decide(one.seen) {
			kinds = append(kinds, condition.Type)
			if is := condition.Status == "True"; is != (condition.Type == one.truth) || is && condition.Reason != one.reason {
				t.Errorf("%s: %+v, wanted %s because of %s", name, condition, one.truth, one.reason)
			}
		}
		if !reflect.DeepEqual(kinds, []string{"Available", "Progressing", "Degraded"}) {
			t.Errorf("%s: conditions %v", name, kinds)
		}
	}
}

func TestATransitionTimeMovesWithTheStatusOnly(t *testing.T) {
	decided := decide(seen{nodes: rolledOut(1, 1, 1)})
	first := conditions(decided, nil, 1, time.Unix(100, 0))
	same := conditions(decided, first, 1, time.Unix(200, 0))
	if !reflect.DeepEqual(first, same) {
		t.Errorf("nothing changed, yet %v became %v", first, same)
	}
	other := conditions(decide(seen{nodes: rolledOut(1, 1, 0)}), first, 1, time.Unix(200, 0))
	times := func(all []any) (texts []any) {
		for _, one := range all {
			texts = append(texts, one.(map[string]any)["lastTransitionTime"])
		}
		return texts
	}
	if want := []any{"1970-01-01T00:03:20Z", "1970-01-01T00:03:20Z", "1970-01-01T00:01:40Z"}; !reflect.DeepEqual(times(other), want) {
		t.Errorf("times %v, wanted %v: Degraded stayed False", times(other), want)
	}
	if kind := ready(decided)[0].Type; kind != "Ready" || decided[0].Type != "Available" {
		t.Errorf("an Installation calls it %s, a TigeraStatus %s", kind, decided[0].Type)
	}
}

func TestPodsThatCannotStartAreNamed(t *testing.T) {
	pod := func(reason string) corev1.Pod {
		one := corev1.Pod{Spec: corev1.PodSpec{NodeName: "wp1"}}
		one.Namespace, one.Name = "calico-system", "calico-node-x"
		one.Status.ContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: "not found"}}}}
		return one
	}
	got := failures([]corev1.Pod{pod("ContainerCreating"), pod("ImagePullBackOff"), {}})
	if want := []string{"Pod calico-system/calico-node-x on wp1: ImagePullBackOff: not found"}; !reflect.DeepEqual(got, want) {
		t.Errorf("%q, wanted %q", got, want)
	}
}

func anInstallation(network map[string]any) map[string]any {
	return map[string]any{"calicoNetwork": network}
}

func aPool(fields map[string]any) []any {
	one := map[string]any{"cidr": "10.244.0.0/16", "encapsulation": "VXLAN"}
	for key, value := range fields {
		one[key] = value
	}
	return []any{one}
}

func TestAWrongInstallationIsRefusedWithAReason(t *testing.T) {
	subnets, nodes := []string{"10.244.0.0/16"}, []string{"10.244.1.0/24", "10.244.2.0/24"}
	for name, one := range map[string]struct {
		spec map[string]any
		want string
	}{
		"as kthw writes it":    {anInstallation(map[string]any{"bgp": "Disabled", "ipPools": aPool(nil)}), ""},
		"nothing named":        {map[string]any{}, ""},
		"outside the cluster":  {anInstallation(map[string]any{"ipPools": aPool(map[string]any{"cidr": "192.168.0.0/16"})}), "not within the cluster's pod subnet"},
		"wider than it":        {anInstallation(map[string]any{"ipPools": aPool(map[string]any{"cidr": "10.0.0.0/8"})}), "not within the cluster's pod subnet"},
		"nodes are elsewhere":  {anInstallation(map[string]any{"ipPools": aPool(map[string]any{"cidr": "10.244.1.0/24"})}), "a node has the pod CIDR 10.244.2.0/24"},
		"no address at all":    {anInstallation(map[string]any{"ipPools": aPool(map[string]any{"cidr": "10.244.0.0"})}), "is invalid"},
		"IPv6":                 {anInstallation(map[string]any{"ipPools": aPool(map[string]any{"cidr": "fd00::/48"})}), "only IPv4"},
		"blocks too large":     {anInstallation(map[string]any{"ipPools": aPool(map[string]any{"blockSize": int64(16)})}), "not between 20 and 32"},
		"IP-in-IP without BGP": {anInstallation(map[string]any{"bgp": "Disabled", "ipPools": aPool(map[string]any{"encapsulation": "IPIP"})}), "needs spec.calicoNetwork.bgp"},
		"another network":      {map[string]any{"cni": map[string]any{"type": "AmazonVPC"}}, "only Calico"},
	} {
		var spec installation
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(fillDefaults(one.spec, subnets), &spec); err != nil {
			t.Fatal(err)
		}
		got := spec.wrong(subnets, nodes)
		if (one.want == "") != (got == "") || !strings.Contains(got, one.want) {
			t.Errorf("%s: %q, wanted %q", name, got, one.want)
		}
	}
}

func TestDefaultsFillWhatIsMissingAndKeepWhatIsThere(t *testing.T) {
	spec := anInstallation(map[string]any{"bgp": "Disabled", "ipPools": aPool(map[string]any{"blockSize": int64(24)})})
	filled := fillDefaults(spec, nil)
	network := filled["calicoNetwork"].(map[string]any)
	pool := network["ipPools"].([]any)[0].(map[string]any)
	got := []any{network["bgp"], network["hostPorts"], pool["blockSize"], pool["name"], pool["natOutgoing"], filled["variant"]}
	if want := []any{"Disabled", "Enabled", int64(24), "default-ipv4-ippool", "Enabled", "Calico"}; !reflect.DeepEqual(got, want) {
		t.Errorf("%v, wanted %v", got, want)
	}
	if again := fillDefaults(filled, nil); !reflect.DeepEqual(filled, again) {
		t.Errorf("a second time %v became %v", filled, again)
	}
	if spec["variant"] != nil {
		t.Error("what was given has been written to")
	}
}

func TestTheImageComesFromTheRegistryThatIsNamed(t *testing.T) {
	for registry, want := range map[string]string{
		"":                "quay.io/tigera/operator:v1.34.0",
		"UseDefault":      "quay.io/tigera/operator:v1.34.0",
		"10.77.0.1:5000/": "10.77.0.1:5000/tigera/operator:v1.34.0",
		"registry.lab":    "registry.lab/tigera/operator:v1.34.0",
	} {
		if got := (installation{Registry: registry}).image("quay.io/tigera/operator:v1.34.0"); got != want {
			t.Errorf("registry %q: %s, wanted %s", registry, got, want)
		}
	}
}
