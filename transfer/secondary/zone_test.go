package secondary

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"meridian/dnsname"
	"meridian/zones"
)

func dnsWire(name string) dnsname.Wire { return dnsname.Name(name).Wire() }

// primary is a scripted server. Its fields are set before a question arrives.
type primary struct {
	t testing.TB

	mu      sync.Mutex // guards the fields below
	down    bool
	records [][]string // messages of the answer to a transfer
	serial  uint32
	asked   []string                    // types of questions
	answer  func(net.Conn, []byte) bool // in place of the usual answer; false: the usual one
}

// serve sets the zone.
func (p *primary) serve(serial uint32, records ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.serial = serial
	p.records = [][]string{append(append([]string{soa(serial)}, records...), soa(serial))}
}

func (p *primary) set(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

func (p *primary) questions() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.asked, " ")
}

// dial connects to the server over a pipe.
func (p *primary) dial() (net.Conn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down {
		return nil, errors.New("connection refused")
	}
	ours, theirs := net.Pipe()
	go p.handle(theirs)
	return ours, nil
}

func (p *primary) handle(conn net.Conn) {
	defer conn.Close()
	var head [2]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return
	}
	packet := make([]byte, binary.BigEndian.Uint16(head[:]))
	if _, err := io.ReadFull(conn, packet); err != nil {
		return
	}
	query := new(dns.Msg)
	if err := query.Unpack(packet); err != nil {
		p.t.Error(err)
		return
	}
	p.mu.Lock()
	p.asked = append(p.asked, dns.Type(query.Question[0].Qtype).String())
	messages, instead := p.records, p.answer
	if query.Question[0].Qtype == dns.TypeSOA {
		messages = [][]string{{soa(p.serial)}}
	}
	p.mu.Unlock()
	if instead != nil && instead(conn, packet) {
		return
	}
	for _, records := range messages {
		msg := new(dns.Msg).SetReply(query)
		msg.Extra, msg.Authoritative = nil, true
		for _, text := range records {
			msg.Answer = append(msg.Answer, rr(p.t, text))
		}
		packed, err := msg.Pack()
		if err != nil {
			p.t.Error(err)
			return
		}
		if send(conn, packed) != nil {
			return
		}
	}
}

func send(conn net.Conn, msg []byte) error {
	_, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(msg))), msg...))
	return err
}

// world is a keeper with primaries, each at the address 192.0.2.N.
type world struct {
	*Keeper
	t         testing.TB
	primaries []*primary
	state     string

	mu     sync.Mutex
	events []string
}

func newWorld(t *testing.T, n int) *world {
	w := &world{t: t, state: t.TempDir()}
	for range n {
		w.primaries = append(w.primaries, &primary{t: t})
	}
	w.start()
	return w
}

func (w *world) start() {
	w.Keeper = New(Options{
		Logger: slog.New(slog.DiscardHandler),
		Jitter: func() float64 { return 0 },
		Dial: func(_ context.Context, to netip.AddrPort) (net.Conn, error) {
			return w.primaries[to.Addr().As4()[3]-1].dial()
		},
		Report: func(e Event) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.events = append(w.events, string(e.Severity)+" "+e.Message)
		},
		Check: func(c *zones.Copy, _ bool) error {
			if slices.ContainsFunc(texts(c), func(s string) bool { return strings.HasPrefix(s, "invalid.") }) {
				return errors.New("an invalid zone")
			}
			return nil
		},
	})
}

// use has the keeper keep the zone of all primaries.
func (w *world) use(c *zones.Copy) { w.useFirst(len(w.primaries), c) }

// useFirst has the keeper keep the zone of the first n primaries.
func (w *world) useFirst(n int, c *zones.Copy) {
	z := Zone{Name: apex, MaxSize: 1 << 20, Copy: c}
	for i := range n {
		z.Primaries = append(z.Primaries, Primary{Address: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}), 53)})
	}
	w.Use([]Zone{z}, w.state)
}

func (w *world) now() Status { return w.Status(time.Now())[0] }

const nsRecord, aRecord = "example.com. 300 IN NS ns.example.net.", "a.example.com. 300 IN A 192.0.2.1"

