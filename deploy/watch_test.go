package deploy_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"meridian/counterpart"

	"gopkg.in/yaml.v3"
)

// dashboard has the parts of a Grafana dashboard that the tests need.
type dashboard struct {
	UID        string `json:"uid"`
	Title      string `json:"title"`
	Templating struct {
		List []struct{ Name, Query, Type string } `json:"list"`
	} `json:"templating"`
	Panels []struct {
		ID      int    `json:"id"`
		Title   string `json:"title"`
		GridPos struct{ H, W, X, Y int }
		Targets []struct {
			Expr string `json:"expr"`
		} `json:"targets"`
	} `json:"panels"`
}

// dashboards returns the dashboards by file.
func dashboards(t *testing.T) map[string]dashboard {
	t.Helper()
	files, err := filepath.Glob("grafana/*.json")
	if err != nil || len(files) != 4 {
		t.Fatalf("%d dashboards (%v), want overview, pools, health and server", len(files), err)
	}
	all := map[string]dashboard{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var d dashboard
		if err := json.Unmarshal(text, &d); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all[file] = d
	}
	return all
}

// alert is an alerting rule.
type alert struct {
	Alert, Expr string
	Labels      struct{ Severity string }
	Annotations struct{ Summary, Runbook string }
}

func alerts(t *testing.T) []alert {
	t.Helper()
	text, err := os.ReadFile("prometheus/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct{ Rules []alert }
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	return file.Groups[0].Rules
}

// expressions returns every expression of the alerts and dashboards, by the place that has it. Variables of Grafana have
// values.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, a := range alerts(t) {
		all["alert "+a.Alert+", "+a.Labels.Severity] = a.Expr
	}
	values := strings.NewReplacer("$__rate_interval", "5m", "$instance", ".*", "$pool", ".*", "$check", ".*")
	for file, d := range dashboards(t) {
		for _, p := range d.Panels {
			for i, target := range p.Targets {
				all[fmt.Sprintf("%s, panel %d %q, %d", file, p.ID, p.Title, i)] = values.Replace(target.Expr)
			}
		}
		for _, v := range d.Templating.List {
			if labels := regexp.MustCompile(`^label_values\((\w+), \w+\)$`).FindStringSubmatch(v.Query); labels != nil {
				all[file+", variable "+v.Name] = labels[1]
			}
		}
	}
	return all
}

// The reference lists exactly the metrics that are exported: a test of the package telemetry compares them.
func TestAlertsAndDashboardsNameOnlyMetricsThatExist(t *testing.T) {
	page, err := os.ReadFile("../docs/reference/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(meridian_\\w+)` \\| (\\w+) \\|").FindAllStringSubmatch(string(page), -1) {
		known[row[1]] = row[2]
	}
	for place, expr := range expressions(t) {
		for _, name := range regexp.MustCompile(`meridian_\w+`).FindAllString(expr, -1) {
			base := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
			if known[name] == "" && known[base] != "histogram" {
				t.Errorf("%s has %s, which is not in docs/reference/metrics.md", place, name)
			}
		}
	}
}

func TestRunbooksOfAlertsExist(t *testing.T) {
	page, err := os.ReadFile("../docs/guides/troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range alerts(t) {
		want := "docs/guides/troubleshooting.md#" + strings.ToLower(a.Alert)
		if a.Annotations.Runbook != want || !strings.Contains(string(page), "\n### "+a.Alert+"\n") {
			t.Errorf("%s has runbook %s; want %s, and a section with that heading", a.Alert, a.Annotations.Runbook, want)
		}
	}
	for _, heading := range regexp.MustCompile(`(?m)^### (Meridian\w+)$`).FindAllStringSubmatch(string(page), -1) {
		found := false
		for _, a := range alerts(t) {
			found = found || a.Alert == heading[1]
		}
		if !found {
			t.Errorf("the page has a section %s, which is no alert", heading[1])
		}
	}
}

func TestDashboardsAreWellFormed(t *testing.T) {
	uids := map[string]string{}
	for file, d := range dashboards(t) {
		if other, taken := uids[d.UID]; taken || d.UID == "" || d.Title == "" {
			t.Errorf("%s: uid %q is that of %q, or it has no title", file, d.UID, other)
		}
		uids[d.UID] = file
		ids := map[int]bool{}
		for _, p := range d.Panels {
			if ids[p.ID] || p.Title == "" || len(p.Targets) == 0 || p.GridPos.X+p.GridPos.W > 24 {
				t.Errorf("%s: panel %d %q has the id of another, no title, no query or no place", file, p.ID, p.Title)
			}
			ids[p.ID] = true
		}
	}
}

func TestPromtoolAcceptsAlertsAndDashboards(t *testing.T) {
	promtool := counterpart.Find(t, "promtool")
	var rules strings.Builder
	rules.WriteString("groups:\n  - name: dashboards\n    rules:\n")
	places, n := map[string]string{}, 0
	for place, expr := range expressions(t) {
		n++
		name := fmt.Sprintf("expression_%d", n)
		places[name] = place
		fmt.Fprintf(&rules, "      - {record: %s, expr: %q}\n", name, expr)
	}
	file := filepath.Join(t.TempDir(), "expressions.yaml")
	if err := os.WriteFile(file, []byte(rules.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"check", "rules", "prometheus/alerts.yaml"}, {"check", "rules", file}, {"test", "rules", "prometheus/alerts_test.yaml"}} {
		if out, err := exec.Command(promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s\n%v", strings.Join(args, " "), err, out, places)
		}
	}
}

// Every alert has a unit test.
func TestEveryAlertIsTested(t *testing.T) {
	text, err := os.ReadFile("prometheus/alerts_test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range alerts(t) {
		if !strings.Contains(string(text), "alertname: "+a.Alert+"\n") {
			t.Errorf("%s has no test in prometheus/alerts_test.yaml", a.Alert)
		}
	}
}
