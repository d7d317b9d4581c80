// Calico's operator and node agent as a test peer: the real ones cannot be built from Go modules. One program, two roles.
//
// "operator" (the default, also by its own name) does what an Installation asks: a DaemonSet of this program in calico-system, and an
// honest TigeraStatus. "node" gives a node the bridge plugin and routes to the pods of the others. There are no policies, no
// encapsulation and no NAT: test networks are flat and have no way out, so natOutgoing has nothing to do.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"
)

// The versions that this stands in for; the linker may set others (-X main.version=...).
var (
	version       = "v1.34.0"
	calicoVersion = "v3.28.0"
)

func main() {
	role := "operator"
	if len(os.Args) > 1 {
		role = os.Args[1]
	}
	roles := map[string]func(context.Context, dynamic.Interface) error{"operator": runOperator, "node": runNode}
	run, known := roles[role]
	switch {
	case role == "-v" || role == "--version" || role == "version":
		fmt.Printf("operator %s: kthw test stand-in for Calico %s\n", version, calicoVersion)
		return
	case !known:
		fmt.Fprintln(os.Stderr, "usage: operator [operator | node | version]")
		os.Exit(2)
	}
	log.Printf("kthw test stand-in for Calico's operator %s, role %s", version, role)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	api, err := connect()
	if err == nil {
		err = run(ctx, api)
	}
	if err != nil {
		log.Fatalf("error: %v", err)
	}
	log.Print("told to stop: the network stays as it is")
}

// connect uses the file that KUBECONFIG names, or in a pod the pod's own service account.
func connect() (dynamic.Interface, error) {
	configuration, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return nil, fmt.Errorf("cannot find the API server: set KUBECONFIG or run in a pod: %w", err)
	}
	// One look at everything takes a dozen requests; the client's own limit of five a second would make that seconds.
	configuration.QPS, configuration.Burst = 50, 100
	return dynamic.NewForConfig(configuration)
}
