package main

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestServeShowsMetricsAndLogsQueries runs the whole of serve: a query is in the metrics and in the query log, also after
// a reload, and a refused reload is in the metrics.
func TestServeShowsMetricsAndLogsQueries(t *testing.T) {
	dir := t.TempDir()
	file, queries := filepath.Join(dir, "meridian.yaml"), filepath.Join(dir, "queries.json")
	write := func(more string) {
		text := `server: {listen: ["127.0.0.1:0"], workers: 1}
admin: {listen: "127.0.0.1:0"}
query_log: {file: queries.json}
pools: {web: {policy: weighted, members: [{name: a, addresses: [192.0.2.1]}]}}
zones: {gslb.example.com: {nameservers: {ns1.example.net: []}, contact: a@example.com, names: {www: {pool: web}}}}
` + more
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("")
	_, stderr := background(t, "serve", "-c", file)
	found := stderr.await(t, `msg=serving listen=(\S+) zones=1 admin=(\S+)`)
	at, admin := found[1], found[2]
	lookUp(t, at, "www.gslb.example.com.")
	said(t, exitOK, "reload", "--server=http://"+admin)
	lookUp(t, at, "www.gslb.example.com.")
	write("servr: {}\n")
	said(t, exitConfig, "reload", "--server=http://"+admin)

	answer, err := http.Get("http://" + admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`meridian_member_answers_total\{member="a",pool="web",region=""\} 2`,
		`meridian_reloads_total\{result="refused"\} 1`, `meridian_reloads_total\{result="success"\} 1`,
		`meridian_config_info\{generation="1",hash="[0-9a-f]{12}"\} 1`, `meridian_config_last_reload_successful 0`,
		`process_resident_memory_bytes `,
	} {
		if !regexp.MustCompile(`(?m)^` + want).Match(text) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	logged := ""
	for end := time.Now().Add(time.Minute); strings.Count(logged, "\n") < 2 && time.Now().Before(end); {
		data, _ := os.ReadFile(queries)
		logged = string(data)
	}
	expectMatch(t, logged, `^(\{"time":"[^"]+","client":"127.0.0.1","name":"www.gslb.example.com.","type":"A","rcode":"NOERROR","transport":"udp","zone":"gslb.example.com.","pool":"web","member":"a","mode":"normal","bytes":\d+\}\n){2}$`)
}
