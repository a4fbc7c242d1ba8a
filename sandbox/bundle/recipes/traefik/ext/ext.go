// Package ext is Traefik's own pkg/config/dynamic/ext, a module that its release does not publish.
package ext

// HTTP is a dynamic.HTTP extension.
type HTTP struct{}

// Router is a dynamic.Router extension.
type Router struct{}
