package daemon

import (
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// updater is a client that sends signed updates over one connection.
type updater struct{ conn net.Conn }

func newUpdater(t testing.TB, server string) *updater {
	t.Helper()
	conn, err := net.Dial("tcp", server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &updater{conn}
}

// send makes an update, and returns an error unless the server acknowledges it.
func (u *updater) send(edit func(*dns.Msg)) error {
	msg := new(dns.Msg).SetUpdate("example.com.")
	edit(msg)
	msg.SetTsig("xfr.", dns.HmacSHA256, 300, time.Now().Unix())
	_ = u.conn.SetDeadline(time.Now().Add(time.Minute))
	one := &dns.Conn{Conn: u.conn, TsigSecret: map[string]string{"xfr.": ixfrSecret}} // of one message: it keeps the last MAC
	if err := one.WriteMsg(msg); err != nil {
		return err
	}
	answer, err := one.ReadMsg()
	if err == nil && answer.Rcode != dns.RcodeSuccess {
		err = fmt.Errorf("rcode %s", dns.RcodeToString[answer.Rcode])
	}
	return err
}

func txt(t testing.TB, name, text string) []dns.RR {
	t.Helper()
	rr, err := dns.NewRR(name + ".example.com. 60 IN TXT " + text)
	if err != nil {
		t.Fatal(err)
	}
	return []dns.RR{rr}
}

const anyUpdate = `}, journal: {depth: 1000}, update: [{key: xfr, names: ["*"]}]`

// TestManyUpdatesAreDifferences has several clients change random names at the same time, with reloads in between. A secondary that
// takes differences now and then has the zone of a whole transfer at the end, and that of a slow reference: what the clients
// were told.
func TestManyUpdatesAreDifferences(t *testing.T) {
	const clients, updates = 4, 60
	p := startPrimary(t, anyUpdate, ixfrZone)
	server := p.listens(t)
	have := map[string]bool{} // of the secondary: its records without the SOA
	for _, record := range whole(t, server) {
		have[record] = true
	}
	serial := p.serial(t, server)
	follow := func() {
		serial = applyDifferences(t, have, ixfr(t, server, "tcp", serial), serial)
	}
	reference := make([]map[string]bool, clients)
	var running sync.WaitGroup
	for c := range clients {
		reference[c] = map[string]bool{}
		u, seed := newUpdater(t, server), rand.Uint64()
		running.Go(func() {
			random := rand.New(rand.NewPCG(seed, 0))
			for range updates {
				set := txt(t, fmt.Sprintf("n%d.c%d", random.IntN(5), c), fmt.Sprint(random.IntN(3)))
				add, record := random.IntN(2) == 0, line(set[0]) // Remove changes set
				err := u.send(func(m *dns.Msg) {
					if add {
						m.Insert(set)
					} else {
						m.Remove(set)
					}
				})
				if err != nil {
					t.Error(err)
					return
				}
				if reference[c][record] = add; !add {
					delete(reference[c], record)
				}
			}
		})
	}
	p.reload(t, p.text)
	follow()
	p.reload(t, p.text)
	running.Wait()
	follow()
	want := whole(t, server)
	got := make([]string, 0, len(have))
	for record := range have {
		got = append(got, record)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("the secondary has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for c := range clients {
		for _, record := range want {
			if strings.Contains(record, fmt.Sprintf(".c%d.", c)) && !reference[c][record] {
				t.Errorf("the zone has %s, which its client has deleted", record)
			}
			delete(reference[c], record)
		}
		if len(reference[c]) > 0 {
			t.Errorf("the zone does not have %v", reference[c])
		}
	}
}

// line returns a record with one space between fields.
func line(rr dns.RR) string { return strings.Join(strings.Fields(rr.String()), " ") }

// whole transfers the zone, and returns its records without the SOA, in their order as texts.
func whole(t testing.TB, server string) (all []string) {
	t.Helper()
	msg := new(dns.Msg).SetAxfr("example.com.")
	msg.SetTsig("xfr.", dns.HmacSHA256, 300, time.Now().Unix())
	envelopes, err := (&dns.Transfer{TsigSecret: map[string]string{"xfr.": ixfrSecret}, ReadTimeout: time.Minute}).In(msg, server)
	if err != nil {
		t.Fatal(err)
	}
	for e := range envelopes {
		if e.Error != nil {
			t.Fatal(e.Error)
		}
		for _, rr := range e.RR {
			if rr.Header().Rrtype != dns.TypeSOA {
				all = append(all, line(rr))
			}
		}
	}
	slices.Sort(all)
	return all
}

// applyDifferences changes the records of a secondary as an IXFR answer says, and returns its serial.
func applyDifferences(t *testing.T, have map[string]bool, records []string, from uint32) uint32 {
	t.Helper()
	if len(records) < 4 { // nothing has changed
		return from
	}
	serialOf := func(record string) (serial uint32) {
		_, _ = fmt.Sscan(strings.Fields(record)[6], &serial)
		return serial
	}
	last, adding := serialOf(records[0]), true
	if f := strings.Fields(records[1]); f[3] != "SOA" || serialOf(records[1]) != from {
		t.Fatalf("not a difference from %d: %s", from, records[1])
	}
	for _, record := range records[1 : len(records)-1] {
		switch record = strings.Join(strings.Fields(record), " "); {
		case strings.Fields(record)[3] == "SOA":
			adding = !adding
		case adding == have[record]:
			t.Fatalf("%s is added: %t, and the secondary has it: %t", record, adding, have[record])
		case adding:
			have[record] = true
		default:
			delete(have, record)
		}
	}
	return last
}

// BenchmarkUpdates has 16 clients make signed updates of one zone, each on disk before it is acknowledged. Half of them add a name,
// half delete it.
func BenchmarkUpdates(b *testing.B) {
	for _, names := range []int{1000, 1_000_000} {
		b.Run(fmt.Sprint(names), func(b *testing.B) { benchmarkUpdates(b, names, 16) })
	}
}

// BenchmarkOneUpdater is BenchmarkUpdates with one client: the time of each update.
func BenchmarkOneUpdater(b *testing.B) {
	for _, names := range []int{1000, 1_000_000} {
		b.Run(fmt.Sprint(names), func(b *testing.B) { benchmarkUpdates(b, names, 1) })
	}
}

func generated(names int) string {
	const most = 50_000 // names of a directive
	text := ""
	for i := 0; i < names; i += most {
		text += fmt.Sprintf("$GENERATE 1-%d g$.p%d A 192.0.2.1\n", min(most, names-i), i/most)
	}
	return text
}

func benchmarkUpdates(b *testing.B, names, clients int) {
	p := startPrimary(b, anyUpdate, ixfrZone+generated(names))
	server := p.listens(b)
	var next atomic.Int64
	var running sync.WaitGroup
	b.ResetTimer()
	for c := range clients {
		u := newUpdater(b, server)
		running.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				set := txt(b, fmt.Sprintf("_acme-challenge.c%d", c), "token")
				edit := func(m *dns.Msg) { m.Insert(set) }
				if i%2 == 0 {
					edit = func(m *dns.Msg) { m.Remove(set) }
				}
				if err := u.send(edit); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	running.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "updates/s")
}

// BenchmarkIXFR asks for a difference of 100 changes in a zone of 100,000 names.
func BenchmarkIXFR(b *testing.B) {
	p := startPrimary(b, anyUpdate, ixfrZone+generated(100_000))
	server := p.listens(b)
	u := newUpdater(b, server)
	serial := uint32(0)
	for i := range 101 {
		if err := u.send(func(m *dns.Msg) { m.Insert(txt(b, fmt.Sprintf("n%d", i), "t")) }); err != nil {
			b.Fatal(err)
		}
		if i == 0 {
			serial = p.serial(b, server)
		}
	}
	for b.Loop() {
		if n := len(ixfr(b, server, "tcp", serial)); n != 104 {
			b.Fatalf("%d records", n)
		}
	}
}
