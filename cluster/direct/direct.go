// Package direct carries exchanges between the vantages of a cluster over HTTP and mutual TLS, while etcd is away.
//
//	client ──POST /v1/exchange/CLUSTER──▶ Listener      request and answer: observation.Exchange
//
// Both sides prove that they have the private key of a trusted vantage: each shows a certificate that it makes from its identity,
// and the other one compares the public key with cluster.trust. No authority is needed, and nothing expires.
//
// What a client can hold is bounded: connections, time, the size of a request, and requests in a heartbeat.
package direct

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"meridian/cluster/observation"
)

// Identity is the key of a vantage, and those that it trusts.
type Identity struct {
	Cluster string
	Name    string
	Key     ed25519.PrivateKey
	Trust   map[string]ed25519.PublicKey
}

// certificate returns a certificate of the key. Its times are not looked at: clocks may differ.
func (i *Identity) certificate() (tls.Certificate, error) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: i.Name},
		NotBefore: time.Unix(0, 0), NotAfter: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, i.Key.Public(), i.Key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: i.Key}, err
}

// nameOf returns the vantage that a connection is with; empty: it is not trusted.
func (i *Identity) nameOf(s *tls.ConnectionState) string {
	if len(s.PeerCertificates) == 0 {
		return ""
	}
	key, ok := s.PeerCertificates[0].PublicKey.(ed25519.PublicKey)
	for name, trusted := range i.Trust {
		if ok && trusted.Equal(key) {
			return name
		}
	}
	return ""
}

// settings returns the TLS settings of both sides. accepts returns why a connection is refused.
func (i *Identity) settings(accepts func(tls.ConnectionState) error) (*tls.Config, error) {
	certificate, err := i.certificate()
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{certificate}, NextProtos: []string{"http/1.1"},
		ClientAuth: tls.RequestClientCert, InsecureSkipVerify: true, SessionTicketsDisabled: true, // VerifyConnection refuses those without a key
		VerifyConnection: accepts,
	}, nil
}

// Client asks nodes. Its methods are safe for concurrent use.
type Client struct {
	identity Identity
	mu       sync.Mutex
	nodes    map[string]*http.Client
}

// NewClient returns a client of a vantage.
func NewClient(i Identity) *Client { return &Client{identity: i, nodes: make(map[string]*http.Client)} }

const (
	dialTimeout = 5 * time.Second
	idleTimeout = time.Minute // between two requests of a connection
	maxHeader   = 4 << 10     // octets
	maxProblem  = 1 << 10     // octets of an error that is an answer
)

// client returns the HTTP client for a node, which accepts no other one.
func (c *Client) client(name string) (*http.Client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if known := c.nodes[name]; known != nil {
		return known, nil
	}
	secure, err := c.identity.settings(func(s tls.ConnectionState) error {
		if got := c.identity.nameOf(&s); got != name {
			return fmt.Errorf("it does not have the key that cluster.trust has for %s%s", name, another(got))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	made := &http.Client{
		Transport: &http.Transport{
			TLSClientConfig: secure, TLSHandshakeTimeout: dialTimeout, IdleConnTimeout: idleTimeout, MaxConnsPerHost: 2,
			MaxResponseHeaderBytes: maxHeader, DisableCompression: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	c.nodes[name] = made
	return made, nil
}

// another describes a vantage that was reached in place of the wanted one.
func another(name string) string {
	if name == "" {
		return ""
	}
	return ", but that of " + name
}

// Exchange sends a request to a node and returns its answer.
func (c *Client) Exchange(ctx context.Context, name string, at netip.AddrPort, request *observation.Exchange) (observation.Exchange, error) {
	client, err := c.client(name)
	if err != nil {
		return observation.Exchange{}, err
	}
	url := "https://" + at.String() + path(c.identity.Cluster)
	posted, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(request.Append(nil)))
	if err != nil {
		return observation.Exchange{}, err
	}
	posted.Header.Set("Content-Type", contentType)
	response, err := client.Do(posted)
	if err != nil {
		return observation.Exchange{}, explain(err, at)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		problem, _ := io.ReadAll(io.LimitReader(response.Body, maxProblem))
		return observation.Exchange{}, fmt.Errorf("%s answers %s: %s", at, response.Status, strings.TrimSpace(string(problem)))
	}
	raw, err := io.ReadAll(io.LimitReader(response.Body, observation.MaxExchange+1))
	switch {
	case err != nil:
		return observation.Exchange{}, explain(err, at)
	case len(raw) > observation.MaxExchange:
		return observation.Exchange{}, fmt.Errorf("%s answers with more than %d octets", at, observation.MaxExchange)
	}
	answer, err := observation.DecodeExchange(raw)
	if err != nil {
		err = fmt.Errorf("%s answers: %w", at, err)
	}
	return answer, err
}

// explain shortens an error of a request.
func explain(err error, at netip.AddrPort) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s does not answer in time", at)
	}
	var wrapped interface{ Unwrap() error }
	if errors.As(err, &wrapped) && wrapped.Unwrap() != nil && strings.HasPrefix(err.Error(), "Post ") {
		err = wrapped.Unwrap() // without the URL
	}
	return fmt.Errorf("%s: %w", at, err)
}

// Close ends the connections that are idle.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, client := range c.nodes {
		client.CloseIdleConnections()
	}
}

const contentType = "application/octet-stream"

// path returns the path of requests to the nodes of a cluster, the name of which needs no escaping.
func path(cluster string) string { return "/v1/exchange/" + cluster }
