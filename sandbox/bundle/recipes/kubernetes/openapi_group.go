package handler3

import (
	"fmt"

	"k8s.io/kube-openapi/pkg/cached"
	"k8s.io/kube-openapi/pkg/spec3"
)

// UpdateGroupVersionLater adds or updates a group by its ETag. Its content is built when a client first asks for it, by a
// function that returns a service with this group.
func (o *OpenAPIService) UpdateGroupVersionLater(group, etag string, content func() *OpenAPIService) {
	later := newOpenAPIV3Group()
	later.etag = etag
	later.UpdateSpec(cached.Once(cached.Func(func() (*spec3.OpenAPI, string, error) {
		built, ok := content().v3Schema[group]
		if !ok {
			return nil, "", fmt.Errorf("no OpenAPI v3 of %s", group)
		}
		return built.specCache.Get()
	})))
	o.mutex.Lock()
	defer o.mutex.Unlock()
	o.v3Schema[group] = later
	o.discoveryCache.Store(o.buildDiscoveryCacheLocked())
}

// tag returns the ETag of a group whose content is the JSON.
func (o *openAPIV3Group) tag(json []byte) string {
	if o.etag != "" {
		return o.etag
	}
	return computeETag(json)
}

// tagged returns what the list of groups needs of one: its ETag.
func (o *openAPIV3Group) tagged() cached.Value[timedSpec] {
	if o.etag != "" {
		return cached.Static(timedSpec{}, o.etag)
	}
	return o.jsonCache
}
