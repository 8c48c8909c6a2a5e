package admin_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"meridian/admin"
	"meridian/config"
	"meridian/control"
	"meridian/daemon"
	"meridian/snapshot"
)

const world = `
server: {listen: ["127.0.0.1:0"], workers: 1}
admin: {listen: "127.0.0.1:0"}
regions: {east: {location: [0, 0]}}
checks:
  none-there: {type: tcp, port: 1, interval: 1h}
  told: {type: push}
pools:
  web:
    policy: failover
    check: none-there
    members:
      - {name: a, region: east, addresses: [127.0.0.86]}
      - {name: b, region: east, addresses: [127.0.0.87], check: none}
      - {name: c, addresses: [127.0.0.88], check: told}
zones:
  example.com:
    nameservers: {ns1.example.net: []}
    contact: hostmaster@example.com
    names: {www: {pool: web}}
`

// api returns the handler of a server that runs until the test ends.
func api(t testing.TB, o admin.Options) http.Handler {
	t.Helper()
	handler, _ := serveWorld(t, world, o)
	return handler
}

// serveWorld returns the handler of a server with a configuration, and its DNS address.
func serveWorld(t testing.TB, world string, o admin.Options) (handler http.Handler, dns string) {
	t.Helper()
	return serveControl(t, world, func(*control.Control) admin.Options { return o })
}

// serveControl is serveWorld with options that depend on the Control of the server.
func serveControl(t testing.TB, world string, options func(*control.Control) admin.Options) (handler http.Handler, dns string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "meridian.yaml")
	if err := os.WriteFile(file, []byte(world), 0o600); err != nil {
		t.Fatal(err)
	}
	documents := func() ([]config.Document, error) { return config.ReadDocuments(file) }
	load := func(d []config.Document, b snapshot.Builder) (*snapshot.Snapshot, error) {
		cfg, _, err := config.LoadDocuments(d)
		if err != nil {
			return nil, err
		}
		s, _, err := b(cfg)
		return s, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	l := daemon.Daemon{
		Load: func(b snapshot.Builder) (*snapshot.Snapshot, error) {
			d, err := documents()
			if err != nil {
				return nil, err
			}
			return load(d, b)
		},
		Documents: documents, LoadDocuments: load,
		Admin: func(c *control.Control, _ config.Admin) (http.Handler, error) {
			handler = admin.New(c, options(c))
			return handler, nil
		},
		Ready:  func(at []netip.AddrPort) { dns = at[0].String(); close(ready) },
		Logger: slog.New(slog.DiscardHandler),
	}
	go func() { ended <- l.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-ready:
	case err := <-ended:
		ended <- err
		t.Fatal(err)
	}
	return handler, dns
}

// asked returns a request as an operator's tool sends it.
func asked(method, path, body string) *http.Request {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Host = "127.0.0.1:8053"
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	return r
}

// answered returns the code and the body of the answer, without white space.
func answered(h http.Handler, r *http.Request) (code int, body string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, strings.Join(strings.Fields(w.Body.String()), " ")
}

