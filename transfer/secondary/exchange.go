package secondary

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/miekg/dns"

	"meridian/dnsname"
	"meridian/errtext"
	"meridian/transfer/tsig"
)

const (
	headerSize  = 12
	maxMessage  = 1<<16 - 1
	dialTimeout = 10 * time.Second
	idleTimeout = 30 * time.Second // for each message

	// A transfer may take baseTime, and a second more for each slowestRate octets that have arrived: a primary that sends
	// one octet at a time does not hold a place for ever.
	baseTime    = 2 * time.Minute
	slowestRate = 16 << 10
)

// Primary is a server that has a zone.
type Primary struct {
	Address netip.AddrPort
	Key     *tsig.Key // signs all messages; nil: none are signed
	TLS     *TLS      // nil: plain TCP
}

// TLS is how a connection to a primary is encrypted (RFC 9103).
type TLS struct {
	CA   string // file of the certificates to trust; empty: those of the system
	Name string // in the certificate; empty: the address
	Cert string // file of the certificate of this server; empty: none
	Key  string // file of its key
}

// errConnect is wrapped by the errors of connections that could not be made.
var errConnect = errors.New("cannot connect")

// errSilent is wrapped by the errors of primaries that accept a question and send nothing.
var errSilent = errors.New("no message")

// exchange is a question to a primary, and the messages of its answer.
type exchange struct {
	conn   net.Conn
	clock  func() time.Time
	query  *dns.Msg
	signed *tsig.Request // nil: not signed
	begun  time.Time
	octets int // received
	number int // messages received
	buf    []byte
}

// connect opens a connection.
func (p *Primary) connect(ctx context.Context, dial dialer) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := dial(ctx, p.Address)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errConnect, reason(err))
	}
	if p.TLS == nil {
		return conn, nil
	}
	secure, err := p.TLS.handshake(ctx, conn, p.Address.Addr())
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("%w over TLS: %w", errConnect, err)
	}
	return secure, nil
}

// reason returns the part of a network error that is not in every message: the address is there already.
func reason(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Err
	}
	return err
}

// protocol is the name of DNS over TLS in ALPN. Primaries refuse transfers without it (RFC 9103 7.1).
const protocol = "dot"

func (t *TLS) handshake(ctx context.Context, conn net.Conn, addr netip.Addr) (net.Conn, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{protocol}, ServerName: t.Name}
	if t.Name == "" {
		cfg.ServerName = addr.String()
	}
	if t.CA != "" {
		pool, err := ReadCA(t.CA)
		if err != nil {
			return nil, err
		}
		cfg.RootCAs = pool
	}
	if t.Cert != "" {
		pair, err := tls.LoadX509KeyPair(t.Cert, t.Key) // at each connection: the files are renewed
		if err != nil {
			return nil, fmt.Errorf("own certificate: %w", err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	secure := tls.Client(conn, cfg)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	if secure.ConnectionState().NegotiatedProtocol != protocol {
		return nil, errors.New("the server does not speak DNS over TLS: it did not accept ALPN " + protocol)
	}
	return secure, nil
}

// ReadCA reads the certificates to trust from a file in PEM.
func ReadCA(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, errtext.CannotRead(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no certificate in PEM", file)
	}
	return pool, nil
}

// ask sends a question.
func (p *Primary) ask(conn net.Conn, clock func() time.Time, query *dns.Msg) (*exchange, error) {
	query.Id, query.RecursionDesired = uint16(rand.Uint32()), false
	packet, err := query.Pack()
	if err != nil {
		return nil, err
	}
	x := &exchange{conn: conn, clock: clock, query: query, begun: clock(), buf: make([]byte, maxMessage)}
	if p.Key != nil {
		packet, x.signed = p.Key.Sign(packet, clock())
	}
	if err := conn.SetWriteDeadline(clock().Add(idleTimeout)); err != nil {
		return nil, err
	}
	_, err = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(packet))), packet...))
	return x, err
}

