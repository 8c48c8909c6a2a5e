package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"

	"meridian/config"
	"meridian/control"
	"meridian/counterpart"
	"meridian/daemon"
	"meridian/health"
	"meridian/snapshot"
)

const watchedConfig = `
server: {listen: ["127.0.0.1:0"], workers: 1}
admin: {listen: "127.0.0.1:0"}
regions: {eu: {location: [53, 6]}, us: {location: [39, -77]}}
checks: {told: {type: push}, closed: {type: tcp, port: 1, interval: 1h}}
pools:
  web:
    policy: failover
    check: told
    members:
      - {name: a, region: eu, addresses: [127.0.0.86]}
      - {name: b, region: us, addresses: [127.0.0.87], check: closed}
  plain: {policy: weighted, members: [{name: c, region: us, addresses: [127.0.0.88]}]}
zones:
  example.com:
    nameservers: {ns1.example.net: []}
    contact: hostmaster@example.com
    names: {www: {pool: web}, plain: {pool: plain}}
`

// watched is a running server with its metrics.
type watched struct {
	metrics *Metrics
	control *control.Control
	handler http.Handler
	dns     netip.AddrPort
	log     *bytes.Buffer // read it after the server has ended, or the lines of m alone
}

// watch runs a server until the test ends.
func watch(t testing.TB, text string) *watched {
	t.Helper()
	cfg, _, err := config.Parse(filepath.Join(t.TempDir(), "meridian.yaml"), []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	w := &watched{log: new(bytes.Buffer)}
	w.metrics = New(Options{Version: "v1.2.3", Logger: slog.New(slog.NewTextHandler(w.log, nil))})
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan netip.AddrPort, 1), make(chan error, 1)
	l := daemon.Daemon{
		Load: func(b snapshot.Builder) (*snapshot.Snapshot, error) { s, _, err := b(cfg); return s, err },
		Admin: func(c *control.Control, _ config.Admin) (http.Handler, error) {
			w.control = c
			return http.NotFoundHandler(), nil
		},
		Ready:    func(addrs []netip.AddrPort) { ready <- addrs[0] },
		Observer: w.metrics.Observer(),
		Logger:   slog.New(slog.DiscardHandler),
	}
	go func() { ended <- l.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	select {
	case w.dns = <-ready:
	case err := <-ended:
		ended <- err
		t.Fatal(err)
	}
	w.handler = w.metrics.Handler(w.control)
	return w
}

// ask sends a query over UDP and waits for the answer.
func (w *watched) ask(t testing.TB, name string) {
	t.Helper()
	q := new(dns.Msg)
	q.SetQuestion(name, dns.TypeA)
	if _, err := counterpart.Exchange(q, w.dns.String()); err != nil {
		t.Fatal(err)
	}
}

// scrape returns what /metrics answers.
func (w *watched) scrape(t testing.TB, accept string) string {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	r.Header.Set("Accept", accept)
	answer := httptest.NewRecorder()
	w.handler.ServeHTTP(answer, r)
	if answer.Code != http.StatusOK {
		t.Fatalf("%d %s", answer.Code, answer.Body)
	}
	return answer.Body.String()
}

// value returns the value of a series in a scrape; empty: there is none.
func value(text, series string) string {
	match := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(series) + ` (\S+)$`).FindStringSubmatch(text)
	if match == nil {
		return ""
	}
	return match[1]
}

