// Package dns without any provider: the sandbox issues its certificates itself, so ACME challenges by DNS never happen.
package dns

import (
	"fmt"

	"github.com/go-acme/lego/v5/challenge"
)

// NewDNSChallengeProviderByName always answers that there is no such provider.
func NewDNSChallengeProviderByName(name string) (challenge.Provider, error) {
	return nil, fmt.Errorf("this build of Traefik has no DNS provider: %s", name)
}
