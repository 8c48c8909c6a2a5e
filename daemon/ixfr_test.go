package daemon

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/counterpart"
	"meridian/snapshot"
)

const ixfrSecret = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0IQ=="

// primary is a server that reloads a zone.
type primary struct {
	*runningDaemon
	dir  string
	text string
}

// startPrimary serves example.com from a file, with more keys of the zone.
func startPrimary(t testing.TB, more, zone string) *primary {
	t.Helper()
	return startPrimaryWith(t, more, zone, func(*Daemon) {})
}

// startPrimaryWith is startPrimary with other settings of the daemon.
func startPrimaryWith(t testing.TB, more, zone string, set func(*Daemon)) *primary {
	t.Helper()
	p := &primary{dir: t.TempDir()}
	p.write(t, "key", ixfrSecret)
	p.write(t, "zone", zone)
	p.text = fmt.Sprintf(`
server: {listen: ["127.0.0.1:0"], workers: 1}
admin: {listen: "127.0.0.1:0"}
state: %[1]s/state
tsig: {xfr: {secret_file: %[1]s/key}}
pools: {web: {policy: weighted, members: [{name: a, addresses: [192.0.2.1]}]}}
zones: {example.com: {file: %[1]s/zone, transfer: {out: [{addresses: [127.0.0.0/8], key: xfr}]%[2]s}}
`, p.dir, more)
	p.write(t, configFile, p.text)
	p.runningDaemon = startWith(t, p.text, func(l *Daemon) { p.loadFile(l); set(l) })
	return p
}

// configFile is the name of a primary's configuration.
const configFile = "meridian.yaml"

// loadFile makes a daemon load the file of the configuration: serials may follow the time of its last change, which would be
// that of each load without a file.
func (p *primary) loadFile(l *Daemon) {
	l.Load = func(b snapshot.Builder) (*snapshot.Snapshot, error) {
		cfg, _, err := config.Load(filepath.Join(p.dir, configFile))
		if err != nil {
			return nil, err
		}
		loaded, _, err := b(cfg)
		return loaded, err
	}
}

// startAgain starts another server with the files of p, which has stopped.
func (p *primary) startAgain(t *testing.T) *runningDaemon {
	t.Helper()
	return startWith(t, p.text, p.loadFile)
}

