package discovery

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// upstream simulates servers: for each question it returns the response messages, in order. An empty list means no
// reply; nil means that the dial fails.
type upstream func(network, server string, question *dns.Msg) [][]byte

// dial connects to upstream in memory.
func (u upstream) dial(_ context.Context, network, server string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	go func() {
		defer theirs.Close()
		question := readQuestion(theirs, network)
		if question == nil {
			return
		}
		for _, message := range u(network, server, question) {
			if network == "tcp" {
				message = append(binary.BigEndian.AppendUint16(nil, uint16(len(message))), message...)
			}
			if _, err := theirs.Write(message); err != nil {
				return
			}
		}
		_, _ = io.Copy(io.Discard, theirs) // until the client closes
	}()
	return ours, nil
}

func readQuestion(conn net.Conn, network string) *dns.Msg {
	buf := make([]byte, 65535)
	n, err := conn.Read(buf)
	if err != nil {
		return nil
	}
	buf = buf[:n]
	if network == "tcp" {
		buf = buf[2:]
	}
	question := new(dns.Msg)
	if question.Unpack(buf) != nil {
		return nil
	}
	return question
}

var errRefused = errors.New("connection refused")

// reply returns an answer with records of the answer section, in master-file form.
func reply(question *dns.Msg, records ...string) *dns.Msg {
	m := new(dns.Msg).SetReply(question)
	m.RecursionAvailable = true
	for _, r := range records {
		rr, err := dns.NewRR(r)
		if err != nil {
			panic(err)
		}
		if rr.Header().Rrtype == dns.TypeSOA {
			m.Ns = append(m.Ns, rr)
		} else {
			m.Answer = append(m.Answer, rr)
		}
	}
	return m
}

// failure returns a response with a response code.
func failure(question *dns.Msg, rcode int) *dns.Msg {
	m := reply(question)
	m.Rcode = rcode
	return m
}

func packed(messages ...*dns.Msg) [][]byte {
	all := make([][]byte, len(messages))
	for i, m := range messages {
		var err error
		if all[i], err = m.Pack(); err != nil {
			panic(err)
		}
	}
	return all
}

// book is an upstream that answers from lists of records by "name type", and can be changed during a test. A missing
// entry has no records.
type book struct {
	mu      sync.Mutex
	entries map[string][]string
	asked   []string
}

func newBook(entries map[string][]string) *book { return &book{entries: entries} }

func (b *book) set(key string, records ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.entries[key] = records
}

// count returns the number of questions since the previous call.
func (b *book) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := len(b.asked)
	b.asked = nil
	return n
}

func (b *book) answer(_, _ string, question *dns.Msg) [][]byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	q := question.Question[0]
	key := strings.ToLower(q.Name) + " " + dns.TypeToString[q.Qtype]
	b.asked = append(b.asked, key)
	records := b.entries[key]
	if len(records) == 1 {
		if rcode, ok := dns.StringToRcode[records[0]]; ok {
			return packed(failure(question, rcode))
		}
		if records[0] == "silence" {
			return [][]byte{}
		}
	}
	return packed(reply(question, records...))
}

// clientOf returns a client of one server.
func clientOf(u upstream) *client { return &client{dial: u.dial, servers: servers("192.0.2.53:53")} }

func servers(addrs ...string) []netip.AddrPort {
	all := make([]netip.AddrPort, len(addrs))
	for i, a := range addrs {
		all[i] = netip.MustParseAddrPort(a)
	}
	return all
}

func addrs(list ...string) []netip.Addr {
	all := make([]netip.Addr, len(list))
	for i, a := range list {
		all[i] = netip.MustParseAddr(a)
	}
	return all
}

// journal is a log that a test reads, without timestamps.
type journal struct {
	mu    sync.Mutex
	lines strings.Builder
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.lines.Write(p)
}

// take returns the lines written since the previous call.
func (j *journal) take() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	text := j.lines.String()
	j.lines.Reset()
	return text
}

func (j *journal) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(j, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

func expect[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}
