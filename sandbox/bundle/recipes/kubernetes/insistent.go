package cache

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/watch"
)

// insistent asks again soon while it is refused. An API server that starts refuses for a second or two, until it listens;
// a reflector would wait twice as long after each time, up to half a minute (defaultBackoffInit, defaultBackoffMax), and a
// kubelet starts no pod before it has read all Services. One that refuses for longer is left to the reflector, which asks
// one question at a time.
type insistent struct {
	ListerWatcherWithContext
	end time.Time // until when it insists, from when it was refused; zero while it is not
}

func (i *insistent) ListWithContext(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
	return insist(ctx, &i.end, func() (runtime.Object, error) {
		return i.ListerWatcherWithContext.ListWithContext(ctx, options)
	})
}

func (i *insistent) WatchWithContext(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	return insist(ctx, &i.end, func() (watch.Interface, error) {
		return i.ListerWatcherWithContext.WatchWithContext(ctx, options)
	})
}

// insist asks until it is not refused, for ten seconds after the first time.
func insist[T any](ctx context.Context, end *time.Time, ask func() (T, error)) (T, error) {
	for ; ; time.Sleep(50 * time.Millisecond) {
		answer, err := ask()
		if !utilnet.IsConnectionRefused(err) {
			*end = time.Time{}
			return answer, err
		}
		if end.IsZero() {
			*end = time.Now().Add(10 * time.Second)
		}
		if ctx.Err() != nil || time.Now().After(*end) {
			return answer, err
		}
	}
}
