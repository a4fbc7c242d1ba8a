// Asks ADDRESS PORT HOST [ROOT] for TLS as an application in Go would, and says what Go makes of the certificate.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
)

func main() {
	config := &tls.Config{ServerName: os.Args[3]}
	if len(os.Args) > 4 {
		root, err := os.ReadFile(os.Args[4])
		if err != nil {
			panic(err)
		}
		config.RootCAs = x509.NewCertPool()
		config.RootCAs.AppendCertsFromPEM(root)
	}
	if _, err := tls.Dial("tcp", net.JoinHostPort(os.Args[1], os.Args[2]), config); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
