package etcd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// diagnosisTimeout is the time limit for the connection to an endpoint that returns the wanted error.
const diagnosisTimeout = time.Second

// diagnose returns a better error for one that only says that etcd has not answered in time: what the first endpoint fails with
// that fails at once. The client of etcd keeps such errors to itself.
func (s *Store) diagnose(ctx context.Context, err error) error {
	if !errors.Is(err, context.DeadlineExceeded) && status.Code(err) != codes.DeadlineExceeded {
		return explain(err)
	}
	for _, endpoint := range s.Endpoints {
		if failed := s.connect(ctx, endpoint); failed != nil {
			return fmt.Errorf("%s: %w", endpoint, failed)
		}
	}
	return explain(context.DeadlineExceeded)
}

// connect returns why a connection to an endpoint fails; nil: it does not.
func (s *Store) connect(ctx context.Context, endpoint string) error {
	u, err := url.Parse(endpoint)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, diagnosisTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return err
	}
	defer conn.Close()
	if u.Scheme != "https" {
		return nil
	}
	secure := new(tls.Config)
	if s.TLS != nil {
		secure = s.TLS.Clone()
	}
	secure.ServerName, secure.NextProtos = u.Hostname(), []string{"h2"}
	client := tls.Client(conn, secure)
	if err := client.HandshakeContext(ctx); err != nil {
		return err
	}
	_ = client.SetReadDeadline(time.Now().Add(diagnosisTimeout)) // the read then fails
	_, err = client.Read(make([]byte, 1))                        // with TLS 1.3, the server refuses a certificate after the handshake
	if timeout := net.Error(nil); err == nil || errors.As(err, &timeout) && timeout.Timeout() {
		return nil
	}
	return err
}
