package factory

import (
	"fmt"
	"sync"

	"go.etcd.io/etcd/client/v3/kubernetes"

	"k8s.io/apiserver/pkg/storage/storagebackend"
)

var (
	connected     = map[string]*kubernetes.Client{}
	connectedLock sync.Mutex
)

// shareETCD3Client returns a client of etcd over one connection for all resources, of which upstream makes one for each:
// some seventy, one after another, before the API server is ready. Nothing closes the connection, as some resource always
// needs it. Configurations are told apart as upstream tells those of compactors apart, by what they print as.
func shareETCD3Client(c storagebackend.TransportConfig) (*kubernetes.Client, error) {
	connectedLock.Lock()
	defer connectedLock.Unlock()
	key := fmt.Sprint(c)
	client, ok := connected[key]
	if !ok {
		var err error
		if client, err = newETCD3Client(c); err != nil {
			return nil, err
		}
		connected[key] = client
	}
	shared := &kubernetes.Client{Client: client.Share()}
	shared.Kubernetes = shared
	return shared, nil
}