// TestWaitingZonesAreReadWhileSettingsChange is for the race detector: a reload changes the settings of zones that readiness checks read.
func TestWaitingZonesAreReadWhileSettingsChange(t *testing.T) {
	z := &zone{settings: Zone{Name: apex}, wake: make(chan struct{}, 1)}
	k := &Keeper{zones: map[dnsname.Name]*zone{apex: z}}
	var changing sync.WaitGroup
	changing.Go(func() {
		for range 1000 {
			z.change(Zone{Name: apex}, 0)
		}
	})
	for range 1000 {
		if got := k.Waiting(); len(got) != 1 || got[0] != apex {
			t.Errorf("waiting: %q", got)
		}
	}
	changing.Wait()
}

func TestZoneIsRefreshedAndExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		defer w.Close()
		w.primaries[0].serve(1, nsRecord, aRecord)
		w.use(nil)
		if s := w.now(); s.State != Waiting || len(w.Waiting()) != 1 {
			t.Errorf("at first %+v", s)
		}
		time.Sleep(10 * time.Millisecond)
		<-w.Changes()
		if s := w.now(); s.State != Ready || s.Serial != 1 || s.Primary != "192.0.2.1:53" || len(w.Waiting()) != 0 {
			t.Errorf("after the first transfer %+v", s)
		}
		time.Sleep(time.Hour) // refresh
		w.primaries[0].serve(2, nsRecord)
		time.Sleep(time.Hour)
		if s := w.now(); s.Serial != 2 {
			t.Errorf("after the refresh time %+v", s)
		}
		if got, want := w.primaries[0].questions(), "AXFR SOA SOA IXFR"; got != want {
			t.Errorf("asked %s, want %s", got, want)
		}
		w.primaries[0].set(func() { w.primaries[0].down = true })
		time.Sleep(23 * time.Hour)
		if s := w.now(); s.State != Ready || !strings.Contains(s.Error, "192.0.2.1:53: cannot connect: connection refused") {
			t.Errorf("before the expire time %+v", s)
		}
		time.Sleep(2 * time.Hour)
		if s := w.now(); s.State != Expired {
			t.Errorf("after the expire time %+v", s)
		}
		w.primaries[0].set(func() { w.primaries[0].down = false })
		time.Sleep(time.Hour)
		if s := w.now(); s.State != Ready || s.Serial != 2 || s.Error != "" {
			t.Errorf("after the primary is back %+v", s)
		}
		want := []string{"info zone transferred", "info zone transferred", "warning zone not refreshed: no primary has it in a usable form", "error zone expired: it is answered SERVFAIL until a primary confirms or sends it", "info zone is served again: a primary has confirmed it"}
		if !slices.Equal(w.events, want) {
			t.Errorf("events %q", w.events)
		}
	})
}

func TestPrimariesAreTriedInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3)
		defer w.Close()
		w.primaries[0].down = true
		w.primaries[1].serve(1, nsRecord, "invalid.example.com. 300 IN A 192.0.2.1")
		w.primaries[2].serve(1, nsRecord)
		w.use(nil)
		time.Sleep(10 * time.Millisecond)
		if s := w.now(); s.Primary != "192.0.2.3:53" || s.Error != "" {
			t.Errorf("%+v, want a copy of the third", s)
		}
	})
}

func TestFirstTriesBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		defer w.Close()
		w.primaries[0].answer = func(net.Conn, []byte) bool { return true } // closes the connection
		w.use(nil)
		time.Sleep(10 * time.Minute)
		// at 0, 1, 3, 7, 15, 31 and 63 s, then once a minute
		if n := len(strings.Fields(w.primaries[0].questions())); n < 14 || n > 16 {
			t.Errorf("%d questions in ten minutes", n)
		}
		if s := w.now(); s.State != Waiting || !strings.Contains(s.Error, "closed") {
			t.Errorf("%+v", s)
		}
	})
}

