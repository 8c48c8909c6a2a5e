package dnsclient

import (
	"errors"
	"net"
	"testing"

	"github.com/miekg/dns"
)

func query() *dns.Msg { return new(dns.Msg).SetQuestion("www.example.com.", dns.TypeA) }

// pack returns the answer to a question, changed by change.
func pack(t testing.TB, question *dns.Msg, change func(*dns.Msg)) []byte {
	t.Helper()
	answer := new(dns.Msg).SetReply(question)
	change(answer)
	packed, err := answer.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return packed
}

func TestAnswerToComparesIDAndQuestion(t *testing.T) {
	question := query()
	cases := []struct {
		name    string
		change  func(*dns.Msg)
		accepts bool
	}{
		{"the answer", func(*dns.Msg) {}, true},
		{"the name in other letters", func(m *dns.Msg) { m.Question[0].Name = "WWW.Example.com." }, true},
		{"a failure without a question", func(m *dns.Msg) { m.Question, m.Rcode = nil, dns.RcodeRefused }, true},
		{"success without a question", func(m *dns.Msg) { m.Question = nil }, false},
		{"no such name without a question", func(m *dns.Msg) { m.Question, m.Rcode = nil, dns.RcodeNameError }, false},
		{"another ID", func(m *dns.Msg) { m.Id++ }, false},
		{"another name", func(m *dns.Msg) { m.Question[0].Name = "example.com." }, false},
		{"another type", func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeAAAA }, false},
		{"another class", func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }, false},
		{"two questions", func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }, false},
		{"a query", func(m *dns.Msg) { m.Response = false }, false},
		{"a NOTIFY", func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify }, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := AnswerTo(question, pack(t, question, c.change)) != nil; got != c.accepts {
				t.Errorf("accepted: %v, want %v", got, c.accepts)
			}
		})
	}
}

func TestAwaitSkipsMessagesThatStrayAllows(t *testing.T) {
	question := query()
	wrong := pack(t, question, func(m *dns.Msg) { m.Id++ })
	right := pack(t, question, func(*dns.Msg) {})
	for _, network := range []string{"udp", "tcp"} {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			for _, m := range [][]byte{wrong, wrong, right} {
				if network == "tcp" {
					m = append([]byte{byte(len(m) >> 8), byte(len(m))}, m...)
				}
				server.Write(m)
			}
		}()
		strays := 0
		answer, err := Await(client, network, question, func(n int) error { strays = n; return nil })
		if err != nil || answer.Id != question.Id || strays != 2 {
			t.Errorf("%s: %v, %v after %d other messages, want the answer after 2", network, answer, err, strays)
		}
		client.Close()
	}
}

func TestAwaitEndsWithErrorOfStray(t *testing.T) {
	question, want := query(), errors.New("enough")
	client, server := net.Pipe()
	defer client.Close()
	go func() {
		defer server.Close()
		server.Write(pack(t, question, func(m *dns.Msg) { m.Id++ }))
	}()
	if answer, err := Await(client, "udp", question, func(int) error { return want }); !errors.Is(err, want) {
		t.Errorf("%v, %v, want %v", answer, err, want)
	}
}

func FuzzAnswerTo(f *testing.F) {
	question := query()
	question.Id = 0x1234
	f.Add(pack(f, question, func(*dns.Msg) {}))
	f.Add(pack(f, question, func(m *dns.Msg) { m.Question, m.Rcode = nil, dns.RcodeFormatError }))
	f.Fuzz(func(t *testing.T, message []byte) {
		answer := AnswerTo(question, message)
		if answer == nil {
			return
		}
		if answer.Id != question.Id || !answer.Response {
			t.Errorf("%x taken for the answer", message)
		}
		if len(answer.Question) == 0 && (answer.Rcode == dns.RcodeSuccess || answer.Rcode == dns.RcodeNameError) {
			t.Errorf("%x taken for the answer, without a question", message)
		}
	})
}
