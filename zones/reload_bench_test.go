package zones_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"meridian/config"
	"meridian/zones"
)

// BenchmarkReload compiles 10,000 zones with master files of 10 records, of which one has changed: with all files parsed,
// and with the records of the files that have not changed. It reports the processor time.
func BenchmarkReload(b *testing.B) {
	const count = 10_000
	dir := b.TempDir()
	var text strings.Builder
	text.WriteString("zones:\n")
	for i := range count {
		path := filepath.Join(dir, fmt.Sprintf("%d.zone", i))
		writeZone(b, path, 0)
		fmt.Fprintf(&text, "  z%d.example.com: {file: %s}\n", i, path)
	}
	cfg, _, err := config.Parse(filepath.Join(dir, "meridian.yaml"), []byte(text.String()))
	if err != nil {
		b.Fatal(err)
	}
	for _, reuse := range []bool{false, true} {
		b.Run(map[bool]string{false: "parsed", true: "reused"}[reuse], func(b *testing.B) {
			data, report := zones.Compile(cfg)
			if data == nil {
				b.Fatal(report.Join())
			}
			begun := cpuTime(b)
			for serial := 1; b.Loop(); serial++ {
				writeZone(b, filepath.Join(dir, "7.zone"), serial)
				var before *zones.Masters
				if reuse {
					before = data.Masters()
				}
				data, _ = zones.CompileWith(cfg, nil, before)
			}
			b.ReportMetric((cpuTime(b)-begun)*1000/float64(b.N), "cpu-ms/op")
		})
	}
}

func writeZone(tb testing.TB, path string, serial int) {
	tb.Helper()
	text := fmt.Sprintf("$TTL 300\n@ SOA ns.outside. host.outside. %d 60 30 3600 60\n@ NS ns.outside.\n", serial)
	for i := range 8 {
		text += fmt.Sprintf("host%d A 192.0.2.%d\n", i, i)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
}

// cpuTime returns the processor time of this process in seconds.
func cpuTime(tb testing.TB) float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		tb.Fatal(err)
	}
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
}