func TestHostilePrimaryKeepsTheLastGoodZone(t *testing.T) {
	drip := func(conn net.Conn, packet []byte) bool { // a record every 29 s, for ever
		query := new(dns.Msg)
		if err := query.Unpack(packet); err != nil {
			return true
		}
		if query.Question[0].Qtype == dns.TypeSOA {
			return false
		}
		msg := new(dns.Msg).SetReply(query)
		for text := soa(2); ; text = aRecord {
			msg.Answer = []dns.RR{mustRR(text)}
			packed, _ := msg.Pack()
			if send(conn, packed) != nil {
				return true
			}
			time.Sleep(29 * time.Second)
		}
	}
	raw := func(reply func(msg *dns.Msg) []byte) func(net.Conn, []byte) bool {
		return func(conn net.Conn, packet []byte) bool {
			query := new(dns.Msg)
			if query.Unpack(packet) != nil || query.Question[0].Qtype == dns.TypeSOA {
				return false
			}
			_ = send(conn, reply(new(dns.Msg).SetReply(query)))
			return true
		}
	}
	packed := func(msg *dns.Msg) []byte { p, _ := msg.Pack(); return p }
	for name, c := range map[string]struct {
		answer  func(net.Conn, []byte) bool
		records []string
		want    string
	}{
		"silent":         {func(_ net.Conn, _ []byte) bool { time.Sleep(time.Hour); return true }, nil, "no message for 30s"},
		"slow":           {drip, nil, "it is too slow"},
		"refuses":        {raw(func(m *dns.Msg) []byte { m.Rcode = dns.RcodeRefused; return packed(m) }), nil, "it answers REFUSED"},
		"empty message":  {raw(packed), nil, "a message without a record"},
		"half a message": {raw(func(m *dns.Msg) []byte { m.Answer = []dns.RR{mustRR(soa(2))}; p := packed(m); return p[:len(p)-4] }), nil, "does not parse"},
		"no header":      {raw(func(*dns.Msg) []byte { return []byte{0} }), nil, "a message of 1 octets"},
		"another ID":     {raw(func(m *dns.Msg) []byte { m.Id++; return packed(m) }), nil, "no answer to the question"},
		"another question": {raw(func(m *dns.Msg) []byte {
			m.Question[0].Name = "example.net."
			m.Answer = []dns.RR{mustRR(soa(2))}
			return packed(m)
		}), nil, "answers another question"},
		"outside the zone":  {nil, []string{nsRecord, "www.example.net. 300 IN A 192.0.2.1"}, "outside the zone"},
		"an invalid zone":   {nil, []string{nsRecord, "invalid.example.com. 300 IN A 192.0.2.1"}, "serial 2 is refused: an invalid zone"},
		"larger than asked": {nil, []string{nsRecord, "big.example.com. 300 IN TXT " + strings.Repeat(`"`+strings.Repeat("x", 250)+`" `, 100)}, "larger than max_size"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 1)
				w.primaries[0].serve(1, nsRecord, aRecord)
				w.use(nil)
				time.Sleep(10 * time.Millisecond)
				z := w.find(apex)
				z.mu.Lock()
				z.settings.MaxSize = 8 << 10
				z.mu.Unlock()
				w.primaries[0].serve(2, c.records...)
				w.primaries[0].set(func() { w.primaries[0].answer = c.answer })
				time.Sleep(2 * time.Hour)
				s := w.now()
				if s.State != Ready || s.Serial != 1 || !strings.Contains(s.Error, c.want) || !strings.HasPrefix(s.Error, "192.0.2.1:53: ") {
					t.Errorf("%+v, want serial 1 and %q", s, c.want)
				}
				if got := w.Copies()[apex].Count(); got != 3 {
					t.Errorf("%d records", got)
				}
				w.Close()
				time.Sleep(2 * time.Hour) // the scripts end
			})
		})
	}
}

func mustRR(text string) dns.RR {
	r, err := dns.NewRR(text)
	if err != nil {
		panic(err)
	}
	return r
}

func TestNotificationsAreRateLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		defer w.Close()
		w.primaries[0].serve(1, nsRecord)
		w.use(nil)
		time.Sleep(10 * time.Second)
		for range 1000 {
			w.Notify(apex)
			w.Notify("example.net.") // not ours
			time.Sleep(10 * time.Millisecond)
		}
		if n := len(strings.Fields(w.primaries[0].questions())); n < 9 || n > 12 {
			t.Errorf("%d questions for notifications of ten seconds", n)
		}
		w.primaries[0].serve(2, nsRecord)
		w.Notify(apex)
		time.Sleep(2 * time.Second)
		if s := w.now(); s.Serial != 2 {
			t.Errorf("after a notification %+v", s)
		}
	})
}

// TestNotificationDuringACheckStartsAnother changes the zone after the primary has read its serial for a check, which takes long.
func TestNotificationDuringACheckStartsAnother(t *testing.T) {
	for name, fails := range map[string]bool{"succeeds": false, "fails": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 1)
				defer w.Close()
				p := w.primaries[0]
				p.serve(1, nsRecord)
				w.use(nil)
				time.Sleep(10 * time.Second)
				p.set(func() { p.answer = func(net.Conn, []byte) bool { time.Sleep(5 * time.Second); return fails } })
				w.Notify(apex)
				time.Sleep(2 * time.Second)
				p.serve(2, nsRecord)
				p.set(func() { p.answer = nil })
				w.Notify(apex)
				time.Sleep(10 * time.Second)
				if s := w.now(); s.Serial != 2 || s.Error != "" || time.Until(s.Next) < 30*time.Minute {
					t.Errorf("%+v, want serial 2", s)
				}
			})
		})
	}
}

// TestNewPrimariesDuringACheckAreAsked changes the configuration during a check that fails.
func TestNewPrimariesDuringACheckAreAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2)
		defer w.Close()
		w.primaries[0].serve(1, nsRecord)
		w.useFirst(1, nil)
		time.Sleep(10 * time.Second)
		w.primaries[0].set(func() {
			w.primaries[0].answer = func(net.Conn, []byte) bool { time.Sleep(5 * time.Second); return true }
		})
		w.Notify(apex)
		time.Sleep(2 * time.Second)
		w.primaries[1].serve(2, nsRecord)
		w.use(nil)
		time.Sleep(20 * time.Second)
		if s := w.now(); s.Serial != 2 || s.Primary != "192.0.2.2:53" {
			t.Errorf("%+v, want serial 2 of the second primary", s)
		}
	})
}

func TestRetransferTakesAnOlderSerial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		defer w.Close()
		w.primaries[0].serve(5, nsRecord)
		w.use(nil)
		time.Sleep(10 * time.Second)
		w.primaries[0].serve(3, nsRecord, aRecord)
		if err := w.Refresh(t.Context(), apex, How{}); err == nil || !strings.Contains(err.Error(), "its serial 3 is older than ours, 5") {
			t.Errorf("refresh: %v", err)
		}
		if err := w.Refresh(t.Context(), apex, How{Force: true}); err != nil {
			t.Error(err)
		}
		if s := w.now(); s.Serial != 3 {
			t.Errorf("%+v", s)
		}
		if err := w.Refresh(t.Context(), "example.net.", How{Force: true}); !errors.Is(err, ErrUnknown) {
			t.Errorf("another zone: %v", err)
		}
	})
}

func TestCopySurvivesARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.primaries[0].serve(1, nsRecord, aRecord)
		w.use(nil)
		time.Sleep(2 * time.Hour)
		confirmed := w.now().Confirmed
		w.Close()
		kept, err := zones.ReadCopy(w.state, apex)
		if err != nil || kept == nil || kept.SOA.Serial != 1 || kept.Count() != 3 || !kept.Confirmed.Equal(confirmed) {
			t.Fatalf("%+v %v, want serial 1, confirmed %s", kept, err, confirmed)
		}
		w.primaries[0].down = true
		w.start()
		w.use(kept)
		time.Sleep(time.Minute)
		if s := w.now(); s.State != Ready || s.Serial != 1 {
			t.Errorf("after a restart without a primary %+v", s)
		}
		time.Sleep(24 * time.Hour)
		if s := w.now(); s.State != Expired {
			t.Errorf("a day later %+v", s)
		}
		w.Close()
	})
}