// TestRequests runs the requests in order: each sees the effects of the earlier
// ones.
func TestRequests(t *testing.T) {
	h := api(t, admin.Options{Version: "v1.2.3"})
	for _, c := range []struct {
		method, path, body string
		code               int
		want               string // part of the answer
	}{
		{"GET", "/healthz", "", 200, `"serving": true`},
		{"GET", "/readyz", "", 200, `"ready": true`},
		{"GET", "/v1/version", "", 200, `"version": "v1.2.3"`},
		{"GET", "/v1/status", "", 200, `"member": "a", "region": "east", "weight": 1, "state": "down"`},
		{"GET", "/v1/status?target=web/b", "", 200, `"members": [ { "member": "b"`},
		{"GET", "/v1/status?target=web/x", "", 404, `"error": "pool \"web\" has no member \"x\"", "hint": "known: web/a, web/b, web/c"`},
		{"GET", "/v1/status?target=a/b/c", "", 400, `is not a target; want pool/member, pool, region:NAME or address:IP`},
		{"GET", "/v1/status?pool=web", "", 400, `"error": "unknown parameter \"pool\"", "hint": "known: target, detail"`},
		{"GET", "/v1/overrides", "", 200, `[]`},
		{"POST", "/v1/overrides", `{"target": "web/b", "kind": "drained", "for": "1h", "reason": "upgrade"}`, 200, `"target": "web/b", "kind": "drained", "reason": "upgrade", "since": `},
		{"POST", "/v1/overrides", `{"target": "region:east", "kind": "forced up"}`, 200, `"target": "region:east", "kind": "forced up"`},
		{"GET", "/v1/overrides", "", 200, `"target": "region:east"`},
		{"GET", "/v1/status?target=web", "", 200, `"state": "drained"`},
		{"GET", "/v1/explain?name=www.example.com&client=198.51.100.7", "", 200, `"data": "127.0.0.86"`},
		{"GET", "/v1/explain?name=www.example.com&type=AAAA&resolver=198.51.100.7", "", 200, `"rcode": "NOERROR", "answers": []`},
		{"GET", "/v1/explain?name=www.example.com&client=198.51.100.7&draw=255", "", 200, `"draw": "0x00000000000000ff"`},
		{"GET", "/v1/explain?name=www.example.com&client=198.51.100.7&draw=-1", "", 400, `is not a number of 64 bits`},
		{"GET", "/v1/explain?name=www.example.com&client=none", "", 400, `is neither an address nor a network`},
		{"POST", "/v1/overrides", `{"target": "web/b", "kind": "drain"}`, 400, `is not a kind of override`},
		{"POST", "/v1/overrides", `{"target": "web/b", "kind": "drained", "for": "soon"}`, 400, `is not a duration; e.g. 30s, 1h30m`},
		{"POST", "/v1/overrides", `{"target": "web/b", "kind": "drained", "for": "-1s"}`, 400, `a duration of -1s`},
		{"POST", "/v1/overrides", `{"kind": "drained"}`, 400, `no target`},
		{"POST", "/v1/overrides", `{"target": "web", "kind": "drained", "until": "x"}`, 400, `unknown field \"until\"`},
		{"POST", "/v1/overrides", `{"target": "web", "kind": "drained"}{}`, 400, `it holds more than one value`},
		{"POST", "/v1/overrides", `{"target": "nobody", "kind": "drained"}`, 404, `no pool \"nobody\"`},
		{"POST", "/v1/overrides", `{"reason": "` + strings.Repeat("x", 20_000) + `"}`, 413, `longer than 16384 bytes`},
		{"DELETE", "/v1/overrides?target=web/b&kind=forced+up", "", 409, `"error": "web/b is drained"`},
		{"DELETE", "/v1/overrides?target=web/b&kind=drained", "", 200, `"target": "web/b"`},
		{"DELETE", "/v1/overrides?target=web/b", "", 404, `web/b has no override`},
		{"DELETE", "/v1/overrides", "", 400, `is not a target`},
		{"POST", "/v1/clear", `{"target": "web"}`, 200, `"target": "web", "held": 0`},
		{"POST", "/v1/clear", `{"target": "region:north"}`, 404, `no region \"north\"`},
		{"POST", "/v1/checks/told/reports", `{"address": "127.0.0.88", "up": false, "reason": "out of licences", "lease": "30s"}`, 200, `"check": "told", "address": "127.0.0.88", "up": false`},
		{"GET", "/v1/status?target=web/c", "", 200, `"state": "down"`},
		{"POST", "/v1/checks/told/reports", `{"address": "127.0.0.88"}`, 400, `address or up is missing`},
		{"POST", "/v1/checks/told/reports", `{"address": "127.0.0.99", "up": true}`, 404, `127.0.0.99`},
		{"POST", "/v1/checks/none-there/reports", `{"address": "127.0.0.86", "up": true}`, 404, `none-there`},
		{"POST", "/v1/checks/told/reports", `{"address": "127.0.0.88", "up": true, "lease": "1ms"}`, 400, `out of range`},
		{"POST", "/v1/checks/told/reports", `{"address": "127.0.0.88", "up": true, "lease": "100h"}`, 400, `"error": "lease 100h is out of range; 1s to 24h"`},
		{"POST", "/v1/checks/told/reports", `{"address": "127.0.0.99", "up": true}`, 404, `"error": "no such push target: check`},
		{"POST", "/v1/checks/told/reports", `{"address": "127.0.0.88", "up": "yes"}`, 400, `"error": "invalid body: \"up\" is a string; want true or false"`},
		{"POST", "/v1/checks/told/reports", `{"address": 1, "up": true}`, 400, `\"address\" is a number; want a string`},
		{"POST", "/v1/overrides", `{"target": {}, "kind": "drained"}`, 400, `\"target\" is an object; want a string`},
		{"POST", "/v1/overrides", `["web"]`, 400, `invalid body: it is a list; want an object`},
		{"POST", "/v1/clear", `{"target": "web"`, 400, `invalid body: it ends in the middle of a value`},
		{"POST", "/v1/clear", ` `, 400, `invalid body: it is empty`},
		{"POST", "/v1/clear", `{target: web}`, 400, `invalid body: at byte 2: invalid character 't'`},
		{"PUT", "/v1/clear", `{}`, 405, `"hint": "use POST"`},
		{"POST", "/v1/status", `{}`, 405, `"hint": "use GET"`},
		{"PATCH", "/v1/overrides", `{}`, 405, `"hint": "use GET, PUT, POST, DELETE"`},
		{"POST", "/v1/overrides", `{"target": "web/b", "kind": "drained", "for": "0s"}`, 400, `a duration of 0s; more than 0`},
		{"POST", "/v1/overrides", `{"target": "web/b", "kind": "drained", "for": ""}`, 400, `\"\" is not a duration`},
		{"POST", "/v1/checks/told/reports", `{"address": "127.0.0.88", "up": true, "lease": "0s"}`, 400, `a duration of 0s`},
		{"POST", "/v1/checks/told/reports", `{"address": "127.0.0.88", "up": true, "up": false}`, 400, `field \"up\" is given twice`},
		{"POST", "/v1/checks/told/reports", `{"address": "127.0.0.88", "Up": true}`, 400, `unknown field \"Up\"; did you mean \"up\"?`},
		{"POST", "/v1/overrides", strings.Repeat("x", 20_000), 413, `longer than 16384 bytes`},
		{"POST", "/v1/overrides", `{"target": "web/b", "kind": "drained", "reason": "a \u202e b"}`, 400, `characters that do not print`},
		{"DELETE", "/v1/overrides?target=web/b&target=web/c", "", 400, `parameter \"target\" is given 2 times`},
		{"GET", "/healthz", "", 200, `"probing": true`},
		{"GET", "/v1/status", "", 200, `"stalled": false`},
		{"GET", "/v1/nothing", "", 404, `404 not found: GET /v1/nothing`},
	} {
		code, body := answered(h, asked(c.method, c.path, c.body))
		if code != c.code || !strings.Contains(body, c.want) {
			t.Errorf("%s %s %.80s: %d %.400s\nwant %d %s", c.method, c.path, c.body, code, body, c.code, c.want)
		}
	}
}

