package main

import (
	"os"
	"runtime/debug"
	"time"
)

const (
	// youth is how long the nodes of a sandbox take to start, and so processors are what everything waits for.
	youth = 20 * time.Second
	// young is how much a program's memory may grow meanwhile before garbage is collected, in percent of what is in use.
	young = 400
)

// spareCollection collects less garbage while a node starts, and gives back all of it afterwards. What was chosen by the
// environment stays (https://pkg.go.dev/runtime#hdr-Environment_Variables).
func spareCollection() {
	if os.Getenv("GOGC") != "" {
		return
	}
	usual := debug.SetGCPercent(young)
	time.AfterFunc(youth, func() {
		debug.SetGCPercent(usual)
		debug.FreeOSMemory()
	})
}