func TestUnfinishedFilesAreRemoved(t *testing.T) {
	state := t.TempDir()
	folder := filepath.Join(state, zones.CopyFolder)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for name, at := range map[string]time.Time{"a.copy": now.Add(-24 * time.Hour), "a.copy.new-1": now.Add(-2 * time.Hour), "a.copy.new-2": now} {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	removeUnfinished(state, now)
	left, _ := filepath.Glob(folder + "/*")
	if len(left) != 2 || slices.Contains(left, filepath.Join(folder, "a.copy.new-1")) {
		t.Errorf("left %q", left)
	}
}

func TestZoneThatIsRemovedIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		defer w.Close()
		w.primaries[0].serve(1, nsRecord)
		w.use(nil)
		time.Sleep(time.Second)
		w.Use(nil, w.state)
		time.Sleep(24 * time.Hour)
		if got := w.primaries[0].questions(); got != "AXFR" || len(w.Copies()) != 0 {
			t.Errorf("asked %s, %d copies", got, len(w.Copies()))
		}
	})
}

// TestLeavingZoneDoesNotFail has a primary that does not answer any more for a zone that has left its catalog, and then is back in it.
func TestLeavingZoneDoesNotFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		defer w.Close()
		w.primaries[0].serve(1, nsRecord)
		w.use(nil)
		time.Sleep(time.Second)
		settings := w.find("example.com.").settingsNow()
		settings.Leaving = true
		w.Use([]Zone{settings}, w.state)
		w.primaries[0].set(func() { w.primaries[0].down = true })
		time.Sleep(10 * time.Hour)
		if s := w.now(); s.State != Ready || s.Failures != 0 || s.Error == "" || len(w.events) != 1 {
			t.Errorf("while it leaves: %+v, events %q", s, w.events)
		}
		settings.Leaving = false
		w.Use([]Zone{settings}, w.state)
		time.Sleep(time.Second)
		if s := w.now(); s.Failures != 1 || len(w.events) != 2 || !strings.HasPrefix(w.events[1], "warning zone not refreshed") {
			t.Errorf("when it is back: %+v, events %q", s, w.events)
		}
	})
}

// TestForgottenCopyIsNotUsedAgain has a reload that began before the copy was forgotten, and one that began later.
func TestForgottenCopyIsNotUsedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		defer w.Close()
		w.primaries[0].serve(1, nsRecord)
		w.use(nil)
		time.Sleep(time.Minute)
		first := w.Copies()[apex]
		w.primaries[0].serve(2, nsRecord)
		time.Sleep(2 * time.Hour)
		second := w.Copies()[apex]
		if first == nil || second == nil || first == second {
			t.Fatal("there are no two copies")
		}
		w.primaries[0].down = true
		w.Forget(apex)
		for _, old := range []*zones.Copy{first, second} {
			w.use(old)
			if n := len(w.Copies()); n > 0 {
				t.Errorf("the copy of serial %d is used again", old.SOA.Serial)
			}
		}
		w.Forget(apex)
		w.primaries[0].down = false
		w.use(second)
		time.Sleep(time.Minute)
		third := w.Copies()[apex]
		if third == nil {
			t.Fatal("the zone was not transferred again")
		}
		w.Use(nil, w.state)
		w.use(third)
		if w.Copies()[apex] != third {
			t.Error("a copy that is newer than the end of the last one is not used")
		}
		w.Forget("other.example.")
		time.Sleep(2 * rememberForgotten)
		w.Forget("another.example.")
		if n := len(w.forgotten); n != 1 {
			t.Errorf("%d forgotten zones are remembered", n)
		}
	})
}

// TestStatusDuringACheck has a primary that does not answer yet: the time of the next check is not known.
func TestStatusDuringACheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		defer w.Close()
		release := make(chan struct{})
		w.primaries[0].serve(1, nsRecord, aRecord)
		w.primaries[0].set(func() {
			w.primaries[0].answer = func(net.Conn, []byte) bool { <-release; return false }
		})
		w.use(nil)
		time.Sleep(10 * time.Millisecond)
		if s := w.now(); !s.Checking || !s.Next.IsZero() {
			t.Errorf("during the check %+v", s)
		}
		close(release)
		time.Sleep(10 * time.Millisecond)
		if s := w.now(); s.Checking || s.State != Ready || time.Until(s.Next) <= 0 || time.Until(s.Next) > time.Hour {
			t.Errorf("after the check %+v", s)
		}
	})
}

