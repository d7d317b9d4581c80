// What is said about Calico: the conditions of TigeraStatus and Installation, decided from what was seen. Pure.
package main

import (
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// condition is one of Available, Progressing and Degraded, as TigeraStatus has them.
type condition struct {
	Type, Status, Reason, Message string
}

// seen is what the operator knows when it decides what to say.
type seen struct {
	reason, wrong string            // why the Installation cannot be carried out, if so
	nodes         *appsv1.DaemonSet // the node agents, if there are any
	failing       []string          // pods that do not start, and why
}

// decide says where Calico stands. Exactly one of the three is true.
func decide(seen seen) []condition {
	const everything = "All objects available (a stand-in of kthw's tests: bridge plugin and routes between nodes, no policies)"
	unknown := func(kind string) condition { return condition{kind, "False", "Unknown", ""} }
	rollout := progress(seen.nodes)
	switch {
	case seen.wrong != "":
		return []condition{unknown("Available"), unknown("Progressing"), {"Degraded", "True", seen.reason, seen.wrong}}
	case len(seen.failing) > 0:
		return []condition{unknown("Available"), unknown("Progressing"), {"Degraded", "True", "PodFailure", strings.Join(seen.failing, "\n")}}
	case rollout != "":
		return []condition{unknown("Available"), {"Progressing", "True", "ResourceNotReady", rollout}, unknown("Degraded")}
	}
	return []condition{
		{"Available", "True", "AllObjectsAvailable", everything},
		{"Progressing", "False", "AllObjectsAvailable", everything},
		{"Degraded", "False", "AllObjectsAvailable", everything},
	}
}

// progress says what the rollout of the node agents still waits for, or nothing.
func progress(nodes *appsv1.DaemonSet) string {
	if nodes == nil {
		return "DaemonSet \"calico-system/calico-node\" is not there yet"
	}
	status := nodes.Status
	switch {
	case status.ObservedGeneration < nodes.Generation || status.DesiredNumberScheduled == 0:
		return "DaemonSet \"calico-system/calico-node\" is not scheduled yet"
	case status.UpdatedNumberScheduled < status.DesiredNumberScheduled || status.NumberAvailable < status.DesiredNumberScheduled:
		return fmt.Sprintf("DaemonSet \"calico-system/calico-node\" is not available on all nodes: %d of %d updated, %d available",
			status.UpdatedNumberScheduled, status.DesiredNumberScheduled, status.NumberAvailable)
	}
	return ""
}

// failures lists the pods whose containers cannot be started, each with the reason that the kubelet gives.
func failures(pods []corev1.Pod) []string {
	stuck := map[string]bool{"CrashLoopBackOff": true, "ImagePullBackOff": true, "ErrImagePull": true, "InvalidImageName": true,
		"CreateContainerConfigError": true, "CreateContainerError": true}
	var all []string
	for _, pod := range pods {
		for _, container := range pod.Status.ContainerStatuses {
			if waiting := container.State.Waiting; waiting != nil && stuck[waiting.Reason] {
				all = append(all, fmt.Sprintf("Pod %s/%s on %s: %s: %s", pod.Namespace, pod.Name, pod.Spec.NodeName, waiting.Reason, waiting.Message))
			}
		}
	}
	return all
}

// conditions writes what was decided as an object has it. A condition whose status stays keeps the time of its last transition.
func conditions(decided []condition, before []any, generation int64, now time.Time) []any {
	var all []any
	for _, one := range decided {
		since := now.UTC().Format(time.RFC3339)
		for _, old := range before {
			if old, _ := old.(map[string]any); old["type"] == one.Type && old["status"] == one.Status {
				since = fmt.Sprint(old["lastTransitionTime"])
			}
		}
		all = append(all, map[string]any{"type": one.Type, "status": one.Status, "reason": one.Reason, "message": one.Message,
			"lastTransitionTime": since, "observedGeneration": generation})
	}
	return all
}

// ready is the same for the status of an Installation or APIServer, where Available is called Ready.
func ready(decided []condition) []condition {
	all := append([]condition{}, decided...)
	all[0].Type = "Ready"
	return all
}
