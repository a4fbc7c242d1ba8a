"""The Kubernetes cluster: kind's command line, kubeconfig files, nodes and the API."""
