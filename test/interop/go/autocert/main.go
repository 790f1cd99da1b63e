// Command interop is the Go side of the interop tests: autocert on a container of Azure Blob Storage.
//
//	interop get KEY            prints what is stored
//	interop put KEY            stores its input
//	interop encode             reads a key and a chain in PEM, prints them in autocert's form
//	interop serve [flags]      a TLS and an http-01 server of an autocert.Manager; prints their ports; ends with its input
//	interop issue N [flags]    orders certificates for h1.DOMAIN to hN.DOMAIN through an autocert.Manager
//
// The container is named by AZURE_STORAGE_ACCOUNT, AZURE_STORAGE_KEY, AZURE_STORAGE_ENDPOINT and
// AZURE_STORAGE_CONTAINER, the CA by ACME_DIRECTORY and ACME_ROOT (PEM, to be trusted for its endpoint).
package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
)

func main() {
	log.SetFlags(0)
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	if len(os.Args) < 2 {
		return errors.New("interop: get, put, encode, serve or issue?")
	}
	command, args := os.Args[1], os.Args[2:]
	if command == "encode" {
		return encode(os.Stdin, os.Stdout)
	}
	cache, err := openCache(os.Getenv("AZURE_STORAGE_ACCOUNT"), os.Getenv("AZURE_STORAGE_KEY"),
		os.Getenv("AZURE_STORAGE_CONTAINER"), os.Getenv("AZURE_STORAGE_ENDPOINT"))
	if err != nil {
		return err
	}
	switch {
	case command == "serve":
		return serve(cache, args)
	case len(args) == 0:
		return fmt.Errorf("interop %s: of what?", command)
	case command == "get":
		data, err := cache.Get(context.Background(), args[0])
		if err == nil {
			_, err = os.Stdout.Write(data)
		}
		return err
	case command == "put":
		data, err := io.ReadAll(os.Stdin)
		if err != nil {
			return err
		}
		return cache.Put(context.Background(), args[0], data)
	case command == "issue":
		return issue(cache, args)
	}
	return fmt.Errorf("interop: there is no command %s", command)
}

func newManager(cache autocert.Cache) *autocert.Manager {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(os.Getenv("ACME_ROOT")))
	transport := &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: roots},
		MaxIdleConnsPerHost: 100,
	}
	return &autocert.Manager{
		Prompt: autocert.AcceptTOS,
		Cache:  cache,
		Client: &acme.Client{
			DirectoryURL: os.Getenv("ACME_DIRECTORY"),
			HTTPClient:   &http.Client{Transport: transport},
		},
	}
}

// serve answers until its input ends, which it does with the test at the latest.
func serve(cache autocert.Cache, args []string) error {
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	renewBefore := flags.Duration("renew-before", 0, "autocert's RenewBefore")
	if err := flags.Parse(args); err != nil {
		return err
	}
	manager := newManager(cache)
	manager.RenewBefore = *renewBefore
	stop, err := listen(manager)
	if err != nil {
		return err
	}
	defer stop()
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// listen starts the manager's two servers on free ports of the loopback interface, and prints the ports.
func listen(manager *autocert.Manager) (stop func(), err error) {
	tlsListener, err := tls.Listen("tcp", "127.0.0.1:0", manager.TLSConfig())
	if err != nil {
		return nil, err
	}
	httpListener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	hello := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") })
	// What a handshake failed of is for the test to read.
	secure := &http.Server{Handler: hello, ErrorLog: log.New(os.Stderr, "", 0)}
	plain := &http.Server{Handler: manager.HTTPHandler(nil)}
	go secure.Serve(tlsListener)
	go plain.Serve(httpListener)
	ports := map[string]int{"tlsPort": port(tlsListener), "httpPort": port(httpListener)}
	if err := json.NewEncoder(os.Stdout).Encode(ports); err != nil {
		return nil, err
	}
	return func() { secure.Close(); plain.Close() }, nil
}

func port(listener net.Listener) int { return listener.Addr().(*net.TCPAddr).Port }

// issue orders as a handshake of a client that knows ECDSA would.
func issue(cache autocert.Cache, args []string) error {
	count, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	flags := flag.NewFlagSet("issue", flag.ContinueOnError)
	domain := flags.String("domain", "go.example", "the domain that the hosts are in")
	concurrency := flags.Int("concurrency", 32, "orders at once")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	manager := newManager(cache)
	stop, err := listen(manager)
	if err != nil {
		return err
	}
	defer stop()
	// The port has to be with the CA before the first order: the test says when.
	if _, err := os.Stdin.Read(make([]byte, 1)); err != nil {
		return err
	}
	hosts := make(chan string)
	failures := make(chan error, count)
	var workers sync.WaitGroup
	for range *concurrency {
		workers.Go(func() {
			for host := range hosts {
				hello := &tls.ClientHelloInfo{
					ServerName:       host,
					SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256},
					SupportedCurves:  []tls.CurveID{tls.CurveP256},
					CipherSuites:     []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
				}
				if _, err := manager.GetCertificate(hello); err != nil {
					failures <- fmt.Errorf("%s: %w", host, err)
				}
			}
		})
	}
	for i := range count {
		hosts <- fmt.Sprintf("h%d.%s", i+1, *domain)
	}
	close(hosts)
	workers.Wait()
	close(failures)
	return <-failures
}

// encode writes with Go's own encoders what autocert would store.
func encode(in io.Reader, out io.Writer) error {
	data, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	var result bytes.Buffer
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block, err = asAutocert(block); err != nil {
			return err
		}
		if err := pem.Encode(&result, block); err != nil {
			return err
		}
	}
	_, err = result.WriteTo(out)
	return err
}

func asAutocert(block *pem.Block) (*pem.Block, error) {
	if block.Type == "CERTIFICATE" {
		return &pem.Block{Type: block.Type, Bytes: block.Bytes}, nil
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	switch key := key.(type) {
	case *ecdsa.PrivateKey:
		der, err := x509.MarshalECPrivateKey(key)
		return &pem.Block{Type: "EC PRIVATE KEY", Bytes: der}, err
	case *rsa.PrivateKey:
		return &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}, nil
	}
	return nil, fmt.Errorf("a key of type %T", key)
}
