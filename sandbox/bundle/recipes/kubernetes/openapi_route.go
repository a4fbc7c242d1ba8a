package routes

import (
	"crypto/sha512"
	"fmt"
	"sync"

	restful "github.com/emicklei/go-restful/v3"

	"k8s.io/apiserver/pkg/server/mux"
	"k8s.io/apiserver/pkg/util/feature"
	"k8s.io/component-base/version"
	"k8s.io/kube-openapi/pkg/cached"
	"k8s.io/kube-openapi/pkg/handler"
	"k8s.io/kube-openapi/pkg/handler3"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// InstallV2 installs the endpoint of OpenAPI v2, whose content is built when a client first asks for it, and returns what
// builds it. Upstream builds all that may ever be asked for before the API server is ready.
func (oa OpenAPI) InstallV2(c *restful.Container, m *mux.PathRecorderMux) (*handler.OpenAPIService, func() *spec.Swagger) {
	build := sync.OnceValue(func() *spec.Swagger {
		_, built := oa.installV2AtOnce(c, mux.NewPathRecorderMux("unused"))
		return built
	})
	// Clients get an ETag of the content; this one only says that it never changes.
	service := handler.NewOpenAPIServiceLazy(cached.Func(func() (*spec.Swagger, string, error) { return build(), "once", nil }))
	service.RegisterOpenAPIVersionedService("/openapi/v2", m)
	return service, build
}

// InstallV3 installs the endpoints of OpenAPI v3, and builds each group when a client first asks for it.
func (oa OpenAPI) InstallV3(c *restful.Container, m *mux.PathRecorderMux) *handler3.OpenAPIService {
	service := handler3.NewOpenAPIService()
	service.RegisterOpenAPIV3VersionedService("/openapi/v3", m)
	for _, group := range c.RegisteredWebServices() {
		service.UpdateGroupVersionLater(group.RootPath()[1:], etag(group), func() *handler3.OpenAPIService {
			alone := restful.NewContainer()
			alone.Add(group)
			return oa.installV3AtOnce(alone, mux.NewPathRecorderMux("unused"))
		})
	}
	return service
}

// etag returns what tells a group's content from that of others: Kubernetes' version, features and what is served, on which
// the content depends. All API servers of a cluster agree on it, as a client may ask any of them.
func etag(group *restful.WebService) string {
	hash := sha512.New()
	fmt.Fprintln(hash, version.Get(), feature.DefaultMutableFeatureGate, feature.DefaultMutableFeatureGate.EmulationVersion())
	for _, route := range group.Routes() {
		fmt.Fprintln(hash, route.Method, route.Path)
	}
	return fmt.Sprintf("%X", hash.Sum(nil))
}
