package telemetry

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
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
	"meridian/server/answer"
	"meridian/telemetry/dnstap"
)

// logging returns watchedConfig with a query log.
func logging(settings string) string {
	return strings.Replace(watchedConfig, "admin:", "query_log: {"+settings+"}\nadmin:", 1)
}

// use logs the queries of w as its configuration says.
func (w *watched) use(t *testing.T) {
	t.Helper()
	measured, ok := w.control.Measure()
	if !ok {
		t.Fatal("nothing is served")
	}
	w.metrics.QueryLog().Use(w.control, measured.Config)
}

func TestQueriesAreLoggedAsJSONLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queries.json")
	if err := os.WriteFile(path, []byte(`{"time":"a part of a line`), 0o600); err != nil { // as after a crash
		t.Fatal(err)
	}
	w := watch(t, logging("file: "+path))
	w.use(t)
	w.ask(t, "www.example.com.")
	w.ask(t, "nothing.example.com.")
	w.metrics.QueryLog().Close()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	if len(lines) != 3 {
		t.Fatalf("%d lines, want the old part and 2:\n%s", len(lines), text)
	}
	var got []map[string]any
	for _, line := range lines[1:] {
		one := map[string]any{}
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		at, err := time.Parse(time.RFC3339Nano, one["time"].(string))
		if err != nil || time.Since(at) > time.Hour {
			t.Errorf("time %v: %v", one["time"], err)
		}
		delete(one, "time")
		got = append(got, one)
	}
	want := `[map[bytes:49 client:127.0.0.1 member:a mode:normal name:www.example.com. pool:web rcode:NOERROR region:eu transport:udp type:A zone:example.com.] ` +
		`map[bytes:101 client:127.0.0.1 name:nothing.example.com. rcode:NXDOMAIN transport:udp type:A zone:example.com.]]`
	if strip := regexp.MustCompile(`bytes:\d+`); strip.ReplaceAllString(fmt.Sprint(got), "") != strip.ReplaceAllString(want, "") {
		t.Errorf("logged\n%v\nwant\n%s", got, want)
	}
}

func TestKeysOfLinesAreThoseOfTheReference(t *testing.T) {
	page, err := os.ReadFile("../docs/reference/query-log.md")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, row := range regexp.MustCompile("(?m)^\\| (`[a-z`, ]+`) \\|").FindAllStringSubmatch(string(page), -1) {
		want = append(want, regexp.MustCompile("[a-z]+").FindAllString(row[1], -1)...)
	}
	text := appendLine(nil, loggedQuery(t))
	keys := map[string]any{}
	if err := json.Unmarshal(text, &keys); err != nil {
		t.Fatal(err)
	}
	var got []string
	for key := range keys {
		got = append(got, key)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("lines have %q, the page has %q", got, want)
	}
}