func TestWebPageIsRejected(t *testing.T) {
	open := api(t, admin.Options{})
	for name, change := range map[string]func(*http.Request){
		"by a name of its own":      func(r *http.Request) { r.Host = "evil.example:8053" },
		"by a name that looks like": func(r *http.Request) { r.Host = "127.0.0.1.evil.example" },
		"by address":                func(r *http.Request) { r.Header.Set("Origin", "http://evil.example") },
	} {
		r := asked("POST", "/v1/overrides", `{"target": "web", "kind": "drained"}`)
		change(r)
		if code, body := answered(open, r); code != http.StatusForbidden {
			t.Errorf("%s: %d %s", name, code, body)
		}
	}
	form := asked("POST", "/v1/overrides", `{"target": "web", "kind": "drained"}`)
	form.Header.Set("Content-Type", "text/plain")
	if code, _ := answered(open, form); code != http.StatusUnsupportedMediaType {
		t.Errorf("as a form: %d", code)
	}
	for _, host := range []string{"localhost:8053", "127.0.0.1", "[::1]:8053", "192.0.2.53:8053"} {
		r := asked("GET", "/v1/overrides", "")
		r.Host = host
		if code, body := answered(open, r); code != http.StatusOK || body != `{ "overrides": [] }` {
			t.Errorf("by %s: %d %s", host, code, body)
		}
	}
}

