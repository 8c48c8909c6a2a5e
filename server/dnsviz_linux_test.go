package server_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"meridian/counterpart"
)

// TestDNSVizFindsNoError has dnsviz probe a zone that Meridian signs, with names that exist, names that do not, and types
// that a name lacks. It marks what it finds correct with [.].
func TestDNSVizFindsNoError(t *testing.T) {
	counterpart.Find(t, "dnsviz")
	if !counterpart.InOwnNetwork(t, meridianAddress) {
		return
	}
	for _, denial := range []string{"compact", "nsec"} {
		t.Run(denial, func(t *testing.T) { dnsvizFindsNoError(t, denial) })
	}
}

func dnsvizFindsNoError(t *testing.T, denial string) {
	built := serveHere(t, signedGslb(denial)).Snapshot()
	dir := t.TempDir()
	anchor, found := filepath.Join(dir, "anchor"), filepath.Join(dir, "probe.json")
	if err := os.WriteFile(anchor, []byte(apexKey(t, built).String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	counterpart.Output(t, "dnsviz", "probe", "-4", "-A", "-a", ".", "-x", "gslb.example.com+:ns1.gslb.example.com="+meridianAddress, "-o", found, "gslb.example.com", "www.gslb.example.com")
	printed := counterpart.Output(t, "dnsviz", "print", "-t", anchor, "-r", found)
	correct := 0
	for line := range strings.Lines(printed) {
		_, status, marked := strings.Cut(line, "[")
		switch {
		case !marked:
		case strings.HasPrefix(status, ".]"):
			correct++
		default:
			t.Error(line)
		}
	}
	if correct < 30 || !strings.Contains(printed, "NODATA") {
		t.Errorf("%d lines:\n%s", correct, printed)
	}
}
