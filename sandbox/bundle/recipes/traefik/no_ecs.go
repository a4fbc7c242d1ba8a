// Package ecs without its provider, which no cluster has: Amazon's libraries are a fifth of Traefik's source.
package ecs

import (
	"errors"

	"github.com/traefik/traefik/v3/pkg/config/dynamic"
	"github.com/traefik/traefik/v3/pkg/safe"
)

// ProviderName is the provider's name in the order of providers.
const ProviderName = "ecs"

// Provider fails when it is configured.
type Provider struct{}

// Init always answers that there is no such provider.
func (*Provider) Init() error {
	return errors.New("this build of Traefik has no provider for Amazon ECS")
}

// Provide does nothing.
func (*Provider) Provide(chan<- dynamic.Message, *safe.Pool) error { return nil }
