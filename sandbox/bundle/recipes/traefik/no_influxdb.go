// Package metrics without InfluxDB, to which a sandbox sends nothing.
package metrics

import (
	"context"

	"github.com/rs/zerolog/log"
	otypes "github.com/traefik/traefik/v3/pkg/observability/types"
)

// RegisterInfluxDB2 only reports that there is no such exporter.
func RegisterInfluxDB2(context.Context, *otypes.InfluxDB2) Registry {
	log.Error().Msg("this build of Traefik sends no metrics to InfluxDB")
	return NewVoidRegistry()
}

// StopInfluxDB2 does nothing.
func StopInfluxDB2() {}