// useMany has the keeper keep n zones, each of the primaries with these numbers.
func (w *world) useMany(n int, primaries ...int) {
	var all []Zone
	for i := range n {
		z := Zone{Name: dnsname.Name(fmt.Sprintf("z%d.example.", i)), MaxSize: 1 << 20}
		for _, of := range primaries {
			z.Primaries = append(z.Primaries, Primary{Address: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(of)}), 53)})
		}
		all = append(all, z)
	}
	w.Use(all, w.state)
}

// TestPrimaryIsAskedForFewZonesAtOnce has many zones of one primary: it has few connections at a time.
func TestPrimaryIsAskedForFewZonesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		defer time.Sleep(2 * time.Second) // the answers that it waits for
		defer w.Close()
		now, most, total := 0, 0, 0
		w.primaries[0].answer = func(net.Conn, []byte) bool {
			w.primaries[0].set(func() { now++; total++; most = max(most, now) })
			time.Sleep(time.Second)
			w.primaries[0].set(func() { now-- })
			return true
		}
		w.useMany(100, 1)
		time.Sleep(10 * time.Second)
		w.primaries[0].set(func() {
			if most > 10 || total < 50 { // named refuses more than 10
				t.Errorf("%d questions, %d at once", total, most)
			}
		})
	})
}

// TestSilentPrimaryDelaysOnlyItsZones has many zones with a first primary that accepts questions and never answers.
func TestSilentPrimaryDelaysOnlyItsZones(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2)
		defer w.Close()
		silence := make(chan struct{})
		defer close(silence)
		for i, p := range w.primaries {
			p.answer = func(conn net.Conn, packet []byte) bool {
				if i == 0 {
					<-silence
					return true
				}
				query := new(dns.Msg)
				if err := query.Unpack(packet); err != nil {
					t.Error(err)
				}
				answer := new(dns.Msg).SetReply(query)
				for _, text := range []string{soa(1), nsRecord, soa(1)} {
					answer.Answer = append(answer.Answer, rr(t, strings.ReplaceAll(text, apex+" ", query.Question[0].Name+" ")))
				}
				packed, err := answer.Pack()
				return err != nil || send(conn, packed) != nil || true
			}
		}
		w.useMany(1000, 1, 2)
		time.Sleep(2 * idleTimeout)
		if waiting := len(w.Waiting()); waiting != 0 {
			t.Errorf("%d of 1000 zones have no copy after %s", waiting, 2*idleTimeout)
		}
	})
}

// TestFailingZonesAreCheckedApart has many zones that fail when a catalog changes: a primary is not asked for all of them at once.
func TestFailingZonesAreCheckedApart(t *testing.T) {
	k := &Keeper{Options: Options{Jitter: func() float64 { return 0.5 }}}
	for n, want := range map[int]time.Duration{1: 0, failingAtOnce: 0, 100: 5 * time.Second, 100_000: 30 * time.Second} {
		if got := k.spread(n); got != want {
			t.Errorf("one of %d zones is checked after %s, want %s", n, got, want)
		}
	}
	now := time.Now()
	z := &zone{err: "refused", wake: make(chan struct{}, 1), due: now.Add(time.Hour)}
	k.zones = map[dnsname.Name]*zone{"a.example.": z, "b.example.": {}}
	if n := k.failingLocked(); n != 1 {
		t.Errorf("%d zones fail", n)
	}
	if z.change(Zone{}, time.Minute); z.due.Before(now.Add(time.Minute)) || z.due.After(time.Now().Add(time.Minute)) {
		t.Errorf("due at %s", z.due)
	}
	if z.change(Zone{MaxSize: 5}, time.Minute); z.due.After(time.Now()) {
		t.Errorf("with other settings due at %s", z.due)
	}
}