func TestRealReaderPrintsLoggedQueries(t *testing.T) {
	counterpart.Find(t, "dnstap-ldns")
	path := filepath.Join(t.TempDir(), "queries.dnstap")
	w := watch(t, strings.Replace(logging(`dnstap: "file:`+path+`"`), "workers: 1", "workers: 1, nsid: ams1", 1))
	w.use(t)
	w.ask(t, "www.example.com.")
	w.metrics.QueryLog().Close()
	text := counterpart.Output(t, "dnstap-ldns", "-y", "-r", path)
	for _, want := range []string{
		`identity: "ams1"`, `version: "v1.2.3"`, "type: AUTH_RESPONSE", "socket_protocol: UDP", `query_address: "127.0.0.1"`, "query_port: ",
		`query_zone: "example.com."`, "www.example.com.	30	IN	A	127.0.0.86",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("dnstap-ldns does not print %q:\n%s", want, text)
		}
	}
	frames, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"zone":"example.com.","pool":"web","member":"a","region":"eu","mode":"normal"}`; !strings.Contains(string(frames), want) {
		t.Errorf("extra is not %s", want)
	}
}

// TestQueriesTakenDuringCloseAreWritten drains a writer that has been told to end and has not connected yet.
func TestQueriesTakenDuringCloseAreWritten(t *testing.T) {
	to := config.Destination{Network: "file", Address: filepath.Join(t.TempDir(), "queries.dnstap")}
	w := watch(t, logging(`dnstap: "`+to.String()+`"`))
	w.ask(t, "www.example.com.")
	writer := &queryWriter{control: w.control, dnstap: dnstap.NewSink(dnstap.Destination(to), slog.New(slog.DiscardHandler)), stop: make(chan struct{}), done: make(chan struct{})}
	close(writer.stop)
	writer.drain()
	writer.run()
	if n, lost := writer.dnstap.Delivered(), writer.dnstap.Lost(); n != 1 || lost != 0 {
		t.Errorf("%d queries written and %d lost, want 1 and 0", n, lost)
	}
}

func TestAbsentCollectorCostsAnswersNothingAndIsCounted(t *testing.T) {
	w := watch(t, logging(`dnstap: "unix:`+filepath.Join(t.TempDir(), "s")+`", file: /nonexistent/queries.json`))
	w.use(t)
	for range 5 {
		w.ask(t, "www.example.com.")
	}
	w.metrics.QueryLog().Close()
	if got := value(w.scrape(t, "text/plain"), "meridian_querylog_dropped_total"); got != "10" {
		t.Errorf("%s lost, want 5 at each destination", got)
	}
	for _, want := range []string{`destination=unix:`, `destination=file:/nonexistent/queries.json`} {
		if !strings.Contains(w.log.String(), want) {
			t.Errorf("the log does not have %q:\n%s", want, w.log)
		}
	}
}

func TestUnchangedDestinationIsKept(t *testing.T) {
	dir := t.TempDir()
	w := watch(t, logging("file: "+filepath.Join(dir, "q")))
	w.use(t)
	first := w.metrics.QueryLog().current
	w.use(t)
	if w.metrics.QueryLog().current != first {
		t.Error("a reload without a change opens the file again")
	}
	measured, _ := w.control.Measure()
	changed := *measured.Config
	changed.QueryLog.File = filepath.Join(dir, "other")
	w.metrics.QueryLog().Use(w.control, &changed)
	if w.metrics.QueryLog().current == first {
		t.Error("another file is not opened")
	}
	changed.QueryLog.File = ""
	w.metrics.QueryLog().Use(w.control, &changed)
	if w.metrics.QueryLog().current != nil {
		t.Error("the query log goes on after it is removed")
	}
}

func TestLineFileFollowsARename(t *testing.T) {
	path := filepath.Join(t.TempDir(), "q")
	f := newLineFile(path, slog.New(slog.DiscardHandler))
	f.write(&answer.LoggedQuery{Pool: "one"})
	f.flush()
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	f.checked = time.Time{} // as if the interval were over
	f.flush()
	f.write(&answer.LoggedQuery{Pool: "two"})
	f.close()
	for name, want := range map[string]string{path + ".1": "one", path: "two"} {
		if got, err := os.ReadFile(name); err != nil || bytes.Count(got, []byte("\n")) != 1 || !bytes.Contains(got, []byte(want)) {
			t.Errorf("%s: %q %v, want %q", name, got, err, want)
		}
	}
}

// FuzzLine checks that no message breaks a line.
func FuzzLine(f *testing.F) {
	q := new(dns.Msg)
	q.SetQuestion("www.example.com.", dns.TypeA)
	packed, err := q.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(packed, packed)
	f.Fuzz(func(t *testing.T, query, response []byte) {
		for _, q := range []*answer.LoggedQuery{{Query: query, Response: response}, {Query: query, Response: response, Pool: string(query), Member: string(response)}} {
			for _, text := range [][]byte{appendLine(nil, q), appendExtra(nil, q)} {
				if !json.Valid(text) || bytes.Contains(text, []byte("\n")) {
					t.Errorf("%q is not one line of JSON", text)
				}
			}
		}
	})
}

// TestLineEqualsReference compares a line and extra with what encoding/json makes of a struct.
func TestLineEqualsReference(t *testing.T) {
	type decision struct {
		Zone   string `json:"zone,omitempty"`
		Pool   string `json:"pool,omitempty"`
		Member string `json:"member,omitempty"`
		Region string `json:"region,omitempty"`
		Mode   string `json:"mode,omitempty"`
		Scope  *uint8 `json:"scope,omitempty"`
	}
	type line struct {
		Time      time.Time `json:"time"`
		Client    string    `json:"client"`
		ECS       string    `json:"ecs,omitempty"`
		Scope     *uint8    `json:"scope,omitempty"`
		Name      string    `json:"name"`
		Type      string    `json:"type"`
		Rcode     string    `json:"rcode"`
		Transport string    `json:"transport"`
		Zone      string    `json:"zone,omitempty"`
		Pool      string    `json:"pool,omitempty"`
		Member    string    `json:"member,omitempty"`
		Region    string    `json:"region,omitempty"`
		Mode      string    `json:"mode,omitempty"`
		Bytes     int       `json:"bytes"`
	}
	whole := loggedQuery(t)
	odd, plain := *whole, *whole
	odd.Pool, odd.Member, odd.Region = "b\"\\\n", "zürich\xff", "\u2028<&>\x7f"
	plain.Subnet, plain.Echoed, plain.Zone, plain.Decided, plain.Pool, plain.Member, plain.Region = netip.Prefix{}, false, "", false, "", "", ""
	for _, q := range []*answer.LoggedQuery{whole, &odd, &plain} {
		d := decision{Zone: string(q.Zone), Pool: q.Pool, Member: q.Member, Region: q.Region}
		if q.Decided {
			d.Mode = q.Mode.String()
		}
		if q.Echoed {
			d.Scope = &q.Scope
		}
		l := line{
			Time: q.Time.UTC(), Client: q.Client.Addr().String(), Scope: d.Scope, Name: "n123.gslb.example.com.", Type: "A", Rcode: "NOERROR",
			Transport: "udp", Zone: d.Zone, Pool: d.Pool, Member: d.Member, Region: d.Region, Mode: d.Mode, Bytes: len(q.Response),
		}
		if q.Subnet.IsValid() {
			l.ECS = q.Subnet.String()
		}
		for what, text := range map[string][2]any{"line": {l, appendLine(nil, q)}, "extra": {d, appendExtra(nil, q)}} {
			want, err := json.Marshal(text[0])
			if err != nil || string(want) != string(text[1].([]byte)) {
				t.Errorf("%s %s, want %s (%v)", what, text[1], want, err)
			}
		}
	}
}

// TestReloadFollowsARenamedFile renames the files as logrotate does and reloads: what is logged after that is in new files.
func TestReloadFollowsARenamedFile(t *testing.T) {
	dir := t.TempDir()
	lines, frames := filepath.Join(dir, "q"), filepath.Join(dir, "d")
	w := watch(t, logging(fmt.Sprintf("file: %q, dnstap: %q", lines, "file:"+frames)))
	w.use(t)
	w.ask(t, "www.example.com.")
	w.use(t) // writes what is logged
	for _, path := range []string{lines, frames} {
		if err := os.Rename(path, path+".1"); err != nil {
			t.Fatal(err)
		}
	}
	w.use(t)
	sizes := func() (all []int64) {
		for _, path := range []string{lines + ".1", frames + ".1", lines, frames} {
			size := int64(-1)
			if info, err := os.Stat(path); err == nil {
				size = info.Size()
			}
			all = append(all, size)
		}
		return all
	}
	before := sizes()
	w.ask(t, "www.example.com.")
	w.metrics.QueryLog().Close()
	after := sizes()
	if before[0] <= 0 || before[1] <= 0 || !slices.Equal(before[:2], after[:2]) || after[2] <= 0 || after[3] <= 0 {
		t.Errorf("sizes before a query %d, after it %d; want equal old files, and new ones", before, after)
	}
}

// TestFullDiskLosesLinesAndIsCounted writes to a device that is always full.
func TestFullDiskLosesLinesAndIsCounted(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("SKIPPED: there is no /dev/full")
	}
	var log bytes.Buffer
	f := newLineFile("/dev/full", slog.New(slog.NewTextHandler(&log, nil)))
	for range 3 {
		f.write(&answer.LoggedQuery{})
		f.flush()
	}
	if got := f.lost.Load(); got != 3 || strings.Count(log.String(), "no space left on device") != 1 {
		t.Errorf("lost %d, want 3; log: %s", got, &log)
	}
}

// TestFailedFileIsTriedAtOnceAfterAReload makes the folder of a file that could not be opened.
func TestFailedFileIsTriedAtOnceAfterAReload(t *testing.T) {
	path := filepath.Join(t.TempDir(), "later", "q")
	f := newLineFile(path, slog.New(slog.DiscardHandler))
	f.write(&answer.LoggedQuery{})
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	f.write(&answer.LoggedQuery{}) // too early
	f.reopen()
	f.write(&answer.LoggedQuery{})
	f.close()
	if text, err := os.ReadFile(path); err != nil || bytes.Count(text, []byte("\n")) != 1 || f.lost.Load() != 2 {
		t.Errorf("%q %v, %d lost; want one line and 2", text, err, f.lost.Load())
	}
}
