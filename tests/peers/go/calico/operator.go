// The operator: looks at the Installation, keeps the objects that it asks for, and says how far they are.
package main

import (
	"context"
	"fmt"
	"log"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"
)

var (
	installations  = schema.GroupVersionResource{Group: "operator.tigera.io", Version: "v1", Resource: "installations"}
	apiServers     = schema.GroupVersionResource{Group: "operator.tigera.io", Version: "v1", Resource: "apiservers"}
	tigeraStatuses = schema.GroupVersionResource{Group: "operator.tigera.io", Version: "v1", Resource: "tigerastatuses"}
	daemonSets     = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "daemonsets"}
	deployments    = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	configMaps     = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	nodes          = schema.GroupVersionResource{Version: "v1", Resource: "nodes"}
	pods           = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
)

// The real operator's name for itself as a writer of fields.
var writer = metav1.UpdateOptions{FieldManager: "operator"}

type operator struct{ api dynamic.Interface }

func runOperator(ctx context.Context, api dynamic.Interface) error {
	wake := make(chan struct{}, 1)
	watch(ctx, api, func() { offer(wake) }, installations, apiServers, daemonSets, nodes)
	for ctx.Err() == nil {
		if err := (operator{api}).reconcile(ctx); err != nil && ctx.Err() == nil {
			log.Printf("could not carry out the Installation, next try in 5 s at the latest: %v", err)
		}
		// Pods are not watched, so their failures are seen by looking every few seconds, as the real operator does.
		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Second):
		case <-wake:
			time.Sleep(200 * time.Millisecond)
		}
	}
	return nil
}

// watch calls changed after every change of these resources; its stores are for those who ask for them.
func watch(ctx context.Context, api dynamic.Interface, changed func(), resources ...schema.GroupVersionResource) []cache.Store {
	factory := dynamicinformer.NewDynamicSharedInformerFactory(api, 0)
	var stores []cache.Store
	for _, resource := range resources {
		informer := factory.ForResource(resource).Informer()
		_, _ = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc: func(any) { changed() }, UpdateFunc: func(any, any) { changed() }, DeleteFunc: func(any) { changed() }})
		stores = append(stores, informer.GetStore())
	}
	factory.Start(ctx.Done())
	return stores
}

// offer wakes who waits; one call that is still to be heard is enough.
func offer(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

// reconcile brings the cluster one step nearer to what the Installation says, and writes down where it is.
func (o operator) reconcile(ctx context.Context) error {
	live, err := o.api.Resource(installations).Get(ctx, "default", metav1.GetOptions{})
	if errors.IsNotFound(err) {
		return o.forget(ctx, "calico", "apiserver")
	}
	if err != nil || live.GetDeletionTimestamp() != nil {
		return err
	}
	seen, err := o.carryOut(ctx, live)
	if err != nil {
		seen.reason, seen.wrong = "ResourceUpdateError", err.Error()
	}
	decided := decide(seen)
	status := map[string]any{"variant": "Calico", "calicoVersion": calicoVersion, "computed": live.Object["spec"]}
	if mtu, found, _ := unstructured.NestedInt64(live.Object, "spec", "calicoNetwork", "mtu"); found {
		status["mtu"] = mtu
	}
	if failed := o.report(ctx, "calico", installations, live, status, decided); failed != nil {
		return failed
	}
	server, found := o.api.Resource(apiServers).Get(ctx, "default", metav1.GetOptions{})
	if errors.IsNotFound(found) {
		return o.forget(ctx, "apiserver")
	}
	if found != nil {
		return found
	}
	status = map[string]any{}
	if decided[0].Status == "True" {
		status["state"] = "Ready"
	}
	if failed := o.report(ctx, "apiserver", apiServers, server, status, decided); failed != nil {
		return failed
	}
	return err
}

// carryOut writes defaults back, keeps the objects and looks how they do. A wrong Installation changes nothing.
func (o operator) carryOut(ctx context.Context, live *unstructured.Unstructured) (seen, error) {
	podSubnets, podCIDRs, err := o.networks(ctx)
	if err != nil {
		return seen{}, err
	}
	before, _, _ := unstructured.NestedMap(live.Object, "spec")
	filled := fillDefaults(before, podSubnets)
	var spec installation
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(filled, &spec); err != nil {
		return seen{}, fmt.Errorf("cannot read the Installation: %w", err)
	}
	if wrong := spec.wrong(podSubnets, podCIDRs); wrong != "" {
		return seen{reason: "InvalidConfigurationError", wrong: wrong}, nil
	}
	if !reflect.DeepEqual(before, filled) {
		live.Object["spec"] = filled
		updated, err := o.api.Resource(installations).Update(ctx, live, writer)
		if err != nil {
			return seen{}, fmt.Errorf("cannot write defaults into the Installation: %w", err)
		}
		live.Object = updated.Object
	}
	own, err := o.image(ctx)
	if err != nil {
		return seen{}, err
	}
	objects, err := render(spec.image(own), spec.CalicoNetwork.MTU, live)
	if err != nil {
		return seen{}, err
	}
	result := seen{nodes: &appsv1.DaemonSet{}}
	for _, object := range objects {
		kept, err := o.keep(ctx, object)
		if err != nil {
			return seen{}, fmt.Errorf("cannot keep %s %s: %w", object.GetKind(), object.GetName(), err)
		}
		if kept.GetKind() == "DaemonSet" {
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(kept.Object, result.nodes); err != nil {
				return seen{}, err
			}
		}
	}
	list, err := o.api.Resource(pods).Namespace("calico-system").List(ctx, metav1.ListOptions{LabelSelector: "k8s-app=calico-node"})
	if err != nil {
		return seen{}, err
	}
	var agents corev1.PodList
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(list.UnstructuredContent(), &agents); err != nil {
		return seen{}, err
	}
	result.failing = failures(agents.Items)
	return result, nil
}

// networks reads the pod subnets that kubeadm was given (none if the cluster is not kubeadm's) and the nodes' pod CIDRs.
func (o operator) networks(ctx context.Context) (podSubnets, podCIDRs []string, err error) {
	kubeadm, err := o.api.Resource(configMaps).Namespace("kube-system").Get(ctx, "kubeadm-config", metav1.GetOptions{})
	if err != nil && !errors.IsNotFound(err) {
		return nil, nil, err
	}
	if err == nil {
		text, _, _ := unstructured.NestedString(kubeadm.Object, "data", "ClusterConfiguration")
		if found := regexp.MustCompile(`(?m)^\s*podSubnet: "?([^"\s]+)`).FindStringSubmatch(text); found != nil {
			podSubnets = strings.Split(found[1], ",")
		}
	}
	all, err := o.api.Resource(nodes).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, nil, err
	}
	for _, node := range all.Items {
		cidrs, _, _ := unstructured.NestedStringSlice(node.Object, "spec", "podCIDRs")
		podCIDRs = append(podCIDRs, cidrs...)
	}
	return podSubnets, podCIDRs, nil
}

