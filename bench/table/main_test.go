package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTableShowsMedianAndSpreadInOrderOfAppearance(t *testing.T) {
	got := tableOf(t, "udp\tnsd\tqueries/s\t200000", "udp\tnsd\tloss %\t0", "tcp\tnsd\tqueries/s\t5.256",
		"udp\tgdnsd\tqueries/s\t7", "udp\tnsd\tqueries/s\t190000", "udp\tnsd\tqueries/s\t220000", "udp\tnsd\tloss %\t0.5")
	want := `
### udp

| | queries/s | loss % |
|---|---|---|
| nsd | 200000 (190000–220000) | 0.25 (0–0.5) |
| gdnsd | 7 |  |

### tcp

| | queries/s |
|---|---|
| nsd | 5.26 |
`
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestCellWithoutValueStaysEmpty(t *testing.T) {
	got := tableOf(t, "tail\tquiet\tstops\t0", "tail\tquiet\tlongest\t-", "tail\tquiet\twaited\t3", "tail\treloads\tlongest\t2", "tail\treloads\tlongest\t-")
	want := `
### tail

| | stops | longest | waited |
|---|---|---|---|
| quiet | 0 |  | 3 |
| reloads |  | 2 |  |
`
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestBadLineIsNamed(t *testing.T) {
	for line, want := range map[string]string{"udp\tnsd\tqueries/s": "results.tsv:2: 3 fields", "udp\tnsd\tq\tmany": `results.tsv:2: "many"`} {
		err := run(write(t, "udp\tnsd\tq\t1", line), os.Stderr)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q in it", line, err, want)
		}
	}
}

func tableOf(t *testing.T, lines ...string) string {
	t.Helper()
	var out strings.Builder
	if err := run(write(t, lines...), &out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func write(t *testing.T, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "results.tsv")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
