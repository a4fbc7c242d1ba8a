package main

import (
	"os"
	"runtime/debug"
	"time"
)

const (
	// youth is how long the nodes of a sandbox take to start, and so processors are what everything waits for.
	youth = 20 * time.Second
	// young is how much an API server's memory may grow meanwhile before garbage is collected, in percent of what is in
	// use. With more, what stays would be scattered over more memory, none of which can be given back. Other parts make
	// too little garbage for it to matter.
	young = 200
	// grown is how much it may grow afterwards, when memory is what a laptop has least of.
	grown = 50
)

// spareCollection collects an API server's garbage less often while a node starts, and gives back that of every part
// afterwards. What was chosen by the environment stays (https://pkg.go.dev/runtime#hdr-Environment_Variables).
func spareCollection(name string) {
	if os.Getenv("GOGC") != "" {
		return
	}
	if name == "kube-apiserver" {
		debug.SetGCPercent(young)
	}
	time.AfterFunc(youth, func() {
		debug.SetGCPercent(grown)
		debug.FreeOSMemory()
	})
}
