package config

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const page = "../docs/reference/configuration.md"

func readPage(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Each section of the reference has exactly the keys that the decoder accepts there. The decoder lists them for an
// unknown key: the documents here have such a key, for each kind of mapping.
func TestReferenceHasEveryKey(t *testing.T) {
	sections := map[string][]string{
		"The file":                {"?: 1"},
		"cluster":                 {"cluster: {?: 1}"},
		"cluster.etcd":            {"cluster: {etcd: {?: 1}}"},
		"cluster.failsafe":        {"cluster: {failsafe: {?: 1}}"},
		"cluster.etcd.tls":        {"cluster: {etcd: {tls: {?: 1}}}"},
		"checks.quorum":           {"checks: {a: {type: http, quorum: {?: 1}}}"},
		"server":                  {"server: {?: 1}"},
		"server.tcp":              {"server: {tcp: {?: 1}}"},
		"server.listen_https":     {"server: {listen_https: {?: 1}}"},
		"server.tls":              {"server: {tls: {?: 1}}"},
		"server.tls.certificates": {"server: {tls: {certificates: [{?: 1}]}}"},
		"server.encrypted":        {"server: {encrypted: {?: 1}}"},
		"server.cookies":          {"server: {cookies: {?: 1}}"},
		"server.proxy":            {"server: {proxy: {?: 1}}"},
		"server.rate_limit":       {"server: {rate_limit: {?: 1}}"},
		"server.xdp":              {"server: {xdp: {?: 1}}"},
		"server.top":              {"server: {top: {?: 1}}"},
		"zones.journal":           {"zones: {a: {journal: {?: 1}}}"},
		"zones.update":            {"zones: {a: {update: [{?: 1}]}}"},
		"server.filter":           {"server: {filter: [{?: 1}]}"},
		"admin":                   {"admin: {?: 1}"},
		"admin.tls":               {"admin: {tls: {?: 1}}"},
		"guardrails":              {"guardrails: {?: 1}"},
		"maintenance":             {"maintenance: {a: {?: 1}}"},
		"metrics":                 {"metrics: {?: 1}"},
		"log":                     {"log: {?: 1}"},
		"query_log":               {"query_log: {?: 1}"},
		"resolver_stats":          {"resolver_stats: {?: 1}"},
		"geo":                     {"geo: {?: 1}"},
		"geo.networks":            {"geo: {networks: {10.0.0.0/8: {?: 1}}}"},
		"latency":                 {"latency: {?: 1}"},
		"regions":                 {"regions: {a: {?: 1}}"},
		"checks":                  everyType(),
		"checks.checks":           {"checks: {a: {type: all, checks: [{?: 1}]}}"},
		"checks.tls":              {"checks: {a: {type: https, tls: {?: 1}}}"},
		"loads":                   everyLoad(),
		"loads.tls":               {"loads: {a: {type: json, tls: {?: 1}}}"},
		"pools.shed":              {"pools: {a: {shed: {?: 1}}}"},
		"pools.hash":              {"pools: {a: {hash: {?: 1}}}"},
		"health":                  {"health: {?: 1}"},
		"checks.flap_damping":     {"checks: {a: {type: http, flap_damping: {?: 1}}}"},
		"checks.idle":             {"checks: {a: {type: http, idle: {?: 1}}}"},
		"pools":                   {"pools: {a: {?: 1}}"},
		"pools.members.match":     {"pools: {a: {policy: geolocation, members: [{match: {?: 1}}]}}"},
		"pools.members.check":     {"pools: {a: {members: [{check: {?: 1}}]}}"},
		"pools.members":           {"pools: {a: {members: [{?: 1}]}}"},
		"pools.members.target":    {"pools: {a: {members: [{target: {?: 1}}]}}"},
		"pools.members.records":   {"pools: {a: {members: [{records: {?: 1}}]}}"},
		"zones":                   {"zones: {a: {?: 1}}"},
		"dnssec":                  {"dnssec: {?: 1}"},
		"dnssec.policies":         {"dnssec: {policies: {a: {?: 1}}}"},
		"tsig":                    {"tsig: {a: {?: 1}}"},
		"dnssec.policies.parent":  {"dnssec: {policies: {a: {parent: {?: 1}}}}"},
		"notify":                  {"notify: [{?: 1}]"},
		"zones.transfer":          {"zones: {a: {transfer: {?: 1}}}"},
		"zones.transfer.notify":   {"zones: {a: {transfer: {notify: [{?: 1}]}}}"},
		"zones.transfer.out":      {"zones: {a: {transfer: {out: [{?: 1}]}}}"},
		"catalogs":                {"catalogs: {a: {?: 1}}"},
		"catalogs.template":       {"catalogs: {a: {template: {?: 1}}}", "catalogs: {a: {groups: {b: {?: 1}}}}"},
		"zones.catalog":           {"zones: {a: {catalog: {?: 1}}}"},
		"zones.transfer.out.tls":  {"zones: {a: {transfer: {out: [{tls: {?: 1}}]}}}"},
		"views":                   {"views: {a: {?: 1}}"},
		"views.match":             {"views: {a: {match: {?: 1}}}"},
		"zones.names.views":       {"zones: {a: {names: {b: {views: {c: {?: 1}}}}}}"},
		"zones.primaries":         {"zones: {a: {primaries: [{?: 1}]}}"},
		"zones.primaries.tls":     {"zones: {a: {primaries: [{tls: {?: 1}}]}}"},
		"zones.names":             {"zones: {a: {names: {b: {?: 1}}}}"},
		"zones.names.https":       {"zones: {a: {names: {b: {https: {?: 1}}}}}"},
	}
	written := tables(readPage(t))
	if got, want := slices.Sorted(maps.Keys(written)), slices.Sorted(maps.Keys(sections)); !slices.Equal(got, want) {
		t.Errorf("the page has tables under %q, want %q", got, want)
	}
	for section, documents := range sections {
		keys := make(map[string]bool)
		for _, document := range documents {
			for _, key := range knownKeys(t, strings.Replace(document, "?", "qqqqqqqq", 1)) {
				keys[key] = true
			}
		}
		got := slices.Sorted(slices.Values(written[section]))
		if want := slices.Sorted(maps.Keys(keys)); !slices.Equal(got, want) {
			t.Errorf("%s: the page has %q, the decoder %q", section, got, want)
		}
	}
}

// everyType returns a document with a check of each type.
func everyType() []string {
	var documents []string
	for _, kind := range checkTypes() {
		documents = append(documents, "checks: {a: {type: "+kind+", ?: 1}}")
	}
	return documents
}

// everyLoad returns a document with a load of each type.
func everyLoad() []string {
	var documents []string
	for _, kind := range loadTypes() {
		documents = append(documents, "loads: {a: {type: "+kind+", ?: 1}}")
	}
	return documents
}

// knownKeys returns the keys that the message about an unknown key lists.
func knownKeys(t *testing.T, document string) []string {
	t.Helper()
	_, _, err := Parse("f", []byte(document))
	match := regexp.MustCompile(`unknown key "qqqqqqqq"; known: (.*)`).FindStringSubmatch(err.Error())
	if match == nil {
		t.Fatalf("%s: %v", document, err)
	}
	return strings.Split(match[1], ", ")
}

// tables returns the keys in the first column of the table under each heading.
func tables(text string) map[string][]string {
	found := make(map[string][]string)
	heading := ""
	row := regexp.MustCompile("^\\| `([a-zA-Z0-9_]+)` \\|")
	for line := range strings.Lines(text) {
		if title, ok := strings.CutPrefix(line, "## "); ok {
			heading = strings.TrimSpace(title)
		}
		if match := row.FindStringSubmatch(line); match != nil {
			found[heading] = append(found[heading], match[1])
		}
	}
	return found
}

func TestReferenceExamplesAreValid(t *testing.T) {
	examples := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(readPage(t), -1)
	if len(examples) == 0 {
		t.Fatal("no examples")
	}
	for _, example := range examples {
		if _, _, err := Parse("example.yaml", []byte(example[1])); err != nil {
			t.Errorf("%v in\n%s", err, example[1])
		}
	}
}

func TestReferenceMessageMatchesTheDecoder(t *testing.T) {
	_, _, err := Parse("config.yaml", []byte(strings.Repeat("\n", 9)+"pools:\n  web:\n    policy:  proximty\n    members: []\n"))
	message, _, _ := strings.Cut(err.Error(), "\n")
	if !strings.Contains(readPage(t), "    "+message+"\n") {
		t.Errorf("the page has another message than %q", message)
	}
}

func TestReferenceHasTheDefaults(t *testing.T) {
	text := readPage(t)
	d := newDefaults()
	https := d.check
	https.Type = HTTPS
	https.ofType()
	for key, want := range map[string]any{
		"workers":      d.server.Workers,
		"udp_size":     d.server.UDPSize,
		"ecs":          d.server.ECS,
		"idle":         d.server.TCP.Idle,
		"max":          d.server.TCP.Max,
		"per_client":   d.server.TCP.PerClient,
		"detail":       d.metrics.Detail,
		"max_series":   d.metrics.MaxSeries,
		"sample":       d.queryLog.Sample,
		"interval":     d.check.Interval,
		"timeout":      d.check.Timeout,
		"rise":         d.check.Rise,
		"fall":         d.check.Fall,
		"confirm":      d.check.Confirm,
		"hold_down":    d.check.HoldDown,
		"failback":     d.check.Failback,
		"slow_start":   d.check.SlowStart,
		"turns":        d.damping.Turns,
		"warn_days":    d.check.TLS.WarnDays,
		"method":       https.Method,
		"path":         https.Path,
		"min_up":       d.pool.MinUp.N,
		"fail_open":    d.pool.FailOpen,
		"dual_stack":   d.pool.DualStack,
		"weight":       d.member.Weight,
		"enabled":      d.member.Enabled,
		"negative_ttl": d.zone.NegativeTTL,
	} {
		row := fmt.Sprintf("(?m)^\\| `%s` \\|[^|]*\\| `%v`", key, want)
		if !regexp.MustCompile(row).MatchString(text) {
			t.Errorf("the page does not say that %s is %v unless written", key, want)
		}
	}
}