// image is the one that the operator's own Deployment names.
func (o operator) image(ctx context.Context) (string, error) {
	own, err := o.api.Resource(deployments).Namespace("tigera-operator").Get(ctx, "tigera-operator", metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("cannot find out the operator's own image: %w", err)
	}
	containers, _, _ := unstructured.NestedSlice(own.Object, "spec", "template", "spec", "containers")
	for _, container := range containers {
		if fields, _ := container.(map[string]any); fields["name"] == "tigera-operator" {
			return fmt.Sprint(fields["image"]), nil
		}
	}
	return "", fmt.Errorf("the Deployment tigera-operator has no container of that name")
}

// report writes the conditions into the TigeraStatus and into the status of the object that it is about, where they differ.
func (o operator) report(ctx context.Context, name string, resource schema.GroupVersionResource, about *unstructured.Unstructured,
	status map[string]any, decided []condition) error {
	statuses := o.api.Resource(tigeraStatuses)
	live, err := statuses.Get(ctx, name, metav1.GetOptions{})
	if errors.IsNotFound(err) {
		empty := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "operator.tigera.io/v1", "kind": "TigeraStatus",
			"metadata": map[string]any{"name": name}, "spec": map[string]any{}}}
		live, err = statuses.Create(ctx, empty, metav1.CreateOptions{FieldManager: writer.FieldManager})
	}
	if err != nil {
		return err
	}
	if err := o.writeStatus(ctx, tigeraStatuses, live, nil, decided, about.GetGeneration()); err != nil {
		return err
	}
	return o.writeStatus(ctx, resource, about, status, ready(decided), about.GetGeneration())
}

func (o operator) writeStatus(ctx context.Context, resource schema.GroupVersionResource, object *unstructured.Unstructured,
	fields map[string]any, decided []condition, generation int64) error {
	before, _, _ := unstructured.NestedMap(object.Object, "status")
	old, _ := before["conditions"].([]any)
	after := map[string]any{}
	maps.Copy(after, before)
	maps.Copy(after, fields)
	after["conditions"] = conditions(decided, old, generation, time.Now())
	if reflect.DeepEqual(before, after) {
		return nil
	}
	for _, one := range decided {
		if one.Status == "True" {
			log.Printf("%s %s: %s: %s %s", object.GetKind(), object.GetName(), one.Type, one.Reason, one.Message)
		}
	}
	object.Object["status"] = after
	_, err := o.api.Resource(resource).UpdateStatus(ctx, object, writer)
	return err
}

// forget takes away what was said about something that is gone.
func (o operator) forget(ctx context.Context, names ...string) error {
	for name := range slices.Values(names) {
		if err := o.api.Resource(tigeraStatuses).Delete(ctx, name, metav1.DeleteOptions{}); err != nil && !errors.IsNotFound(err) {
			return err
		}
	}
	return nil
}