// next returns the next message of the answer. It is valid until the next call.
func (x *exchange) next() ([]byte, error) {
	msg, err := x.read()
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return nil, fmt.Errorf("it closed the connection after %d messages", x.number)
	case errors.Is(err, os.ErrDeadlineExceeded) && x.number > 0 && !x.clock().Before(x.ends()):
		return nil, fmt.Errorf("it is too slow: %d octets in %s", x.octets, x.clock().Sub(x.begun).Round(time.Second))
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, fmt.Errorf("%w for %s", errSilent, idleTimeout)
	case err != nil:
		return nil, err
	}
	x.number++
	x.octets += len(msg)
	return msg, x.check(msg)
}

// ends returns when the answer has to be complete.
func (x *exchange) ends() time.Time {
	return x.begun.Add(baseTime + time.Duration(x.octets/slowestRate)*time.Second)
}

func (x *exchange) read() ([]byte, error) {
	deadline := x.clock().Add(idleTimeout)
	if end := x.ends(); end.Before(deadline) {
		deadline = end
	}
	if err := x.conn.SetReadDeadline(deadline); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(x.conn, x.buf[:2]); err != nil {
		return nil, err
	}
	msg := x.buf[:binary.BigEndian.Uint16(x.buf)]
	_, err := io.ReadFull(x.conn, msg)
	return msg, err
}

// check checks that a message belongs to the answer, has its signature, and reports no error.
func (x *exchange) check(msg []byte) error {
	switch {
	case len(msg) < headerSize:
		return fmt.Errorf("it sent a message of %d octets", len(msg))
	case binary.BigEndian.Uint16(msg) != x.query.Id || msg[2]&0x80 == 0 || msg[2]>>3&0xf != dns.OpcodeQuery:
		return errors.New("it sent a message that is no answer to the question")
	}
	rcode := int(msg[3] & 0xf)
	if x.signed != nil {
		if err := x.signed.Verify(msg, x.clock()); err != nil {
			if rcode != dns.RcodeSuccess {
				return fmt.Errorf("it answers %s, and %w", dns.RcodeToString[rcode], err)
			}
			return err
		}
	}
	if rcode != dns.RcodeSuccess {
		return &rcodeError{rcode}
	}
	return nil
}

// rcodeError is an answer with a response code other than NOERROR.
type rcodeError struct{ rcode int }

func (e *rcodeError) Error() string { return "it answers " + dns.RcodeToString[e.rcode] }

// records yields the answer section of a message.
func (x *exchange) records(msg []byte, take func(dns.RR) error) error {
	at, err := x.skipQuestion(msg)
	if err != nil {
		return err
	}
	count := int(binary.BigEndian.Uint16(msg[6:]))
	if count == 0 {
		return errors.New("it sent a message without a record")
	}
	for range count {
		rr, next, err := dns.UnpackRR(msg, at)
		if err != nil || next <= at {
			return fmt.Errorf("it sent a record that does not parse: %s", strings.ReplaceAll(fmt.Sprint(err), "dns: ", ""))
		}
		if err := take(rr); err != nil {
			return err
		}
		at = next
	}
	return nil
}

// skipQuestion returns the end of the question, which later messages of a transfer may leave out (RFC 5936 2.2.1).
func (x *exchange) skipQuestion(msg []byte) (end int, err error) {
	switch binary.BigEndian.Uint16(msg[4:]) {
	case 0:
		return headerSize, nil
	case 1:
	default:
		return 0, errors.New("it sent a message with several questions")
	}
	asked := x.query.Question[0]
	name, end, err := dns.UnpackDomainName(msg, headerSize)
	if err != nil || end+4 > len(msg) {
		return 0, errors.New("it sent a question that does not parse")
	}
	if !strings.EqualFold(name, asked.Name) || binary.BigEndian.Uint16(msg[end:]) != asked.Qtype || binary.BigEndian.Uint16(msg[end+2:]) != asked.Qclass {
		return 0, errors.New("it answers another question")
	}
	return end + 4, nil
}

// isApex reports whether an owner is the name of the zone.
func isApex(owner, apex dnsname.Wire) bool { return bytes.Equal(owner.Folded(), apex) }
