// Pause holds a pod's namespaces until it is told to end. With -v it prints its version as upstream's does: a health check of
// `kubeadm upgrade` runs it so and waits for its end.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// The version that it stands for; the linker may set another (-X main.version=...).
var version = "3.10.2"

func main() {
	if len(os.Args) > 1 && os.Args[1] == "-v" {
		fmt.Println("pause", version)
		return
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	// It is the first process of a pod that shares its processes: the kernel reaps what dies there for a parent that does not look.
	signal.Ignore(syscall.SIGCHLD)
	<-stop
}
