// Package plugins without the interpreters of Go and WebAssembly: a sandbox configures no plugins of Traefik.
package plugins

import (
	"context"
	"errors"

	"github.com/traefik/traefik/v3/pkg/provider"
)

var errNone = errors.New("this build of Traefik runs no plugins")

type providerBuilder struct {
	Import, BasePkg string
	interpreter     interpreter
}

type interpreter struct{}

func newInterpreter(context.Context, string, *Manifest, Settings) (interpreter, error) {
	return interpreter{}, errNone
}

func newYaegiMiddlewareBuilder(interpreter, string, string) (middlewareBuilder, error) {
	return nil, errNone
}

func newWasmMiddlewareBuilder(string, string, string, Settings) (middlewareBuilder, error) {
	return nil, errNone
}

// BuildProvider always answers that there are no plugins.
func (Builder) BuildProvider(string, map[string]any) (provider.Provider, error) {
	return nil, errNone
}
