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
	// settled is the same from then on: half of Go's default, for what an idle node throws away is little, and what it
	// keeps for that is memory.
	settled = 50
)

// spareCollection collects less garbage while a node starts, gives back all of it afterwards, and then keeps little. What was
// chosen by the environment stays (https://pkg.go.dev/runtime#hdr-Environment_Variables).
func spareCollection() {
	if os.Getenv("GOGC") != "" {
		return
	}
	debug.SetGCPercent(young)
	time.AfterFunc(youth, func() {
		debug.SetGCPercent(settled)
		debug.FreeOSMemory()
	})
}