func TestTokenIsRequired(t *testing.T) {
	const token = "0123456789abcdef"
	h := api(t, admin.Options{Tokens: []admin.Token{{Name: "oncall", Role: admin.Operator, Secret: token}}})
	for _, c := range []struct {
		authorization string
		code          int
	}{
		{"", 401},
		{"Bearer", 401},
		{"Bearer " + token[1:], 401},
		{"Bearer " + token + "0", 401},
		{"Basic " + token, 401},
		{"Bearer " + token, 200},
		{"bearer " + token, 200},
	} {
		r := asked("GET", "/v1/overrides", "")
		r.Host = "ns1.example.com:8053"
		r.Header.Set("Authorization", c.authorization)
		if code, _ := answered(h, r); code != c.code {
			t.Errorf("%q: %d, want %d", c.authorization, code, c.code)
		}
	}
	if code, _ := answered(h, asked("GET", "/healthz", "")); code != http.StatusOK {
		t.Errorf("/healthz without the token: %d", code)
	}
}

func TestReadTokenErrors(t *testing.T) {
	for name, c := range map[string]struct{ text, token, fault string }{
		"a line":            {"0123456789abcdef\n", "0123456789abcdef", ""},
		"short":             {"012345\n", "", "it holds a token of 6 bytes; want 16 to 512"},
		"empty":             {"", "", "it holds a token of 0 bytes; want 16 to 512"},
		"two words":         {"01234567 89abcdef", "", "its token contains a space or a character that is not printable ASCII"},
		"an endless device": {strings.Repeat("x", 100_000), "", "it holds a token of 1024 bytes; want 16 to 512"},
	} {
		file := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		token, err := admin.ReadToken(file)
		if token != c.token || fault(err) != c.fault {
			t.Errorf("%s: %q, %v", name, token, err)
		}
	}
	if _, err := admin.ReadToken(filepath.Join(t.TempDir(), "absent")); err == nil {
		t.Error("no fault in a file that is not there")
	}
}

func fault(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// FuzzBodies checks that every body gets a JSON answer that confirms the action or has an error.
func FuzzBodies(f *testing.F) {
	f.Add(0, `{"target": "web/b", "kind": "drained", "for": "1h"}`)
	f.Add(1, `{"target": "region:east"}`)
	f.Add(2, `{"address": "127.0.0.88", "up": false, "lease": "30s"}`)
	h := api(f, admin.Options{})
	paths := []string{"/v1/overrides", "/v1/clear", "/v1/checks/told/reports"}
	f.Fuzz(func(t *testing.T, which int, body string) {
		r := asked(http.MethodPost, paths[uint(which)%uint(len(paths))], body)
		r.Header.Set("Content-Type", "application/json")
		code, answer := answered(h, r)
		if code >= 500 || !json.Valid([]byte(answer)) {
			t.Errorf("%q: %d %s", body, code, answer)
		}
	})
}

func ExampleProblem() {
	answer := `{"error": "no pool \"wbe\"", "hint": "known: web"}`
	var p admin.Problem
	if err := json.NewDecoder(io.LimitReader(strings.NewReader(answer), 1<<20)).Decode(&p); err != nil {
		panic(err)
	}
	fmt.Printf("%s; %s\n", p.Error, p.Hint)
	// Output: no pool "wbe"; known: web
}

// FuzzQueries checks that every query gets an answer in JSON, and that a percent sign that begins no escape is itself.
func FuzzQueries(f *testing.F) {
	for i, query := range []string{
		"target=web/b&detail=member", "name=www.example.com&client=198.51.100.7&draw=0x1&down=web/b", "since=1&kind=audit&kind=state&limit=5", "subject=web&limit=0",
		"file=%zz", "max_moved=10%", "a;b", "target=%%%25", "name=*.\x00", "client=FR", "client=AS0", "target=region:*&target=x",
	} {
		f.Add(i, query)
	}
	h := api(f, admin.Options{})
	paths := []string{"/v1/status", "/v1/explain", "/v1/events", "/v1/audit", "/v1/config", "/v1/overrides"}
	f.Fuzz(func(t *testing.T, which int, query string) {
		r := asked(http.MethodGet, paths[uint(which)%uint(len(paths))], "")
		r.URL.RawQuery = query
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code >= 500 || strings.Contains(w.Header().Get("Content-Type"), "json") && !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s?%q: %d %s", r.URL.Path, query, w.Code, w.Body)
		}
	})
}
