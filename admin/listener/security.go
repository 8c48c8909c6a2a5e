package listener

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"meridian/certs"
	"meridian/config"
)

// Security says which connections are accepted, and how. The zero value accepts all, without TLS.
type Security struct {
	allow []netip.Prefix
	tls   *tls.Config // nil: plain HTTP
}

// NewSecurity returns the security of a configuration, or the error of its certificate.
func NewSecurity(cfg *config.Admin, log *slog.Logger) (*Security, error) {
	s := &Security{allow: cfg.Allow}
	if cfg.TLS.Cert == "" {
		return s, nil
	}
	source := &certSource{files: cfg.TLS, log: log}
	first, err := source.load()
	if err != nil {
		return nil, err
	}
	source.current = first
	if certs.ReadableByOthers(cfg.TLS.Key) {
		log.Warn("other users can read the private key of the API", "file", cfg.TLS.Key, "hint", "chmod 600 "+cfg.TLS.Key)
	}
	s.tls = &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: source.forClient}
	return s, nil
}

// allows reports whether a client may connect.
func (s *Security) allows(client net.Addr) bool {
	if len(s.allow) == 0 {
		return true
	}
	at, err := netip.ParseAddrPort(client.String())
	addr := at.Addr().Unmap().WithZone("")
	return err == nil && slices.ContainsFunc(s.allow, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// secured accepts the connections of a listener that the security of d permits.
type secured struct {
	net.Listener
	d *Listener
}

// Accept returns the next connection that is permitted.
func (l secured) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		s := l.d.security.Load()
		switch {
		case !s.allows(conn.RemoteAddr()):
			conn.Close()
		case s.tls != nil:
			return tls.Server(conn, s.tls), nil
		default:
			return conn, nil
		}
	}
}

// certInterval is the time between two looks at the files of a certificate.
const certInterval = 10 * time.Second

// certSource reads a certificate again when its files change. An invalid pair keeps the previous one.
type certSource struct {
	files config.AdminTLS
	log   *slog.Logger

	mu      sync.Mutex
	current *tls.Config
	seen    [3]time.Time // modification times of the files
	looked  time.Time
}

// forClient returns the present TLS configuration for a handshake.
func (c *certSource) forClient(*tls.ClientHelloInfo) (*tls.Config, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.looked) < certInterval {
		return c.current, nil
	}
	before := c.seen
	next, err := c.load()
	switch {
	case err == nil:
		c.current = next
	case c.seen != before:
		c.log.Error("certificate of the API cannot be read again; the previous one stays", "error", err)
	}
	return c.current, nil
}

// load reads the files.
func (c *certSource) load() (*tls.Config, error) {
	c.looked = time.Now()
	for i, file := range []string{c.files.Cert, c.files.Key, c.files.ClientCA} {
		if info, err := os.Stat(file); err == nil {
			c.seen[i] = info.ModTime()
		}
	}
	cert, err := certs.Read(c.files.Cert)
	key, keyErr := certs.Read(c.files.Key)
	if err = errors.Join(err, keyErr); err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("admin.tls: %w", err)
	}
	made := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	if c.files.ClientCA == "" {
		return made, nil
	}
	authorities, err := certs.Read(c.files.ClientCA)
	if err == nil {
		made.ClientCAs, err = certs.Pool(authorities)
	}
	if err != nil {
		return nil, fmt.Errorf("admin.tls.client_ca: %w", err)
	}
	made.ClientAuth = tls.VerifyClientCertIfGiven
	return made, nil
}
