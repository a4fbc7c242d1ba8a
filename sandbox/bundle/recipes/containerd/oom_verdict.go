package v1

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/containerd/cgroups/v3/cgroup1"
	eventstypes "github.com/containerd/containerd/api/events"
	"github.com/containerd/containerd/v2/core/runtime"
	"github.com/containerd/containerd/v2/pkg/oom"
	"github.com/containerd/log"
	"golang.org/x/sys/unix"
)

// patience is how long after a cgroup is gone the kernel may say so: it waits for all that still reads it (RCU).
const patience = 200 * time.Millisecond

// process tells of a container whose cgroup ran out of memory, also when that is gone by now: systemd removes a scope's as
// soon as its last process has ended, and the watcher would take the kernel's signal for that of the removal. The removal
// has one signal, after the cgroup is gone; any more were for memory.
func (e *epoller) process(ctx context.Context, fd uintptr) {
	e.mu.Lock()
	i, ok := e.set[fd]
	if !ok {
		e.mu.Unlock()
		return
	}
	i.signals += received(fd)
	signals, told := i.signals, i.told
	e.mu.Unlock()
	gone := i.cg.State() == cgroup1.Deleted
	if gone && signals == 1 {
		time.AfterFunc(patience, func() { e.forget(fd, i) })
		return
	}
	if !gone || !told {
		err := e.publisher.Publish(ctx, runtime.TaskOOMEventTopic, &eventstypes.TaskOOM{ContainerID: i.id})
		if err != nil {
			log.G(ctx).WithError(err).Error("publish OOM event")
		}
		e.mu.Lock()
		i.told = true
		e.mu.Unlock()
	}
	if gone {
		e.forget(fd, i)
	}
}

// Settle waits, for a container that was killed, until it is told whether its memory was the reason. The kernel signals
// before it kills; the reason of an end is read once. Without cgroup v1 there is no watcher.
func Settle(watcher oom.Watcher, id string, status int) {
	e, ok := watcher.(*epoller)
	if !ok || status != 128+int(unix.SIGKILL) {
		return
	}
	for end := time.Now().Add(patience); e.isOpen(id) && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
}

// isOpen tells whether a signal of a container's was not looked at yet, or may be either for memory or for the removal.
func (e *epoller) isOpen(id string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	for fd, i := range e.set {
		if i.id == id {
			ready, _ := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
			return ready > 0 || i.signals > 0 && !i.told
		}
	}
	return false
}

func (e *epoller) forget(fd uintptr, i *item) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.set[fd] == i {
		delete(e.set, fd)
		unix.Close(int(fd))
	}
}

// received returns how many signals came since it was last called.
func received(fd uintptr) uint64 {
	var count [8]byte
	if _, err := unix.Read(int(fd), count[:]); err != nil {
		return 0
	}
	return binary.NativeEndian.Uint64(count[:])
}
