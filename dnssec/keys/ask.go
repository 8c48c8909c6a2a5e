package keys

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/miekg/dns"

	"meridian/dnsclient"
	"meridian/dnsname"
)

// The limits of one question to a server of the parent.
const (
	askTimeout = 3 * time.Second // for one attempt
	askTries   = 2
	maxStrays  = 100 // messages that do not answer the question
	maxDS      = 64  // records of an answer that are looked at
)

// Ask asks all servers of the parent for the DS records of a zone, at the same time. It returns an error that names the
// first server without a usable answer: a view needs all of them.
func Ask(ctx context.Context, servers []netip.AddrPort, zone dnsname.Name) (*DSView, error) {
	if len(servers) == 0 {
		return nil, errors.New("parent.servers has no server to ask")
	}
	view := &DSView{Answers: make([][][]byte, len(servers))}
	errs := make([]error, len(servers))
	var all sync.WaitGroup
	for i, server := range servers {
		all.Go(func() { view.Answers[i], errs[i] = askServer(ctx, server, zone) })
	}
	all.Wait()
	for i, err := range errs {
		if err != nil {
			return nil, fmt.Errorf("server %s of the parent: %w", servers[i], err)
		}
	}
	return view, nil
}

// askServer asks one server, over TCP if the answer is truncated.
func askServer(ctx context.Context, server netip.AddrPort, zone dnsname.Name) (records [][]byte, err error) {
	network := "udp"
	for range askTries {
		var answer *dns.Msg
		answer, err = exchange(ctx, network, server, zone)
		switch {
		case err != nil:
		case answer.Truncated && network == "udp":
			network = "tcp"
			err = errors.New("the answer over UDP is truncated")
		default:
			return dsRecords(answer, zone)
		}
	}
	return nil, err
}

func exchange(ctx context.Context, network string, server netip.AddrPort, zone dnsname.Name) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, network, server.String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return nil, err
		}
	}
	question := new(dns.Msg).SetQuestion(string(zone), dns.TypeDS)
	question.Id, question.RecursionDesired = uint16(rand.Uint32()), false
	question.SetEdns0(1232, true)
	if err := dnsclient.Send(conn, network, question); err != nil {
		return nil, err
	}
	return dnsclient.Await(conn, network, question, func(strays int) error {
		if strays >= maxStrays {
			return errors.New("it sends messages that do not answer the question")
		}
		return nil
	})
}

// dsRecords returns the DS records of an answer. Only the parent's own servers answer with authority.
func dsRecords(answer *dns.Msg, zone dnsname.Name) ([][]byte, error) {
	if answer.Rcode != dns.RcodeSuccess {
		return nil, fmt.Errorf("response code %s for the DS of %s", dnsclient.RcodeName(answer.Rcode), zone)
	}
	if !answer.Authoritative {
		return nil, fmt.Errorf("no authority for the DS of %s: it is not a server of the parent zone", zone)
	}
	if len(answer.Answer) > maxDS {
		return nil, fmt.Errorf("%d records in the answer, at most %d are possible", len(answer.Answer), maxDS)
	}
	var records [][]byte
	for _, rr := range answer.Answer {
		ds, ok := rr.(*dns.DS)
		if name, err := dnsname.Parse(rr.Header().Name); !ok || err != nil || name != zone {
			continue
		}
		digest, err := hex.DecodeString(ds.Digest)
		if err != nil {
			continue
		}
		records = append(records, append([]byte{byte(ds.KeyTag >> 8), byte(ds.KeyTag), ds.Algorithm, ds.DigestType}, digest...))
	}
	return records, nil
}
