package prober

import (
	"time"

	"k8s.io/kubernetes/pkg/kubelet/prober/results"
)

// pace is how much later than the last time a container that is not ready yet is asked again, which by itself it is only
// after a period of a second or more.
const pace = 200 * time.Millisecond

// soon returns when to ask a container whether it is ready, apart from its period: never, for one that is, and ever later
// for one that is not. Kubernetes may ask at such times, to make a pod ready faster
// (https://kubernetes.io/docs/tasks/configure-pod-container/configure-liveness-readiness-startup-probes/). To run a program
// in a container takes too long for that.
func (w *worker) soon() <-chan time.Time {
	if w.probeType != readiness || w.spec.Exec != nil || w.lastResult != results.Failure || w.resultRun == 0 {
		return nil
	}
	return time.After(time.Duration(w.resultRun) * pace)
}
