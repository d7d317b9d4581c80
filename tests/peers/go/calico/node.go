// The node agent: the bridge plugin's configuration and a route to the pods of every other node. What it made stays when it ends.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/cache"
)

// Where the DaemonSet mounts the node's folders; readiness is asked for on the node's loopback only.
const (
	configurationFolder = "/host/etc/cni/net.d"
	pluginFolder        = "/host/opt/cni/bin"
	readinessAddress    = "127.0.0.1:9099"
)

func runNode(ctx context.Context, api dynamic.Interface) error {
	name := os.Getenv("NODENAME")
	if name == "" {
		return errors.New("NODENAME is not set: the DaemonSet sets it to the node's name")
	}
	mtu, _ := strconv.Atoi(os.Getenv("CNI_MTU"))
	var trouble atomic.Value
	trouble.Store("has not looked yet")
	listener, err := net.Listen("tcp", readinessAddress)
	if err != nil {
		return fmt.Errorf("cannot say whether the node is ready: %w", err)
	}
	http.HandleFunc("/readiness", func(answer http.ResponseWriter, _ *http.Request) {
		if text := trouble.Load().(string); text != "" {
			http.Error(answer, text, http.StatusServiceUnavailable)
		}
	})
	go func() { log.Printf("readiness: %v", http.Serve(listener, nil)) }()

	wake := make(chan struct{}, 1)
	store := watch(ctx, api, func() { offer(wake) }, nodes)[0]
	for ctx.Err() == nil {
		text := ""
		if err := keepNode(name, mtu, store); err != nil {
			text = err.Error()
		}
		if text != trouble.Swap(text) {
			log.Printf("node %s: %s", name, map[bool]string{true: "ready", false: text}[text == ""])
		}
		// A route that someone took away comes back within this time.
		select {
		case <-ctx.Done():
		case <-wake:
		case <-time.After(10 * time.Second):
		}
	}
	return nil
}

// keepNode brings this node's configuration and routes to what the API server's nodes say.
func keepNode(name string, mtu int, store cache.Store) error {
	var own *corev1.Node
	var others []corev1.Node
	for _, item := range store.List() {
		var node corev1.Node
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(item.(*unstructured.Unstructured).Object, &node); err != nil {
			return err
		}
		if node.Name == name {
			own = &node
		} else {
			others = append(others, node)
		}
	}
	if own == nil {
		return fmt.Errorf("the API server has not told of node %s yet", name)
	}
	pods, found := podNetwork(own)
	if !found {
		return fmt.Errorf("node %s has no IPv4 pod CIDR: the controller manager gives one with --allocate-node-cidrs", name)
	}
	for _, plugin := range []string{"bridge", "host-local", "portmap", "loopback"} {
		if _, err := os.Stat(filepath.Join(pluginFolder, plugin)); err != nil {
			return fmt.Errorf("plugin %s is missing on the node: the package kubernetes-cni has it (%w)", plugin, err)
		}
	}
	return errors.Join(writeWhole(filepath.Join(configurationFolder, "10-calico.conflist"), conflist(pods.String(), mtu)), keepRoutes(routesWanted(pods, others)))
}

// conflist is the node's network configuration. The bridge keeps its address inside the node's pod CIDR even if that changed.
func conflist(podCIDR string, mtu int) []byte {
	bridge := map[string]any{
		"type": "bridge", "bridge": "cni0", "isGateway": true, "forceAddress": true, "hairpinMode": true, "ipMasq": false,
		"ipam": map[string]any{
			"type":   "host-local",
			"ranges": [][]map[string]string{{{"subnet": podCIDR}}},
			"routes": []map[string]string{{"dst": "0.0.0.0/0"}},
		},
	}
	if mtu > 0 {
		bridge["mtu"] = mtu
	}
	portmap := map[string]any{"type": "portmap", "snat": true, "capabilities": map[string]bool{"portMappings": true}}
	text, _ := json.MarshalIndent(map[string]any{"cniVersion": "1.0.0", "name": "k8s-pod-network", "plugins": []any{bridge, portmap}}, "", "  ")
	return append(text, '\n')
}

// writeWhole replaces a file so that no reader ever sees half of it; an equal file is left alone.
func writeWhole(path string, content []byte) error {
	before, err := os.ReadFile(path)
	if err == nil && string(before) == string(content) {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// A name that no container runtime takes for a configuration.
	half := path + ".new"
	if err := os.WriteFile(half, content, 0o644); err != nil {
		return fmt.Errorf("cannot write the node's network configuration: %w", err)
	}
	log.Printf("writing %s", path)
	return os.Rename(half, path)
}
