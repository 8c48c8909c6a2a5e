package direct

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"meridian/cluster/observation"
	"meridian/handover"
)

// Refusal is why a listener refused a connection or a request, as in metrics.
type Refusal string

// The reasons.
const (
	Untrusted   Refusal = "untrusted"   // the client has no key that is trusted
	Malformed   Refusal = "malformed"   // the request cannot be read
	Version     Refusal = "version"     // the request is of another version
	TooMany     Refusal = "too_many"    // requests of a vantage in a heartbeat
	Connections Refusal = "connections" // of a vantage, open at once
	Handshakes  Refusal = "handshakes"  // connections that have sent no request, and were closed for newer ones
)

// Settings are those of a listener.
type Settings struct {
	Identity  Identity
	Heartbeat time.Duration
	Answer    func(*observation.Exchange) observation.Exchange
	Logger    *slog.Logger
}

// Listener answers the requests of other vantages.
type Listener struct {
	Configured netip.AddrPort // as configured
	tcp        *net.TCPListener
	settings   Settings
	http       *http.Server
	served     chan struct{} // closed when http stops serving; nil: it never served
	conns      connections
	patience   time.Duration // readTimeout; tests wait longer

	mu       sync.Mutex // guards all below
	clients  map[string]*client
	refused  map[Refusal]uint64
	reported map[Refusal]time.Time
}

// client holds the requests of a vantage to a listener.
type client struct {
	since    time.Time // when the present heartbeat began
	requests int       // in it
	busy     bool      // a request is being answered
}

// The limits on what clients can hold.
const (
	readTimeout  = 10 * time.Second // for a handshake, and for a whole request; a new connection may end it before
	writeTimeout = 10 * time.Second
	closeTimeout = time.Second // for running requests
	maxRequests  = 4           // of a vantage in a heartbeat: processes that end or start send more than one
	quiet        = time.Minute // between two log lines of a reason
)

// Open binds an address, or takes its inherited socket. With every, an unspecified address is that of both families.
func Open(asked netip.AddrPort, every bool, inherited *handover.Sockets) (*Listener, error) {
	bound, err := inherited.TakeListener(handover.Cluster, asked)
	if bound == nil && err == nil {
		bound, err = bind(asked, every)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %s for the nodes of the cluster: %w", asked, err)
	}
	return &Listener{Configured: asked, tcp: bound, patience: readTimeout, clients: make(map[string]*client), refused: make(map[Refusal]uint64), reported: make(map[Refusal]time.Time)}, nil
}

func bind(asked netip.AddrPort, every bool) (*net.TCPListener, error) {
	network, address := "tcp6", asked.String()
	switch {
	case every:
		network, address = "tcp", fmt.Sprintf(":%d", asked.Port())
	case asked.Addr().Is4():
		network = "tcp4"
	}
	l, err := net.Listen(network, address)
	if err != nil {
		return nil, err
	}
	return l.(*net.TCPListener), nil // the network is always tcp
}

// Addr returns the bound address.
func (l *Listener) Addr() netip.AddrPort { return l.tcp.Addr().(*net.TCPAddr).AddrPort() }

// Sockets returns the socket, for another process. That of nil is none.
func (l *Listener) Sockets() []handover.Open {
	if l == nil {
		return nil
	}
	return []handover.Open{{Use: handover.Cluster, Address: l.Configured, Conns: []syscall.Conn{l.tcp}}}
}

// Serve starts to answer.
func (l *Listener) Serve(s Settings) error {
	l.settings = s
	secure, err := s.Identity.settings(nil)
	if err != nil {
		return err
	}
	secure.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		of := secure.Clone()
		of.VerifyConnection = func(s tls.ConnectionState) error { return l.accepts(&s, hello.Conn.RemoteAddr()) }
		return of, nil
	}
	l.http = &http.Server{
		Handler: l, ReadHeaderTimeout: l.patience, ReadTimeout: l.patience, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(s.Logger.Handler(), slog.LevelDebug), ConnState: l.follow,
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
	}
	l.served = make(chan struct{})
	go func() {
		defer close(l.served)
		_ = l.http.Serve(tls.NewListener(limited{l.tcp, l}, secure)) // returns when Close closes it
	}()
	return nil
}

// accepts returns why a connection with a client is refused.
func (l *Listener) accepts(s *tls.ConnectionState, client net.Addr) error {
	if l.settings.Identity.nameOf(s) != "" {
		return nil
	}
	what := "a client at " + client.String() + " without an Ed25519 key"
	if len(s.PeerCertificates) > 0 {
		if key, ok := s.PeerCertificates[0].PublicKey.(ed25519.PublicKey); ok {
			what = fmt.Sprintf("a client at %s with the key %s, which is not in cluster.trust", client, observation.FormatPublicKey(key))
		}
	}
	l.refuse(Untrusted, what)
	return errors.New("the key of the client is not in cluster.trust")
}

// refuse counts a refusal, and logs one of each reason a minute.
func (l *Listener) refuse(why Refusal, what string) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused[why]++
	if now.Sub(l.reported[why]) < quiet {
		return
	}
	l.reported[why] = now
	l.settings.Logger.Warn("direct request refused", "reason", string(why), "from", what)
}

// Refused returns how many connections and requests were refused, for each reason.
func (l *Listener) Refused() map[string]uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make(map[string]uint64)
	for _, why := range []Refusal{Untrusted, Malformed, Version, TooMany, Connections, Handshakes} {
		all[string(why)] = l.refused[why]
	}
	return all
}

// ServeHTTP answers a request.
func (l *Listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	from := l.settings.Identity.nameOf(r.TLS)
	switch {
	case r.URL.Path != path(l.settings.Identity.Cluster):
		l.refuse(Malformed, from)
		http.Error(w, "this is a node of cluster "+l.settings.Identity.Cluster, http.StatusNotFound)
		return
	case r.Method != http.MethodPost:
		l.refuse(Malformed, from)
		http.Error(w, "want POST", http.StatusMethodNotAllowed)
		return
	case !l.begin(from, time.Now()):
		l.refuse(TooMany, from)
		http.Error(w, "too many requests in a heartbeat", http.StatusTooManyRequests)
		return
	}
	defer l.end(from)
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, observation.MaxExchange))
	var request observation.Exchange
	if err == nil {
		request, err = observation.DecodeExchange(raw)
	}
	if err != nil {
		why := Malformed
		if errors.Is(err, observation.ErrExchangeVersion) {
			why = Version
		}
		l.refuse(why, from)
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer := l.settings.Answer(&request)
	w.Header().Set("Content-Type", contentType)
	_, _ = w.Write(answer.Append(nil)) // the client asks again
}

// begin reports whether a request of a vantage may begin.
func (l *Listener) begin(from string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.clients[from]
	if c == nil {
		c = new(client)
		l.clients[from] = c
	}
	if now.Sub(c.since) >= l.settings.Heartbeat {
		c.since, c.requests = now, 0
	}
	if c.requests == maxRequests || c.busy {
		return false
	}
	c.busy = true
	c.requests++
	return true
}

func (l *Listener) end(from string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clients[from].busy = false
}

// Close waits a moment for running requests. Closing nil is a no-op.
func (l *Listener) Close() {
	if l == nil {
		return
	}
	if l.http != nil {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		if l.http.Shutdown(ctx) != nil {
			l.http.Close()
		}
		<-l.served
	}
	_ = l.tcp.Close() // it may be closed
}