func TestScrapeShowsQueriesAnswersAndHealth(t *testing.T) {
	w := watch(t, watchedConfig)
	for range 3 {
		w.ask(t, "www.example.com.")
	}
	w.ask(t, "nothing.example.com.")
	if err := w.control.Report("told", netip.MustParseAddr("127.0.0.86"), false, "full", 0); err != nil {
		t.Fatal(err)
	}
	text := w.scrape(t, "text/plain")
	for series, want := range map[string]string{
		`meridian_queries_total{family="ipv4",transport="udp"}`:               "4",
		`meridian_queries_total{family="ipv6",transport="tcp"}`:               "0",
		`meridian_query_types_total{type="A"}`:                                "4",
		`meridian_responses_total{rcode="NOERROR"}`:                           "3",
		`meridian_responses_total{rcode="NXDOMAIN"}`:                          "1",
		`meridian_zone_queries_total{zone="example.com."}`:                    "4",
		`meridian_pool_answers_total{mode="normal",pool="web"}`:               "3",
		`meridian_member_answers_total{member="a",pool="web",region="eu"}`:    "3",
		`meridian_member_answers_total{member="c",pool="plain",region="us"}`:  "0",
		`meridian_endpoint_up{address="127.0.0.86",check="told"}`:             "0",
		`meridian_endpoint_up{address="127.0.0.87",check="closed"}`:           "0",
		`meridian_member_eligible{member="a",pool="web"}`:                     "0",
		`meridian_member_eligible{member="c",pool="plain"}`:                   "1",
		`meridian_pool_live{pool="web"}`:                                      "0",
		`meridian_pool_mode{mode="fail-open",pool="web"}`:                     "1",
		`meridian_probes_total{check="told",result="failed"}`:                 "1",
		`meridian_state_changes_total{check="told",to="down"}`:                "1",
		`meridian_config_last_reload_successful`:                              "1",
		`meridian_build_info{version="v1.2.3"}`:                               "1",
		`meridian_metrics_detail{detail="member"}`:                            "1",
		`meridian_request_duration_seconds_bucket{transport="udp",le="+Inf"}`: "1",
		`meridian_request_duration_seconds_count{transport="udp"}`:            "1",
	} {
		if got := value(text, series); got != want {
			t.Errorf("%s is %q, want %q", series, got, want)
		}
	}
	if open := w.scrape(t, "application/openmetrics-text; version=1.0.0"); !strings.HasSuffix(open, "# EOF\n") {
		t.Errorf("OpenMetrics: %q", open[max(0, len(open)-100):])
	}
	if t.Failed() {
		t.Log(text)
	}
}

func TestNotificationsAreCountedWithoutThePathOfTheSink(t *testing.T) {
	sink := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	t.Cleanup(sink.Close)
	w := watch(t, watchedConfig+"notify: [{webhook: \""+sink.URL+"/secret\", events: [state]}]\n")
	if err := w.control.Report("told", netip.MustParseAddr("127.0.0.86"), false, "full", 0); err != nil {
		t.Fatal(err)
	}
	delivered := fmt.Sprintf(`meridian_notify_total{result="delivered",sink=%q}`, sink.URL)
	deadline := time.Now().Add(time.Minute)
	text := w.scrape(t, "text/plain")
	for ; value(text, delivered) == "0" && time.Now().Before(deadline); text = w.scrape(t, "text/plain") {
		time.Sleep(5 * time.Millisecond)
	}
	if got := value(text, delivered); got == "" || got == "0" {
		t.Errorf("%s is %q, want at least 1", delivered, got)
	}
	if got := value(text, "meridian_events_dropped_total"); got != "0" {
		t.Errorf("%q events were lost", got)
	}
	if strings.Contains(text, "secret") {
		t.Error("the metrics show the path of the sink")
	}
}

// sometimes holds the metrics that depend on settings which watchedConfig does not have.
var sometimes = []string{"load_ratio", "geo_database_timestamp_seconds", "probe_duration_seconds", "notify_total", "certificate_expiry_timestamp_seconds", "server_certificate_expiry_timestamp_seconds", "latency_table_rows", "latency_table_timestamp_seconds", "dnssec_key", "dnssec_ds_seen", "dnssec_rrsig_expiry_seconds", "filtered_total", "error_reports_total", "cluster_generation_skew", "xdp_attached", "xdp_lost_total", "catalog_members", "catalog_conflicts", "secondary_ready", "secondary_serial", "secondary_confirmed_seconds", "secondary_expiry_seconds", "secondary_failures"}

