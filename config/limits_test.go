package config

import (
	"fmt"
	"strings"
	"testing"
)

// limited is a configuration with a list or value of some size, and the messages of one that is too large.
type limited struct {
	most  int
	of    func(n int) string
	wants string // a part of the only error
}

// repeated returns n items, each from its number.
func repeated(n int, item string) string {
	items := make([]string, n)
	for i := range items {
		items[i] = strings.ReplaceAll(item, "%d", fmt.Sprint(i))
	}
	return "[" + strings.Join(items, ", ") + "]"
}

// inZone returns a configuration with more keys of a zone.
func inZone(keys string) string {
	return "state: state\ntsig: {k: {secret_file: k.key}}\npools:\n  p: {policy: weighted, members: [{name: a, addresses: [192.0.2.1]}]}\n" +
		"zones:\n  example.com:\n    nameservers: {ns1.example.net: []}\n    contact: host@example.com\n    names: {www: {pool: p}}\n" + keys
}

// TestLimitsAreExact gives each list the most that it may have, and one more. The error says where, how many there are, and how many may be.
func TestLimitsAreExact(t *testing.T) {
	for name, c := range map[string]limited{
		"notified": {maxNotified, func(n int) string {
			return inZone("    transfer: {notify: " + repeated(n, "192.0.2.%d") + "}\n")
		}, "config.yaml:10:16: zones.example.com.transfer.notify: 65 servers; at most 64"},
		"update rules": {maxUpdateRules, func(n int) string {
			return inZone("    update: " + repeated(n, `{key: k, names: ["n%d"]}`) + "\n")
		}, "config.yaml:10:5: zones.example.com.update: 101 rules; at most 100"},
		"report agent": {longestAgent, func(n int) string {
			return "server: {report_agent: " + strings.Repeat("a.", n/2-3) + strings.Repeat("b", n%2) + "agent.}\n" + inZone("")
		}, "config.yaml:1:24: server.report_agent: the name has more than 128 characters; write a shorter one: the names of reports have the reported name before it"},
		"update size": {maxUDPSize, func(n int) string {
			return fmt.Sprintf("server: {udp_size: %d}\n", n) + inZone("")
		}, `config.yaml:1:20: server.udp_size: "4097" is out of range; 512 to 4096`},
		"workers": {maxWorkers, func(n int) string {
			return fmt.Sprintf("server: {workers: %d}\n", n) + inZone("")
		}, `config.yaml:1:19: server.workers: "1025" is out of range; 0 to 1024`},
		"connections": {maxConnections, func(n int) string {
			return fmt.Sprintf("server: {tcp: {max: %d}}\n", n) + inZone("")
		}, `config.yaml:1:21: server.tcp.max: "1000001" is out of range; 1 to 1000000`},
		"bias": {MaxBias, func(n int) string {
			return fmt.Sprintf("regions: {eu: {location: [1, 2], bias: %d}}\n", n) + inZone("")
		}, `config.yaml:1:40: regions.eu.bias: "100" is out of range; -99 to 99`},
		"weight": {MaxWeight, func(n int) string {
			return strings.Replace(inZone(""), "name: a,", fmt.Sprintf("name: a, weight: %d,", n), 1)
		}, `pools.p.members[0].weight: "1000001" is out of range; 0 to 1000000`},
		"answers": {maxAnswers, func(n int) string {
			return strings.Replace(inZone(""), "policy: weighted,", fmt.Sprintf("policy: weighted, answers: %d,", n), 1)
		}, `pools.p.answers: "65536" is out of range; 0 to 65535`},
		"TTL": {maxTTL, func(n int) string {
			return inZone(fmt.Sprintf("    ttl: %d\n", n))
		}, `config.yaml:10:10: zones.example.com.ttl: "2147483648" is out of range; `},
		"port": {maxPort, func(n int) string {
			return fmt.Sprintf("checks: {c: {type: tcp, port: %d}}\n", n) + inZone("")
		}, `config.yaml:1:31: checks.c.port: "65536" is out of range; 1 to 65535`},
		"primaries": {maxPrimaries, func(n int) string {
			return inZone("  sec.example.com: {primaries: " + repeated(n, "{address: 192.0.2.%d}") + "}\n")
		}, "config.yaml:10:21: zones.sec.example.com.primaries: 17 servers; at most 16"},
	} {
		if _, _, err := Parse("config.yaml", []byte(c.of(c.most))); err != nil {
			t.Errorf("%s: %d: %v", name, c.most, err)
		}
		_, _, err := Parse("config.yaml", []byte(c.of(c.most+1)))
		if err == nil || !strings.Contains(err.Error(), c.wants) || strings.Count(err.Error(), "config.yaml:") != 1 {
			t.Errorf("%s: %d: %v, want %s", name, c.most+1, err, c.wants)
		}
	}
}

// TestErrorsOfOneRunAreInFileOrder writes one error a line, in every section, and finds each of them in its line.
func TestErrorsOfOneRunAreInFileOrder(t *testing.T) {
	text := `server: {workers: -1}
admin: {listen: here}
log: {level: loud}
geo: {default: nowhere}
regions: {eu: {location: [91, 0]}}
checks: {c: {type: tcp, port: 0}}
pools:
  p: {policy: fair, members: [{name: a, addresses: [192.0.2.1]}]}
  q: {policy: weighted, members: [{name: a, addresses: [192.0.2.01]}]}
  r: {policy: weighted, members: [{name: a, weight: x, addresses: [192.0.2.1]}]}
  s: {policy: weighted, members: [{name: a, pool: t}]}
  t: {policy: weighted, members: [{name: a, pool: none}]}
zones:
  example.com:
    nameservers: {ns.example.com: []}
    contact: host@example.com
    ttl: -1
    names: {www: {pool: missing}}
    unknown: 1
`
	_, _, err := Parse("config.yaml", []byte(text))
	if err == nil {
		t.Fatal("no error")
	}
	var lines []int
	for line := range strings.Lines(err.Error()) {
		var at, column int
		if _, err := fmt.Sscanf(line, "config.yaml:%d:%d:", &at, &column); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if !strings.Contains(line, "; ") {
			t.Errorf("%q has no remedy", line)
		}
		lines = append(lines, at)
	}
	if want := []int{1, 2, 3, 4, 5, 6, 8, 9, 10, 12, 15, 17, 18, 19}; fmt.Sprint(lines) != fmt.Sprint(want) {
		t.Errorf("errors in lines %v, want %v:\n%v", lines, want, err)
	}
}
