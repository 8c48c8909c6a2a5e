//go:build unix

package main

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/quic-go/quic-go"

	"meridian/certs/certstest"
)

// dialQUIC connects to a server of DNS over QUIC.
func dialQUIC(t *testing.T, server string) *quic.Conn {
	t.Helper()
	conn, err := quic.DialAddr(t.Context(), server, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"doq"}}, &quic.Config{HandshakeIdleTimeout: queryTimeout})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.CloseWithError(0, "") })
	return conn
}

// askQUIC asks for the address of www.example.com.
func askQUIC(conn *quic.Conn) error {
	query := new(dns.Msg).SetQuestion("www.example.com.", dns.TypeA)
	query.Id = 0
	packed, err := query.Pack()
	if err != nil {
		return err
	}
	stream, err := conn.OpenStream()
	if err != nil {
		return err
	}
	_ = stream.SetDeadline(time.Now().Add(queryTimeout))
	_, _ = stream.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(packed))), packed...))
	_ = stream.Close()
	answer, err := io.ReadAll(stream)
	if err != nil || len(answer) < 2 {
		return fmt.Errorf("%w, %x", err, answer)
	}
	if err := query.Unpack(answer[2:]); err != nil || len(query.Answer) != 1 {
		return fmt.Errorf("%w, %v", err, query)
	}
	return nil
}

// TestUpgradePassesTheSocketOfQUIC upgrades a server with a connection of QUIC: it ends properly, and the next one is to
// the new process at the same address.
func TestUpgradePassesTheSocketOfQUIC(t *testing.T) {
	t.Parallel()
	u := newUpgradable(t)
	cert, key := certstest.Write(t, filepath.Dir(u.config), time.Now(), "dns.example")
	listen := fmt.Sprintf(`server: {listen_quic: ["127.0.0.1:0"], tls: {certificates: [{cert: %q, key: %q}]}, `, cert, key)
	u.write(strings.Replace(fmt.Sprintf(upgradableConfig, 1, ""), "server: {", listen, 1))
	u.start(u.program, "serve", "-c", u.config)
	at := u.log.await(t, `msg=serving .* doq=(\S+)`)[1]
	conn := dialQUIC(t, at)
	if err := askQUIC(conn); err != nil {
		t.Fatal(err)
	}
	u.upgrade()
	select {
	case <-conn.Context().Done():
	case <-time.After(queryTimeout):
		t.Fatal("the connection does not end")
	}
	var end *quic.ApplicationError
	if cause := context.Cause(conn.Context()); !errors.As(cause, &end) || end.ErrorCode != 0 {
		t.Errorf("the connection ends with %v", cause)
	}
	if err := askQUIC(dialQUIC(t, at)); err != nil {
		t.Error(err)
	}
}