func TestEveryMetricIsListed(t *testing.T) {
	w := watch(t, watchedConfig)
	exported := map[string]bool{}
	for _, line := range regexp.MustCompile(`(?m)^# TYPE (\S+) `).FindAllStringSubmatch(w.scrape(t, "text/plain"), -1) {
		name, ours := strings.CutPrefix(line[1], namespace)
		if !ours && !strings.HasPrefix(name, "go_") && !strings.HasPrefix(name, "process_") {
			t.Errorf("%s is exported, and is none of %s*, go_* and process_*", name, namespace)
		}
		if _, known := families[name]; ours && !known {
			t.Errorf("%s is exported and not in families", name)
		}
		exported[name] = true
	}
	for name := range families {
		if !exported[name] && !slices.Contains(sometimes, name) && !strings.HasPrefix(name, "cluster_") {
			t.Errorf("%s is in families and not exported", name)
		}
	}
}

func TestMetricsShowInterfacesWithoutAFXDP(t *testing.T) {
	w := watch(t, strings.Replace(watchedConfig, "workers: 1}", "workers: 1, xdp: {interfaces: [missing0]}}", 1))
	counterpart.Await(t, func() error {
		text := w.scrape(t, "text/plain")
		attached, lost := value(text, `meridian_xdp_attached{interface="missing0"}`), value(text, `meridian_xdp_lost_total{interface="missing0",reason="checksum"}`)
		if attached != "0" || lost != "0" {
			return fmt.Errorf("attached %q, lost %q", attached, lost)
		}
		return nil
	})
	s, err := w.control.Status(control.Selector{})
	if err != nil || len(s.XDP) != 1 || s.XDP[0].Attached || s.XDP[0].Error == "" {
		t.Errorf("status %+v, %v", s, err)
	}
}

func TestReferenceListsEveryMetric(t *testing.T) {
	text, err := os.ReadFile("../docs/reference/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	written := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `meridian_(\\w+)` \\| (\\w+) \\| ([^|]*)\\|").FindAllStringSubmatch(string(text), -1) {
		written[row[1]] = row[2] + " " + strings.TrimSpace(row[3])
	}
	want := map[string]string{}
	kinds := map[prometheus.ValueType]string{counter: "counter", gauge: "gauge", histogram: "histogram"}
	for name, f := range families {
		labels := make([]string, len(f.labels))
		for i, label := range f.labels {
			labels[i] = "`" + label + "`"
		}
		want[name] = strings.TrimSpace(kinds[f.kind] + " " + strings.Join(labels, ", "))
	}
	for name := range want {
		if strings.TrimSpace(written[name]) != want[name] {
			t.Errorf("the page says %q of %s, want %q", written[name], name, want[name])
		}
	}
	for name := range written {
		if _, known := want[name]; !known {
			t.Errorf("the page lists %s, which does not exist", name)
		}
	}
}

func TestTooManySeriesReduceTheDetail(t *testing.T) {
	var members strings.Builder
	for i := range 400 {
		fmt.Fprintf(&members, "{name: m%d, region: eu, addresses: [10.0.%d.%d]}, ", i, i/200, i%200)
	}
	w := watch(t, `
server: {listen: ["127.0.0.1:0"], workers: 1}
admin: {listen: "127.0.0.1:0"}
metrics: {max_series: 1000}
regions: {eu: {location: [53, 6]}}
pools: {web: {policy: proximity, members: [`+members.String()+`]}}
zones: {example.com: {nameservers: {ns1.example.net: []}, contact: a@example.com, names: {www: {pool: web}}}}
`)
	w.ask(t, "www.example.com.")
	for range 2 { // logged once
		text := w.scrape(t, "text/plain")
		for series, want := range map[string]string{
			`meridian_metrics_detail{detail="pool"}`:                          "1",
			`meridian_member_answers_total{member="",pool="web",region="eu"}`: "1",
			`meridian_member_eligible{member="m1",pool="web"}`:                "",
			`meridian_pool_live{pool="web"}`:                                  "1",
		} {
			if got := value(text, series); got != want {
				t.Errorf("%s is %q, want %q", series, got, want)
			}
		}
	}
	status, err := w.control.Status(control.Selector{})
	if want := (control.MetricsStatus{Detail: "pool", Configured: "member", Series: status.Metrics.Series, MaxSeries: 1000}); err != nil || *status.Metrics != want || want.Series <= 1000 {
		t.Errorf("status %+v", *status.Metrics)
	}
	const message = `msg="metrics have less detail than configured: max_series is reached" detail=pool configured=member`
	if strings.Count(w.log.String(), message) != 1 {
		t.Errorf("logged: %s", w.log)
	}
}

