// Package version without the question whether there is a newer Traefik: a sandbox's version is that of its bundle.
package version

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/gorilla/mux"
	"github.com/rs/zerolog/log"
)

// What the rest of Traefik reads and sets.
var (
	Version            = "dev"
	Codename           = ""
	BuildDate          = ""
	StartDate          = time.Now()
	DisableDashboardAd = false
	DashboardName      = ""
)

// Handler answers with the version.
type Handler struct{}

// Append adds the route that the dashboard asks.
func (Handler) Append(router *mux.Router) {
	router.Methods(http.MethodGet).Path("/api/version").HandlerFunc(func(answer http.ResponseWriter, _ *http.Request) {
		answer.Header().Set("Content-Type", "application/json")
		err := json.NewEncoder(answer).Encode(map[string]any{
			"Version": Version, "Codename": Codename, "startDate": StartDate, "disableDashboardAd": DisableDashboardAd,
		})
		if err != nil {
			log.Error().Err(err).Send()
		}
	})
}

// CheckNewVersion does nothing.
func CheckNewVersion() {}
