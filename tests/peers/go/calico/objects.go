// The objects that the operator keeps: rendered from objects.yaml, made when they are missing, put right when they differ.
package main

import (
	"bytes"
	"context"
	_ "embed"
	"reflect"
	"text/template"

	"k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

//go:embed objects.yaml
var objectsYAML string

// render returns the objects for one Installation, which owns them: when it is deleted they go too.
func render(image string, mtu int, owner *unstructured.Unstructured) ([]*unstructured.Unstructured, error) {
	var text bytes.Buffer
	values := map[string]any{"Image": image, "MTU": mtu}
	if err := template.Must(template.New("objects").Parse(objectsYAML)).Execute(&text, values); err != nil {
		return nil, err
	}
	var objects []*unstructured.Unstructured
	for _, document := range bytes.Split(text.Bytes(), []byte("\n---\n")) {
		object := &unstructured.Unstructured{}
		json, err := yaml.YAMLToJSON(document)
		if err == nil {
			err = object.UnmarshalJSON(json)
		}
		if err != nil {
			return nil, err
		}
		object.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: owner.GetAPIVersion(), Kind: owner.GetKind(), Name: owner.GetName(), UID: owner.GetUID()}})
		objects = append(objects, object)
	}
	return objects, nil
}

// keep makes the object, or replaces it where a field that is ours differs. It returns what the server has.
func (o operator) keep(ctx context.Context, wanted *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	resource, _ := meta.UnsafeGuessKindToResource(wanted.GroupVersionKind())
	api := o.api.Resource(resource).Namespace(wanted.GetNamespace())
	live, err := api.Get(ctx, wanted.GetName(), metav1.GetOptions{})
	switch {
	case errors.IsNotFound(err):
		return api.Create(ctx, wanted, metav1.CreateOptions{FieldManager: writer.FieldManager})
	case err != nil || holds(live.Object, wanted.Object):
		return live, err
	}
	wanted.SetResourceVersion(live.GetResourceVersion())
	return api.Update(ctx, wanted, writer)
}

// holds says whether live has everything that is wanted; what the server or others added does not matter. Lists are compared item by item.
func holds(live, wanted any) bool {
	switch wanted := wanted.(type) {
	case map[string]any:
		live, _ := live.(map[string]any)
		for key, value := range wanted {
			if !holds(live[key], value) {
				return false
			}
		}
		return true
	case []any:
		live, _ := live.([]any)
		if len(live) != len(wanted) {
			return false
		}
		for index := range wanted {
			if !holds(live[index], wanted[index]) {
				return false
			}
		}
		return true
	}
	return reflect.DeepEqual(live, wanted)
}