func TestMostSeriesBelowAllExportTheCoarsestDetail(t *testing.T) {
	w := watch(t, strings.Replace(watchedConfig, "admin:", "metrics: {max_series: 1}\nadmin:", 1))
	w.ask(t, "www.example.com.")
	if got := value(w.scrape(t, "text/plain"), `meridian_metrics_detail{detail="region"}`); got != "1" {
		t.Errorf("detail region is %q, want 1", got)
	}
	if !strings.Contains(w.log.String(), `max_series is reached" detail=region configured=member`) {
		t.Errorf("logged: %s", w.log)
	}
}

func TestRegionDetailHasNoPoolsAndZones(t *testing.T) {
	w := watch(t, strings.Replace(watchedConfig, "admin:", "metrics: {detail: region}\nadmin:", 1))
	w.ask(t, "www.example.com.")
	text := w.scrape(t, "text/plain")
	for series, want := range map[string]string{
		`meridian_member_answers_total{member="",pool="",region="eu"}`: "1",
		`meridian_pool_answers_total{mode="normal",pool=""}`:           "1",
		`meridian_zone_queries_total{zone=""}`:                         "1",
	} {
		if got := value(text, series); got != want {
			t.Errorf("%s is %q, want %q", series, got, want)
		}
	}
	if found := regexp.MustCompile(`(?m)^meridian.*"(web|plain|example\.com\.)".*$`).FindAllString(text, -1); found != nil {
		t.Errorf("series of pools or zones: %q", found)
	}
}

func TestPromtoolAcceptsMetrics(t *testing.T) {
	promtool := counterpart.Find(t, "promtool")
	w := watch(t, watchedConfig)
	w.ask(t, "www.example.com.")
	check := exec.Command(promtool, "check", "metrics")
	check.Stdin = strings.NewReader(w.scrape(t, "text/plain"))
	if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}

// TestPrometheusScrapes has the real Prometheus scrape a server, and asks it for the series.
func TestPrometheusScrapes(t *testing.T) {
	counterpart.Find(t, "prometheus")
	w := watch(t, watchedConfig)
	for range 5 {
		w.ask(t, "www.example.com.")
	}
	target := httptest.NewServer(w.handler)
	defer target.Close()
	at := startPrometheus(t, strings.TrimPrefix(target.URL, "http://"))
	for query, want := range map[string]string{
		`meridian_member_answers_total{member="a"}`:                                       "5",
		`sum(meridian_queries_total)`:                                                     "5",
		`up{job="meridian"}`:                                                              "1",
		`meridian_request_duration_seconds_count{transport="udp"}`:                        "1",
		`count(meridian_request_duration_seconds_bucket{transport="udp"})`:                "8",
		`histogram_quantile(0.5, meridian_request_duration_seconds_bucket) > bool 0 == 1`: "1",
	} {
		awaitQuery(t, at, query, want)
	}
}