func (p *primary) write(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// reload loads another configuration, and returns when both reloads of it have ended: the second one reads the files again.
func (p *primary) reload(t *testing.T, text string) {
	t.Helper()
	ended := func() int {
		return strings.Count(p.log.all(), "msg=reloaded ") + strings.Count(p.log.all(), `msg="reload refused`)
	}
	before := ended()
	if file, err := os.ReadFile(filepath.Join(p.dir, configFile)); err != nil || string(file) != text {
		p.write(t, configFile, text)
	}
	p.runningDaemon.reload(text)
	counterpart.Await(t, func() error {
		if n := ended() - before; n < 2 {
			return fmt.Errorf("%d reloads have ended", n)
		}
		return nil
	})
}

// listens returns the address of a server's sockets, from its log, which has it soon after the server answers.
func (r *runningDaemon) listens(t testing.TB) (address string) {
	t.Helper()
	counterpart.Await(t, func() error {
		found := regexp.MustCompile(`msg=serving listen=(\S+)`).FindStringSubmatch(r.log.all())
		if found == nil {
			return errors.New("the log has no address")
		}
		address = found[1]
		return nil
	})
	return address
}

// ixfr asks for a difference by TCP, or by UDP, and returns all records in their order.
func ixfr(t testing.TB, server, network string, serial uint32) (all []string) {
	t.Helper()
	msg := new(dns.Msg).SetIxfr("example.com.", serial, "ns.", "h.")
	if network == "udp" {
		msg.SetEdns0(1232, false)
	}
	msg.SetTsig("xfr.", dns.HmacSHA256, 300, time.Now().Unix())
	if network == "udp" {
		answer, _, err := patient().Exchange(msg, server)
		if err != nil {
			t.Fatal(err)
		}
		for _, rr := range answer.Answer {
			all = append(all, rr.String())
		}
		return all
	}
	envelopes, err := (&dns.Transfer{TsigSecret: map[string]string{"xfr.": ixfrSecret}, DialTimeout: time.Minute, ReadTimeout: time.Minute, WriteTimeout: time.Minute}).In(msg, server)
	if err != nil {
		t.Fatal(err)
	}
	for e := range envelopes {
		if e.Error != nil {
			t.Fatal(e.Error)
		}
		for _, rr := range e.RR {
			all = append(all, rr.String())
		}
	}
	return all
}

// short returns the records with one space between fields, and of SOA records only the serial.
func short(records []string) string {
	var b strings.Builder
	for _, r := range records {
		f := strings.Fields(r)
		if f[3] == "SOA" {
			fmt.Fprintf(&b, "SOA %s\n", f[6])
			continue
		}
		fmt.Fprintln(&b, strings.Join(slices.Delete(f, 2, 3), " "))
	}
	return b.String()
}

const ixfrZone = `$TTL 300
@ SOA ns.example.net. h 7 2 3 4 5
@ NS ns.example.net.
a A 192.0.2.1
b TXT "b"
`

// TestReloadsAreDifferences reloads a zone three times, restarts the server, and asks for differences from each serial.
func TestReloadsAreDifferences(t *testing.T) {
	p := startPrimary(t, "}", ixfrZone)
	second := strings.Replace(ixfrZone, " 7 ", " 8 ", 1) + "c 60 A 192.0.2.3\n"
	p.write(t, "zone", second)
	p.reload(t, p.text)
	third := strings.NewReplacer(" 8 ", " 9 ", `"b"`, `"bb"`).Replace(second)
	p.write(t, "zone", third)
	p.reload(t, p.text)
	p.reload(t, p.text) // changes nothing
	pooled := strings.Replace(p.text, "example.com: {", "example.com: {names: {www: {pool: web}}, ", 1)
	p.write(t, "zone", strings.NewReplacer(" 9 ", " 10 ", "a A 192.0.2.1\n", "").Replace(third))
	p.reload(t, pooled)
	check := func(server string) {
		t.Helper()
		for serial, want := range map[uint32]string{
			7:  "SOA 10\nSOA 7\nb.example.com. 300 TXT \"b\"\na.example.com. 300 A 192.0.2.1\nSOA 10\nc.example.com. 60 A 192.0.2.3\nb.example.com. 300 TXT \"bb\"\nwww.example.com. 30 A 192.0.2.1\nSOA 10\n",
			9:  "SOA 10\nSOA 9\na.example.com. 300 A 192.0.2.1\nSOA 10\nwww.example.com. 30 A 192.0.2.1\nSOA 10\n",
			10: "SOA 10\n",
			11: "SOA 10\n",
		} {
			for _, network := range []string{"tcp", "udp"} {
				if got := short(ixfr(t, server, network, serial)); got != want {
					t.Errorf("by %s, from serial %d:\n%swant\n%s", network, serial, got, want)
				}
			}
		}
		if got := ixfr(t, server, "tcp", 6); len(got) != 6 || strings.Count(short(got), "SOA") != 2 {
			t.Errorf("from an unknown serial, which is the whole zone: %s", short(got))
		}
		if got := ixfr(t, server, "udp", 6); len(got) != 1 {
			t.Errorf("from an unknown serial by UDP: %s", short(got))
		}
	}
	check(p.listens(t))
	if err := p.stop(); err != nil {
		t.Fatal(err)
	}
	again := start(t, pooled)
	check(again.listens(t))
	if err := again.stop(); err != nil {
		t.Fatal(err)
	}
	p.write(t, "zone", strings.Replace(third, " 9 ", " 11 ", 1)) // while no server runs
	changed := start(t, pooled)
	if got := ixfr(t, changed.listens(t), "tcp", 10); len(got) != 7 {
		t.Errorf("from a serial whose difference is not known: %s", short(got))
	}
}

// TestLargeDifferenceIsNotSentByUDP has one that fits in no UDP message.
func TestLargeDifferenceIsNotSentByUDP(t *testing.T) {
	p := startPrimary(t, "}", ixfrZone)
	var text strings.Builder
	text.WriteString(strings.Replace(ixfrZone, " 7 ", " 8 ", 1))
	for i := range 100 {
		fmt.Fprintf(&text, "n%d A 192.0.2.1\n", i)
	}
	p.write(t, "zone", text.String())
	p.reload(t, p.text)
	server := p.listens(t)
	if got := ixfr(t, server, "udp", 7); len(got) != 1 {
		t.Errorf("by UDP: %d records", len(got))
	}
	if got := ixfr(t, server, "tcp", 7); len(got) != 104 {
		t.Errorf("by TCP: %d records", len(got))
	}
}

// TestCorruptJournalIsSetAside starts with a journal that has another content.
func TestCorruptJournalIsSetAside(t *testing.T) {
	p := startPrimary(t, "}", ixfrZone)
	p.write(t, "zone", strings.Replace(ixfrZone, " 7 ", " 8 ", 1)+"c A 192.0.2.3\n")
	p.reload(t, p.text)
	if err := p.stop(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(p.dir, "state", "journals", "example.com.journal")
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	content[30] ^= 1
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	again := p.startAgain(t)
	if got := ixfr(t, again.listens(t), "tcp", 7); len(got) != 6 {
		t.Errorf("the transfer: %s", short(got))
	}
	if aside, _ := filepath.Glob(file + ".corrupt-*"); len(aside) != 1 || !strings.Contains(again.log.all(), "journal corrupt, quarantined") {
		t.Errorf("%q\n%s", aside, again.log.all())
	}
}

// TestSerialPolicyOfReloads changes and reloads a zone with each policy. A reload that changes nothing raises no serial, except
// that unixtime follows the time of the files.
func TestSerialPolicyOfReloads(t *testing.T) {
	today := func() uint32 {
		var day uint32
		_, _ = fmt.Sscan(time.Now().UTC().Format("20060102")+"00", &day)
		return day
	}
	begun := today()
	for policy, want := range map[string]func(first, second, third uint32) error{
		"increment": func(first, second, third uint32) error {
			return wants([]uint32{first, second, third}, []uint32{7, 8, 20})
		},
		"date": func(first, second, third uint32) error {
			nextDay := third == today() && second/100 < third/100 // midnight came between two reloads
			if first != 7 || second < begun || second > today()+1 || third != second+1 && !nextDay {
				return errors.New("not the date")
			}
			return nil
		},
		"keep": func(first, second, third uint32) error {
			return wants([]uint32{first, second, third}, []uint32{7, 7, 20})
		},
		"unixtime": func(first, second, third uint32) error {
			if first < 1_700_000_000 || second <= first || third <= second {
				return errors.New("not higher")
			}
			return nil
		},
	} {
		t.Run(policy, func(t *testing.T) {
			p := startPrimary(t, "}, serial: "+policy, ixfrZone)
			server := p.listens(t)
			first := p.serial(t, server)
			p.write(t, "zone", ixfrZone+"c A 192.0.2.3\n")
			p.reload(t, p.text)
			second := p.serial(t, server)
			p.write(t, "zone", strings.Replace(ixfrZone, " 7 ", " 20 ", 1))
			p.reload(t, p.text)
			third := p.serial(t, server)
			if err := want(first, second, third); err != nil {
				t.Errorf("serials %d, %d, %d: %v", first, second, third, err)
			}
			if warned := strings.Contains(p.log.all(), "its serial is not higher"); warned != (policy == "keep") {
				t.Errorf("warned: %v\n%s", warned, p.log.all())
			}
			if err := p.stop(); err != nil {
				t.Fatal(err)
			}
			again := p.startAgain(t)
			if got := p.serial(t, again.listens(t)); got != third {
				t.Errorf("serial %d after a restart, was %d", got, third)
			}
		})
	}
}

func wants(got, want []uint32) error {
	if !slices.Equal(got, want) {
		return fmt.Errorf("want %d", want)
	}
	return nil
}

// serial asks for the serial of example.com.
func (p *primary) serial(t testing.TB, server string) uint32 {
	t.Helper()
	answer, _, err := patient().Exchange(new(dns.Msg).SetQuestion("example.com.", dns.TypeSOA), server)
	if err != nil || len(answer.Answer) != 1 {
		t.Fatal(err, answer)
	}
	return answer.Answer[0].(*dns.SOA).Serial
}

// incremental are programs that take example.com from a primary at port %[1]d, also by differences, and serve it at port %[2]d. In
// %[3]s they may keep files. Each asks for the serial every second, and logs a difference by the words of its last field.
var incremental = map[string]struct {
	conf string
	args []string
}{
	"named": {`options { directory "%[3]s"; pid-file none; listen-on port %[2]d { 127.0.0.1; }; listen-on-v6 { none; }; recursion no; dnssec-validation no; empty-zones-enable no; min-refresh-time 1; max-refresh-time 1; min-retry-time 1; max-retry-time 1; };
controls { };
key xfr { algorithm hmac-sha256; secret "` + ixfrSecret + `"; };
zone example.com { type secondary; file "copy"; masterfile-format text; primaries { 127.0.0.1 port %[1]d key xfr; }; };
`, []string{"-g", "-c"}},
	"nsd": {`server:
  ip-address: 127.0.0.1@%[2]d
  pidfile: ""
  username: ""
  chroot: ""
  zonesdir: "%[3]s"
  xfrdfile: "%[3]s/xfrd"
  zonelistfile: "%[3]s/zones"
  xfrdir: "%[3]s"
  database: ""
  xfrd-reload-timeout: 0
remote-control:
  control-enable: no
key:
  name: xfr
  algorithm: hmac-sha256
  secret: "` + ixfrSecret + `"
zone:
  name: example.com
  zonefile: copy
  request-xfr: 127.0.0.1@%[1]d xfr
  min-refresh-time: 1
  max-refresh-time: 1
  max-retry-time: 1
`, []string{"-d", "-c"}},
	"knotd": {`server:
    listen: 127.0.0.1@%[2]d
    rundir: "%[3]s"
database:
    storage: "%[3]s"
key:
  - id: xfr
    algorithm: hmac-sha256
    secret: ` + ixfrSecret + `
remote:
  - id: primary
    address: 127.0.0.1@%[1]d
    key: xfr
zone:
  - domain: example.com
    storage: "%[3]s"
    master: primary
    refresh-min-interval: 2
    refresh-max-interval: 2
    retry-min-interval: 1
    retry-max-interval: 2
`, []string{"-c"}},
}

// TestSecondariesTakeDifferences has the name servers of other projects take a zone, and then what a reload changes in it.
func TestSecondariesTakeDifferences(t *testing.T) {
	for program, of := range incremental {
		t.Run(program, func(t *testing.T) {
			t.Parallel()
			counterpart.Find(t, program)
			p := startPrimary(t, "}", ixfrZone)
			port := counterpart.FreePorts(t, 1)[0]
			server := p.listens(t)
			counterpart.StartWith(t, program, fmt.Sprintf(of.conf, portOf(server), port, t.TempDir()), of.args...)
			secondary := fmt.Sprintf("127.0.0.1:%d", port)
			counterpart.Await(t, func() error { return hasText(secondary, "b.example.com.", "b") })
			p.write(t, "zone", strings.NewReplacer(" 7 ", " 8 ", `"b"`, `"bb"`).Replace(ixfrZone))
			p.reload(t, p.text)
			counterpart.Await(t, func() error { return hasText(secondary, "b.example.com.", "bb") })
			counterpart.Await(t, func() error { // the secondary answers before the log has the line
				if !strings.Contains(p.log.all(), "type=ixfr serial=8") {
					return fmt.Errorf("no difference was sent by TCP:\n%s", p.log.all())
				}
				return nil
			})
		})
	}
}

func portOf(address string) int {
	_, port, _ := strings.Cut(address, ":")
	n := 0
	_, _ = fmt.Sscan(port, &n)
	return n
}

// hasText reports whether a server answers a name with a TXT record.
func hasText(server, name, text string) error {
	answer, err := dns.Exchange(new(dns.Msg).SetQuestion(name, dns.TypeTXT), server)
	switch {
	case err != nil:
		return err
	case len(answer.Answer) != 1:
		return fmt.Errorf("%s: %v", dns.RcodeToString[answer.Rcode], answer.Answer)
	case answer.Answer[0].(*dns.TXT).Txt[0] != text:
		return fmt.Errorf("it has %v", answer.Answer[0])
	}
	return nil
}

// all returns the whole log.
func (l *lines) all() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
