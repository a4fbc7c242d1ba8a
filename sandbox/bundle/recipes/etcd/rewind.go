package etcdmain

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
)

const (
	rewindTimeout    = time.Minute
	rewindPage       = 1000    // keys in an answer
	rewindOperations = 128     // in a transaction: --max-txn-ops of servers
	rewindBytes      = 1 << 20 // in a transaction of several: --max-request-bytes is half as much again
	rewindLease      = 3600    // seconds that keys with a lease live on
)

// entry is a key's value, and whether it ends with a lease.
type entry struct {
	value  []byte
	leased bool
}

// rewind gives the server at an endpoint the keys and values of a data directory that another server left, as changes
// that its watchers see: its revision goes on. Keys below a kept prefix stay as they are, and those that are dropped go.
// It can be repeated.
func rewind(args []string) error {
	flags := flag.NewFlagSet("etcd rewind", flag.ContinueOnError)
	endpoint := flags.String("endpoint", "https://127.0.0.1:2379", "the server that is changed")
	info := transport.TLSInfo{}
	flags.StringVar(&info.CertFile, "cert", "", "a client's certificate")
	flags.StringVar(&info.KeyFile, "key", "", "its key")
	flags.StringVar(&info.TrustedCAFile, "cacert", "", "the server's authority")
	keep := flags.String("keep", "", "prefixes of keys that stay, divided by commas")
	drop := flags.String("drop", "", "keys that go: a prefix, a colon, and a text that their values have")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		return errors.New("usage: etcd rewind [flags] DATA_DIRECTORY")
	}
	tls, err := info.ClientConfig()
	if err != nil {
		return err
	}
	target, err := clientv3.New(clientv3.Config{Endpoints: []string{*endpoint}, TLS: tls, DialTimeout: rewindTimeout})
	if err != nil {
		return err
	}
	defer target.Close()
	source, err := serve(flags.Arg(0))
	if err != nil {
		return err
	}
	defer source.Close()
	ctx, cancel := context.WithTimeout(context.Background(), rewindTimeout)
	defer cancel()
	wanted, err := entries(ctx, v3client.New(source.Server), strings.Split(*keep, ","))
	if err != nil {
		return err
	}
	prefix, text, drops := strings.Cut(*drop, ":")
	for key, one := range wanted {
		if drops && strings.HasPrefix(key, prefix) && bytes.Contains(one.value, []byte(text)) {
			delete(wanted, key)
		}
	}
	held, err := entries(ctx, target, strings.Split(*keep, ","))
	if err != nil {
		return err
	}
	return change(ctx, target, held, wanted)
}

// serve starts a server of the data directory that only this process reaches, whatever members it knew.
func serve(folder string) (*embed.Etcd, error) {
	config := embed.NewConfig()
	config.Dir, config.ForceNewCluster, config.UnsafeNoFsync, config.LogLevel = folder, true, true, "error"
	config.ListenClientUrls, config.ListenPeerUrls = nil, nil
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	server, err := embed.StartEtcd(config)
	if err != nil {
		return nil, err
	}
	select {
	case <-server.Server.ReadyNotify():
		return server, nil
	case <-time.After(rewindTimeout):
		server.Close()
		return nil, fmt.Errorf("no server could be started of %s", folder)
	}
}

// entries returns all keys of a server with their values, but for those below a kept prefix.
func entries(ctx context.Context, client *clientv3.Client, keep []string) (map[string]entry, error) {
	found, next := map[string]entry{}, "\x00"
	for {
		page, err := client.Get(ctx, next, clientv3.WithFromKey(), clientv3.WithLimit(rewindPage))
		if err != nil {
			return nil, err
		}
		for _, pair := range page.Kvs {
			if !kept(string(pair.Key), keep) {
				found[string(pair.Key)] = entry{pair.Value, pair.Lease != 0}
			}
			next = string(pair.Key) + "\x00"
		}
		if !page.More {
			return found, nil
		}
	}
}

func kept(key string, keep []string) bool {
	for _, prefix := range keep {
		if prefix != "" && strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return false
}

// change makes what a server holds what is wanted, in as few transactions as it allows.
func change(ctx context.Context, client *clientv3.Client, held, wanted map[string]entry) error {
	lease, err := client.Grant(ctx, rewindLease)
	if err != nil {
		return err
	}
	var operations []clientv3.Op
	changed, size := 0, 0
	commit := func() error {
		_, err := client.Txn(ctx).Then(operations...).Commit()
		changed += len(operations)
		operations, size = nil, 0
		return err
	}
	add := func(operation clientv3.Op) error {
		length := len(operation.KeyBytes()) + len(operation.ValueBytes())
		if len(operations) == rewindOperations || len(operations) > 0 && size+length > rewindBytes {
			if err := commit(); err != nil {
				return err
			}
		}
		operations, size = append(operations, operation), size+length
		return nil
	}
	for key, one := range wanted {
		if now, ok := held[key]; ok && bytes.Equal(now.value, one.value) {
			continue
		}
		var options []clientv3.OpOption
		if one.leased {
			options = append(options, clientv3.WithLease(lease.ID))
		}
		if err := add(clientv3.OpPut(key, string(one.value), options...)); err != nil {
			return err
		}
	}
	for key := range held {
		if _, ok := wanted[key]; !ok {
			if err := add(clientv3.OpDelete(key)); err != nil {
				return err
			}
		}
	}
	if len(operations) > 0 {
		if err := commit(); err != nil {
			return err
		}
	}
	fmt.Printf("%d of %d keys changed\n", changed, len(wanted))
	return nil
}
