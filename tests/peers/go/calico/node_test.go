// What the node agent writes and which routes it sets and takes away, and the objects that start it.
package main

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestTheConflistHasTheNodesPodCIDR(t *testing.T) {
	const want = `{
  "cniVersion": "1.0.0",
  "name": "k8s-pod-network",
  "plugins": [
    {
      "bridge": "cni0",
      "forceAddress": true,
      "hairpinMode": true,
      "ipMasq": false,
      "ipam": {
        "ranges": [
          [
            {
              "subnet": "10.244.1.0/24"
            }
          ]
        ],
        "routes": [
          {
            "dst": "0.0.0.0/0"
          }
        ],
        "type": "host-local"
      },
      "isGateway": true,
      "type": "bridge"
    },
    {
      "capabilities": {
        "portMappings": true
      },
      "snat": true,
      "type": "portmap"
    }
  ]
}
`
	if got := string(conflist("10.244.1.0/24", 0)); got != want {
		t.Errorf("%s", got)
	}
	var sized struct{ Plugins []struct{ MTU int } }
	if err := json.Unmarshal(conflist("10.244.1.0/24", 1400), &sized); err != nil || sized.Plugins[0].MTU != 1400 {
		t.Errorf("%+v, %v", sized, err)
	}
}

func TestAFileIsReplacedAsAWholeAndOnlyWhenItDiffers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "10-calico.conflist")
	for _, content := range []string{"one", "two"} {
		if err := writeWhole(path, []byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	before, _ := os.Stat(path)
	if err := writeWhole(path, []byte("two")); err != nil {
		t.Fatal(err)
	}
	after, _ := os.Stat(path)
	if got, _ := os.ReadFile(path); string(got) != "two" || !os.SameFile(before, after) {
		t.Errorf("%q, or an equal file was replaced", got)
	}
	if left, _ := filepath.Glob(path + ".*"); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

func aNode(podCIDR string, addresses ...string) corev1.Node {
	node := corev1.Node{}
	if podCIDR != "" {
		node.Spec.PodCIDRs = []string{podCIDR}
	}
	for _, address := range addresses {
		node.Status.Addresses = append(node.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: address})
	}
	return node
}

func TestRoutesGoToThePodsOfOtherNodes(t *testing.T) {
	named := aNode("10.244.4.0/24")
	named.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: "wp4"}, {Type: corev1.NodeExternalIP, Address: "192.0.2.4"}}
	got := routesWanted(netip.MustParsePrefix("10.244.0.0/24"), []corev1.Node{
		aNode("10.244.1.0/24", "10.77.0.12"),
		aNode("10.244.2.0/24", "fd00::2", "10.77.0.13"),
		aNode("", "10.77.0.14"),
		named,
		aNode("10.244.0.0/24", "10.77.0.15"),
	})
	want := map[netip.Prefix]netip.Addr{
		netip.MustParsePrefix("10.244.1.0/24"): netip.MustParseAddr("10.77.0.12"),
		netip.MustParsePrefix("10.244.2.0/24"): netip.MustParseAddr("10.77.0.13"),
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v, wanted %v", got, want)
	}
}

func TestStaleRoutesGoAndMovedNodesAreFollowed(t *testing.T) {
	routes := func(pairs ...string) map[netip.Prefix]netip.Addr {
		all := map[netip.Prefix]netip.Addr{}
		for index := 0; index < len(pairs); index += 2 {
			all[netip.MustParsePrefix(pairs[index])] = netip.MustParseAddr(pairs[index+1])
		}
		return all
	}
	wanted := routes("10.244.1.0/24", "10.77.0.12", "10.244.2.0/24", "10.77.0.23", "10.244.3.0/24", "10.77.0.14")
	live := routes("10.244.1.0/24", "10.77.0.12", "10.244.2.0/24", "10.77.0.13", "10.244.9.0/24", "10.77.0.19")
	set, stale := routeChanges(wanted, live)
	if want := routes("10.244.2.0/24", "10.77.0.23", "10.244.3.0/24", "10.77.0.14"); !reflect.DeepEqual(set, want) {
		t.Errorf("to set: %v, wanted %v", set, want)
	}
	if want := routes("10.244.9.0/24", "10.77.0.19"); !reflect.DeepEqual(stale, want) {
		t.Errorf("stale: %v, wanted %v", stale, want)
	}
}

func TestTheObjectsBelongToTheInstallationAndAreKept(t *testing.T) {
	owner := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "operator.tigera.io/v1", "kind": "Installation",
		"metadata": map[string]any{"name": "default", "uid": "u-1"}}}
	objects, err := render("registry.lab/tigera/operator:v1.34.0", 1400, owner)
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, object := range objects {
		kinds = append(kinds, object.GetKind())
		if owners := object.GetOwnerReferences(); len(owners) != 1 || owners[0].UID != "u-1" {
			t.Errorf("%s belongs to %v", object.GetKind(), owners)
		}
	}
	if want := []string{"Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "DaemonSet"}; !reflect.DeepEqual(kinds, want) {
		t.Fatalf("%v, wanted %v", kinds, want)
	}
	wanted, live := objects[4].Object, objects[4].DeepCopy().Object
	containers, _, _ := unstructured.NestedSlice(live, "spec", "template", "spec", "containers")
	container := containers[0].(map[string]any)
	if container["image"] != "registry.lab/tigera/operator:v1.34.0" {
		t.Errorf("image %v", container["image"])
	}
	container["terminationMessagePath"] = "/dev/termination-log"
	_ = unstructured.SetNestedSlice(live, containers, "spec", "template", "spec", "containers")
	if !holds(live, wanted) {
		t.Error("a default of the server counts as a difference")
	}
	container["image"] = "registry.lab/tigera/operator:v1.32.3"
	_ = unstructured.SetNestedSlice(live, containers, "spec", "template", "spec", "containers")
	if holds(live, wanted) {
		t.Error("another image does not count as a difference")
	}
}
