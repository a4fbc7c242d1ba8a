package clientv3

import "context"

// Share returns a client with watches and leases of its own over the connection of this one, which stays open when it is
// closed.
func (c *Client) Share() *Client {
	shared := *c
	shared.ctx, shared.cancel = context.WithCancel(c.ctx)
	shared.conn = nil
	shared.Lease = NewLease(c)
	shared.Watcher = NewWatcher(c)
	return &shared
}
