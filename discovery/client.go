package discovery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/miekg/dns"

	"meridian/dnsclient"
)

const (
	tryTimeout = 1500 * time.Millisecond // for one server and transport
	rounds     = 2                       // how often each server is queried before a lookup fails
	udpSize    = 1232                    // fits any path without fragments (DNS flag day 2020)
)

// client queries servers one after the other.
type client struct {
	dial    Dial
	servers []netip.AddrPort
	subnet  netip.Prefix // of the clients to ask for; invalid: none
}

// ask queries the servers in order, up to two rounds, until one answers with records, no data or no such name. The
// error holds the other responses and timeouts.
func (c *client) ask(ctx context.Context, name string, qtype uint16) (*dns.Msg, error) {
	var errs []error
	for range rounds {
		errs = errs[:0]
		for _, server := range c.servers {
			answer, err := c.askServer(ctx, server, name, qtype)
			if err == nil {
				err = c.unusable(answer)
			}
			if err == nil {
				return answer, nil
			}
			errs = append(errs, fmt.Errorf("%s: %w", server, err))
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
		}
	}
	return nil, errors.Join(errs...)
}

// unusable returns the reason why the next server must be queried, or nil.
func (c *client) unusable(answer *dns.Msg) error {
	switch {
	case !c.isForSubnet(answer):
		return errors.New("a response for another client subnet")
	case answer.Rcode == dns.RcodeNameError:
		return nil
	case answer.Rcode != dns.RcodeSuccess:
		return fmt.Errorf("response code %s", dnsclient.RcodeName(answer.Rcode))
	case len(answer.Answer) == 0 && !answer.Authoritative && !answer.RecursionAvailable:
		return errors.New("a referral: the server does not recurse")
	}
	return nil
}

// askServer queries one server over UDP, and over TCP if the answer is truncated (RFC 7766 5). It queries a server
// without EDNS support again without EDNS (RFC 6891 7).
func (c *client) askServer(ctx context.Context, server netip.AddrPort, name string, qtype uint16) (*dns.Msg, error) {
	question := new(dns.Msg).SetQuestion(name, qtype) // its id is random
	question.SetEdns0(udpSize, false)
	if c.subnet.IsValid() {
		question.IsEdns0().Option = []dns.EDNS0{optionOf(c.subnet)}
	}
	answer, err := c.exchange(ctx, "udp", server, question)
	if err == nil && (answer.Rcode == dns.RcodeFormatError || answer.Rcode == dns.RcodeNotImplemented) {
		question.Extra = nil
		answer, err = c.exchange(ctx, "udp", server, question)
	}
	if err == nil && answer.Truncated {
		answer, err = c.exchange(ctx, "tcp", server, question)
	}
	return answer, err
}

// exchange sends the question and waits a limited time for its answer.
func (c *client) exchange(ctx context.Context, network string, server netip.AddrPort, question *dns.Msg) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	conn, err := c.dial(ctx, network, server.String())
	if err != nil {
		return nil, trimConnError(err)
	}
	// Close ends a waiting read. Each question uses a new socket, and so a new port.
	hangUp := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer func() {
		if hangUp() {
			_ = conn.Close()
		}
	}()
	if err := dnsclient.Send(conn, network, question); err != nil {
		return nil, trimConnError(err)
	}
	answer, err := dnsclient.Await(conn, network, question, func(int) error { return strayError(network) })
	if err == nil && network == "tcp" && answer.Truncated {
		err = errWrongAnswer
	}
	if err != nil && ctx.Err() != nil {
		return nil, fmt.Errorf("no answer over %s within %s", network, tryTimeout)
	}
	return answer, trimConnError(err)
}

// trimConnError removes the addresses from an error of a connection: the message names the server already, and the local port
// differs each time.
func trimConnError(err error) error {
	var op *net.OpError
	switch {
	case errors.As(err, &op):
		return op.Err
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("connection closed without an answer")
	}
	return err
}

var errWrongAnswer = errors.New("the response over tcp does not answer the question")

// strayError returns nil if the exchange continues after a message that does not answer the question: over UDP it may be
// a late answer or forged. Over TCP only the server can have sent it.
func strayError(network string) error {
	if network == "tcp" {
		return errWrongAnswer
	}
	return nil
}
