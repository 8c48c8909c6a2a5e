package daemon

import (
	"fmt"
	"net/netip"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/control/event"
	"meridian/counterpart"
	"meridian/dnsname"
	"meridian/transfer/journal"
)

const updateRules = `}, names: {www: {pool: web}}, update: [{key: xfr, names: ["_acme-challenge", "_acme-challenge.*", a, b, "d.*", www], types: [TXT, A, CNAME]}]`

// nsupdate runs commands of nsupdate against a server, and returns what it prints if it fails.
func nsupdate(t *testing.T, server, key string, commands ...string) string {
	t.Helper()
	host, port, _ := strings.Cut(server, ":")
	script := fmt.Sprintf("server %s %s\nzone example.com\n%s\nsend\n", host, port, strings.Join(commands, "\n"))
	run := exec.Command(counterpart.Find(t, "nsupdate"), "-t", "60", "-y", "hmac-sha256:"+key+":"+ixfrSecret)
	run.Stdin = strings.NewReader(script)
	out, err := run.CombinedOutput()
	if err == nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// patient returns a client that waits longer than a loaded machine needs.
func patient() *dns.Client {
	return &dns.Client{Timeout: time.Minute, TsigSecret: map[string]string{"xfr.": ixfrSecret}}
}

// texts asks for TXT records and returns them in their order.
func texts(t *testing.T, server, name string) string {
	t.Helper()
	answer, _, err := patient().Exchange(new(dns.Msg).SetQuestion(name, dns.TypeTXT), server)
	if err != nil {
		t.Fatal(err)
	}
	out := dns.RcodeToString[answer.Rcode]
	for _, rr := range answer.Answer {
		if txt, ok := rr.(*dns.TXT); ok {
			out += " " + strings.Join(txt.Txt, "")
		}
	}
	return out
}

// TestNsupdateChangesAZone adds and deletes records with nsupdate, restarts the server with another file, and asks for what
// changed.
func TestNsupdateChangesAZone(t *testing.T) {
	p := startPrimary(t, updateRules, ixfrZone)
	server := p.listens(t)
	first := p.serial(t, server)
	for _, c := range []struct {
		what, key string
		commands  []string
		want      string // of the failure
		name      string
		texts     string
	}{
		{"two values, as ACME clients add them", "xfr", []string{"add _acme-challenge.x.example.com 60 TXT one", "add _acme-challenge.x.example.com 60 TXT two"}, "", "_acme-challenge.x", "NOERROR one two"},
		{"one of them is deleted", "xfr", []string{"delete _acme-challenge.x.example.com TXT one"}, "", "_acme-challenge.x", "NOERROR two"},
		{"the last one is deleted: neither the name nor the one above it exists", "xfr", []string{"delete _acme-challenge.x.example.com TXT two"}, "", "x", "NXDOMAIN"},
		{"a record of the file is deleted", "xfr", []string{"delete b.example.com TXT"}, "", "b", "NXDOMAIN"},
		{"a prerequisite is not met", "xfr", []string{"prereq yxdomain b.example.com", "add a.example.com 60 TXT no"}, "NXDOMAIN", "a", "NOERROR"},
		{"a prerequisite is met", "xfr", []string{"prereq yxrrset a.example.com A 192.0.2.1", "add a.example.com 60 TXT yes"}, "", "a", "NOERROR yes"},
		{"a name without a rule", "xfr", []string{"add _acme-challenge.y.example.com 60 TXT no", "add c.example.com 60 TXT no"}, "REFUSED", "_acme-challenge.y", "NXDOMAIN"},
		{"a type without a rule", "xfr", []string{"add a.example.com 60 AAAA ::1"}, "REFUSED", "a", "NOERROR yes"},
		{"a balanced name", "xfr", []string{"add www.example.com 60 TXT no"}, "REFUSED", "www", "NOERROR"},
		{"an unknown key", "other", []string{"add a.example.com 60 TXT no"}, "BADKEY", "a", "NOERROR yes"},
		{"a name of another zone", "xfr", []string{"add a.example.org 60 TXT no"}, "NOTZONE", "a", "NOERROR yes"},
		{"a CNAME beside records is ignored", "xfr", []string{"add a.example.com 60 CNAME b.example.com."}, "", "a", "NOERROR yes"},
		{"a wildcard", "xfr", []string{"add *.w.d.example.com 60 TXT no"}, "REFUSED", "y.w.d", "NXDOMAIN"},
		{"below a name", "xfr", []string{"add d.e.f.example.com 60 TXT deep"}, "", "d.e.f", "NOERROR deep"},
	} {
		if got := nsupdate(t, server, c.key, c.commands...); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
		if got := texts(t, server, c.name+".example.com."); got != c.texts {
			t.Errorf("%s: %s has %q, want %q", c.what, c.name, got, c.texts)
		}
	}
	last := p.serial(t, server)
	const changes = "b.example.com. 300 TXT \"b\"\n"
	added := []string{`a.example.com. 60 TXT "yes"`, `d.e.f.example.com. 60 TXT "deep"`}
	check := func(server string) {
		t.Helper()
		got := short(ixfr(t, server, "tcp", first))
		if !strings.HasPrefix(got, fmt.Sprintf("SOA %d\nSOA %d\n", last, first)) || !strings.Contains(got, changes) || !strings.Contains(got, added[0]) || !strings.Contains(got, added[1]) || strings.Contains(got, "acme") {
			t.Errorf("what changed:\n%s", got)
		}
	}
	check(server)
	p.reload(t, p.text)
	check(server)
	if err := p.stop(); err != nil {
		t.Fatal(err)
	}
	again := p.startAgain(t)
	check(again.listens(t))
	if err := again.stop(); err != nil {
		t.Fatal(err)
	}
	p.write(t, "zone", ixfrZone+"c 60 TXT c\n") // it still has b
	changed := p.startAgain(t)
	server = changed.listens(t)
	for name, want := range map[string]string{"a": "NOERROR yes", "b": "NXDOMAIN", "c": "NOERROR c", "d.e.f": "NOERROR deep"} {
		if got := texts(t, server, name+".example.com."); got != want {
			t.Errorf("after a restart with another file: %s has %q, want %q", name, got, want)
		}
	}
	if got := p.serial(t, server); int32(got-last) <= 0 {
		t.Errorf("serial %d, was %d", got, last)
	}
	if files, _ := filepath.Glob(filepath.Join(p.dir, "state", "journals", "*")); len(files) != 1 {
		t.Errorf("files %q", files)
	}
}

// TestUpdatesByTCPAndUDPAreSigned makes updates with miekg/dns, which verifies the answers.
func TestUpdatesByTCPAndUDPAreSigned(t *testing.T) {
	p := startPrimary(t, updateRules, ixfrZone)
	server := p.listens(t)
	for i, network := range []string{"udp", "tcp"} {
		msg := new(dns.Msg).SetUpdate("example.com.")
		rr, _ := dns.NewRR(fmt.Sprintf("_acme-challenge.example.com. 60 IN TXT %d", i))
		msg.Insert([]dns.RR{rr})
		msg.SetTsig("xfr.", dns.HmacSHA256, 300, time.Now().Unix())
		client := &dns.Client{Net: network, TsigSecret: map[string]string{"xfr.": ixfrSecret}, Timeout: time.Minute}
		answer, _, err := client.Exchange(msg, server)
		if err != nil || answer.Rcode != dns.RcodeSuccess || answer.IsTsig() == nil || answer.Opcode != dns.OpcodeUpdate {
			t.Fatalf("%s: %v, %v", network, err, answer)
		}
		unsigned := new(dns.Msg).SetUpdate("example.com.")
		unsigned.Insert([]dns.RR{rr})
		answer, _, err = (&dns.Client{Net: network, Timeout: time.Minute}).Exchange(unsigned, server)
		if err != nil || answer.Rcode != dns.RcodeRefused {
			t.Errorf("%s, not signed: %v, %v", network, err, answer)
		}
	}
	if got := texts(t, server, "_acme-challenge.example.com."); got != "NOERROR 0 1" {
		t.Errorf("the name has %q", got)
	}
}

// TestUpdateByAKeyWithoutARuleIsLogged sends an update with a known key that no rule of the zone has, over UDP and TCP, and
// one without a signature, which is not logged.
func TestUpdateByAKeyWithoutARuleIsLogged(t *testing.T) {
	p := startPrimary(t, "}, names: {www: {pool: web}}", ixfrZone)
	p.reload(t, strings.Replace(p.text, "zones: {", "zones: {other.example: {nameservers: {ns.example.net: []}, contact: a@example.net, update: [{key: xfr, names: ['*']}]}, ", 1))
	server := p.listens(t)
	for _, network := range []string{"udp", "tcp"} {
		for _, signed := range []bool{true, false} {
			msg := new(dns.Msg).SetUpdate("example.com.")
			rr, _ := dns.NewRR("a.example.com. 60 IN TXT no")
			msg.Insert([]dns.RR{rr})
			if signed {
				msg.SetTsig("xfr.", dns.HmacSHA256, 300, time.Now().Unix())
			}
			client := patient()
			client.Net = network
			if answer, _, err := client.Exchange(msg, server); err != nil || answer.Rcode != dns.RcodeRefused {
				t.Errorf("%s, signed=%t: %v, %v", network, signed, err, answer)
			}
		}
	}
	const want = `msg="update refused" zone=example.com. key=xfr. client=127.0.0.1 rcode=REFUSED reason="the key has no rule in update of the zone"`
	if got := strings.Count(p.log.all(), want); got != 2 {
		t.Errorf("%d lines of the log, want 2:\n%s", got, p.log.all())
	}
	if got := strings.Count(p.log.all(), `msg="update refused"`); got != 2 {
		t.Errorf("%d refused updates in the log, want 2: unsigned ones are only counted", got)
	}
}

// TestUpdatesOfASecondAreOneEvent makes many updates at once, which are few events with all of their records.
func TestUpdatesOfASecondAreOneEvent(t *testing.T) {
	var e updateEvents
	change := func(from uint32, name string) *journal.Change {
		owner := dnsname.Name(name + ".example.com.").Wire()
		soa := journal.NewRecord(dnsname.Name("example.com.").Wire(), dns.TypeSOA, 60, make([]byte, 22))
		return &journal.Change{OldSOA: soa.WithSerial(from), NewSOA: soa.WithSerial(from + 1), Added: []journal.Record{journal.NewRecord(owner, dns.TypeA, 60, []byte{192, 0, 2, 1})}}
	}
	client := netip.MustParseAddr("192.0.2.9")
	for i := range uint32(500) {
		e.add("example.com.", "xfr.", client, change(i, "a"))
	}
	e.add("example.com.", "other.", client, change(500, "b"))
	for i := range 20 {
		e.add(dnsname.Name(fmt.Sprintf("%d.example.", i)), "xfr.", client, change(1, "c"))
	}
	taken := e.take(false)
	if len(taken) != maxUpdateEvents {
		t.Fatalf("%d events, want %d", len(taken), maxUpdateEvents)
	}
	first := *taken[0]
	if first.Updates != 500 || first.Added != 500 || first.Deleted != 0 || first.From != 0 || first.To != 500 || len(first.Records) != maxUpdateRecords || first.Records[0] != "+a.example.com A" || len(first.Clients) != 1 {
		t.Errorf("the first event: %+v", first)
	}
	if n := len(e.take(true)); n != 22-maxUpdateEvents || len(e.take(true)) != 0 {
		t.Errorf("%d more events, want %d", n, 22-maxUpdateEvents)
	}
}

// TestUpdateIsAnEvent makes an update, and waits for its event.
func TestUpdateIsAnEvent(t *testing.T) {
	p := startPrimary(t, updateRules, ixfrZone)
	server := p.listens(t)
	msg := new(dns.Msg).SetUpdate("example.com.")
	rr, _ := dns.NewRR("a.example.com. 60 IN TXT yes")
	msg.Insert([]dns.RR{rr})
	msg.SetTsig("xfr.", dns.HmacSHA256, 300, time.Now().Unix())
	if answer, _, err := patient().Exchange(msg, server); err != nil || answer.Rcode != dns.RcodeSuccess {
		t.Fatal(err, answer)
	}
	const want = `map[added:1 client:127.0.0.1 deleted:0 from:X key:xfr records:+a.example.com TXT serial:X updates:1]`
	serials := regexp.MustCompile(`(from|serial):\d+`)
	counterpart.Await(t, func() error {
		for _, e := range p.Events().Save() {
			if e.Kind == event.Zone && e.Subject == "example.com." && serials.ReplaceAllString(fmt.Sprint(e.Fields), "$1:X") == want {
				return nil
			}
		}
		return fmt.Errorf("no event of the update in %v", p.Events().Save())
	})
}

// TestFrozenZoneRefusesUpdates freezes a zone: its updates are refused with the reason, also after a restart, until it is thawed.
func TestFrozenZoneRefusesUpdates(t *testing.T) {
	p := startPrimary(t, `}, update: [{key: xfr, names: ["*"]}]`, "$TTL 300\n@ SOA ns.example.net. h 7 3600 600 86400 60\n@ NS ns.example.net.\n")
	update := func(server, rdata string) *dns.Msg {
		t.Helper()
		msg := new(dns.Msg).SetUpdate("example.com.")
		msg.Insert([]dns.RR{&dns.TXT{Hdr: dns.RR_Header{Name: "x.example.com.", Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 60}, Txt: []string{rdata}}})
		msg.SetEdns0(1232, false)
		msg.SetTsig("xfr.", dns.HmacSHA256, 300, time.Now().Unix())
		client := patient()
		client.TsigSecret = map[string]string{"xfr.": ixfrSecret}
		answer, _, err := client.Exchange(msg, server)
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	refused := func(server string) {
		t.Helper()
		answer := update(server, "no")
		ede, _ := answer.IsEdns0().Option[0].(*dns.EDNS0_EDE)
		if answer.Rcode != dns.RcodeRefused || ede == nil || ede.InfoCode != dns.ExtendedErrorCodeProhibited || !strings.Contains(ede.ExtraText, "the zone is frozen since ") || !strings.HasSuffix(ede.ExtraText, ": moving house") {
			t.Errorf("a frozen zone answers %v", answer)
		}
	}
	server := p.listens(t)
	if answer := update(server, "one"); answer.Rcode != dns.RcodeSuccess {
		t.Fatal(answer)
	}
	if _, err := p.Freeze("example.com.", "moving house"); err != nil {
		t.Fatal(err)
	}
	refused(server)
	if err := p.stop(); err != nil {
		t.Fatal(err)
	}
	again := p.startAgain(t)
	server = again.listens(t)
	refused(server)
	if all := again.Zones(); all[0].Frozen == nil || all[0].Frozen.Reason != "moving house" {
		t.Errorf("the zones are %+v", all)
	}
	if _, err := again.Thaw("example.com."); err != nil {
		t.Fatal(err)
	}
	if answer := update(server, "two"); answer.Rcode != dns.RcodeSuccess {
		t.Errorf("a zone that is thawed answers %v", answer)
	}
}