// startPrometheus runs Prometheus until the test ends. It scrapes target often, and still gives a busy machine time to answer: after a
// scrape that fails there are no series until the next one.
func startPrometheus(t *testing.T, target string) (address string) {
	t.Helper()
	dir := t.TempDir()
	address = fmt.Sprintf("127.0.0.1:%d", counterpart.FreePorts(t, 1)[0])
	settings := filepath.Join(dir, "prometheus.yaml")
	text := fmt.Sprintf("scrape_configs: [{job_name: meridian, scrape_interval: 3s, scrape_timeout: 3s, static_configs: [{targets: [%q]}]}]\n", target)
	if err := os.WriteFile(settings, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	counterpart.Start(t, "prometheus", "--config.file="+settings, "--storage.tsdb.path="+dir, "--web.listen-address="+address)
	return address
}

// awaitQuery asks Prometheus until an expression has the wanted value.
func awaitQuery(t *testing.T, address, query, want string) {
	t.Helper()
	counterpart.Await(t, func() error {
		if got := promQuery(address, query); got != want {
			return fmt.Errorf("%s is %q in Prometheus, want %q", query, got, want)
		}
		return nil
	})
}

// promQuery returns the value of an expression; empty: none yet.
func promQuery(address, query string) string {
	answer, err := http.Get("http://" + address + "/api/v1/query?query=" + url.QueryEscape(query))
	if err != nil {
		return ""
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(answer.Body)
	var found struct {
		Data struct {
			Result []struct {
				Value [2]any `json:"value"`
			} `json:"result"`
		} `json:"data"`
	}
	if json.Unmarshal(body, &found) != nil || len(found.Data.Result) == 0 {
		return ""
	}
	return fmt.Sprint(found.Data.Result[0].Value[1])
}

func TestNativeBucketsAreEncoded(t *testing.T) {
	counts := map[int]uint64{-5: 3, -4: 1, 0: 2, 1: 2, 7: 9}
	spans, deltas := nativeBuckets(counts)
	decoded := map[int]uint64{}
	at, count := 0, int64(0)
	for _, span := range spans {
		at += int(span.GetOffset())
		for range span.GetLength() {
			count += deltas[0]
			deltas = deltas[1:]
			decoded[at] = uint64(count)
			at++
		}
	}
	if !maps.Equal(decoded, counts) || len(spans) != 3 {
		t.Errorf("%v in %d spans, want %v in 3", decoded, len(spans), counts)
	}
}

func TestCertificateExpiryIsExported(t *testing.T) {
	endpoint := httptest.NewTLSServer(http.NotFoundHandler())
	endpoint.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(endpoint.Close)
	port := endpoint.Listener.Addr().(*net.TCPAddr).Port
	for detail, want := range map[string]string{"member": "127.0.0.1", "pool": "", "region": ""} {
		w := watch(t, strings.NewReplacer(
			"checks: {", fmt.Sprintf("metrics: {detail: %s}\nchecks: {front: {type: tls, port: %d, tls: {insecure: true}, interval: 1h}, ", detail, port),
			"[127.0.0.88]", "[127.0.0.1], check: front").Replace(watchedConfig))
		series := fmt.Sprintf(`meridian_certificate_expiry_timestamp_seconds{address=%q,check="front"}`, want)
		if got, err := strconv.ParseFloat(value(w.scrape(t, "text/plain"), series), 64); err != nil || int64(got) != endpoint.Certificate().NotAfter.Unix() {
			t.Errorf("%s is %v %v, want %d", series, got, err, endpoint.Certificate().NotAfter.Unix())
		}
	}
}

func TestFirstExpiryOfEqualLabelsIsExported(t *testing.T) {
	early := time.Now()
	target := health.Target{Check: &config.Check{Name: "web/a", Base: "web"}, Addr: netip.MustParseAddr("192.0.2.1")}
	for _, all := range [][]health.Certificate{
		{{Target: target, Expires: early}, {Target: target, Expires: early.Add(1)}},
		{{Target: target, Expires: early.Add(1)}, {Target: target, Expires: early}},
	} {
		if got := expiries(all)[[2]string{"web", "192.0.2.1"}]; !got.Equal(early) {
			t.Errorf("%v, want %v", got, early)
		}
	}
}

func TestLatencyTableIsExported(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rtt.csv")
	if err := os.WriteFile(path, []byte("client,region,rtt_ms,samples\nDE,eu,10,40\nDE,us,90,40\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	written := time.Now().Add(-10 * time.Minute).Truncate(time.Second)
	for age, rows := range map[string]string{"1h": "2", "1m": "0"} {
		if err := os.Chtimes(path, written, written); err != nil {
			t.Fatal(err)
		}
		w := watch(t, strings.Replace(watchedConfig, "admin:", fmt.Sprintf("latency: {file: %q, max_age: %s}\nadmin:", path, age), 1))
		text := w.scrape(t, "text/plain")
		if got := value(text, "meridian_latency_table_rows"); got != rows {
			t.Errorf("max_age %s: %s rows, want %s", age, got, rows)
		}
		if at, err := strconv.ParseFloat(value(text, "meridian_latency_table_timestamp_seconds"), 64); err != nil || int64(at) != written.Unix() {
			t.Errorf("written at %v (%v), want %d", at, err, written.Unix())
		}
	}
}
