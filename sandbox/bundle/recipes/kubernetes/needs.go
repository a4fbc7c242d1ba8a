package main

import (
	"context"
	"net"
	"net/url"
	"strings"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// patience is how long a part waits for what it needs before it starts anyway, to say itself what is wrong.
const patience = time.Minute

// awaitNeeds returns when what that part asks first answers. Parts of a control plane start at once, and one that asks too
// soon asks again only after a second: the API server by gRPC's back-off (google.golang.org/grpc/backoff), the controller
// manager by its own (k8s.io/controller-manager/app, WaitForAPIServer).
func awaitNeeds(name string, arguments []string) {
	answers := map[string]func([]string) func() bool{
		"kube-apiserver":          etcd,
		"kube-controller-manager": apiServer,
	}[name]
	if answers == nil {
		return
	}
	if answer := answers(arguments); answer != nil {
		for end := time.Now().Add(patience); !answer() && time.Now().Before(end); {
			time.Sleep(50 * time.Millisecond)
		}
	}
}

// etcd returns a question whether the first of the servers takes connections, or nil when none is named.
func etcd(arguments []string) func() bool {
	first, _, _ := strings.Cut(value(arguments, "etcd-servers"), ",")
	server, err := url.Parse(first)
	if err != nil || server.Port() == "" {
		return nil
	}
	return func() bool {
		connection, err := net.DialTimeout("tcp", server.Host, time.Second)
		if err == nil {
			connection.Close()
		}
		return err == nil
	}
}

// apiServer returns a question whether the API server says that it is healthy, or nil when none can be asked.
func apiServer(arguments []string) func() bool {
	config, err := clientcmd.BuildConfigFromFlags("", value(arguments, "kubeconfig"))
	if err != nil {
		return nil
	}
	config.QPS = -1
	config.Timeout = time.Second
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil
	}
	return func() bool {
		return client.RESTClient().Get().AbsPath("/healthz").Do(context.Background()).Error() == nil
	}
}

// value returns what follows --name= in the arguments, or nothing.
func value(arguments []string, name string) string {
	for _, argument := range arguments {
		if found, is := strings.CutPrefix(argument, "--"+name+"="); is {
			return found
		}
	}
	return ""
}
