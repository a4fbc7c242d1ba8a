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
	// With more, what stays would be scattered over more memory, none of which can be given back.
	young = 200
	// grown is how much it may grow afterwards, when memory is what a laptop has least of.
	grown = 50
)

// spareCollection collects less garbage while a node starts, and gives back all of it afterwards. What was chosen by the
// environment stays (https://pkg.go.dev/runtime#hdr-Environment_Variables).
func spareCollection() {
	if os.Getenv("GOGC") != "" {
		return
	}
	debug.SetGCPercent(young)
	time.AfterFunc(youth, func() {
		debug.SetGCPercent(grown)
		debug.FreeOSMemory()
	})
}
