package zones_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"meridian/zones"
)

// TestSerialPolicyDecidesOverTheFile changes the configuration and the file at known times.
func TestSerialPolicyDecidesOverTheFile(t *testing.T) {
	soa := func(serial uint32) string {
		return fmt.Sprintf("@ 300 IN SOA ns.example.net. h %d 2 3 4 5\n@ 300 IN NS ns.example.net.\n", serial)
	}
	old, young := time.Unix(1_700_000_000, 0), time.Unix(1_700_003_600, 0)
	const higher = "is higher than that by time, 1700003600: secondaries that have it keep their copy"
	for _, c := range []struct {
		name, policy string
		in           uint32
		config, file time.Time
		want         uint32
		warning      string
	}{
		{"keep", "keep", 7, young, old, 7, ""},
		{"without a policy", "", 7, young, old, 7, ""},
		{"the configuration is younger", "unixtime", 7, young, old, 1_700_003_600, ""},
		{"the file is younger", "unixtime", 7, old, young, 1_700_003_600, ""},
		{"a date before", "unixtime", 2_026_112_901, old, young, 1_700_003_600, higher},
	} {
		t.Run(c.name, func(t *testing.T) {
			policy := ""
			if c.policy != "" {
				policy = ", serial: " + c.policy
			}
			text := "zones: {example.com: {file: z" + policy + "}}"
			cfg := load(t, text, map[string]string{"z": soa(c.in), "meridian.yaml": text})
			dir := filepath.Dir(cfg.File)
			for name, at := range map[string]time.Time{"meridian.yaml": c.config, "z": c.file} {
				if err := os.Chtimes(filepath.Join(dir, name), at, at); err != nil {
					t.Fatal(err)
				}
			}
			data, report := zones.Compile(cfg)
			warnings, err := report.Join()
			if err != nil {
				t.Fatal(err)
			}
			if got := data.Serial(0); got != c.want {
				t.Errorf("serial %d, want %d", got, c.want)
			}
			if text := fmt.Sprint(warnings); (c.warning == "") != (len(warnings) == 0) || !strings.Contains(text, c.warning) {
				t.Errorf("warnings %s, want %q", text, c.warning)
			}
		})
	}
}

// TestPresignedZoneKeepsItsSerial checks that a signed SOA record is not changed.
func TestPresignedZoneKeepsItsSerial(t *testing.T) {
	zone, err := os.ReadFile("../server/answer/testdata/presigned/nsec.zone")
	if err != nil {
		t.Fatal(err)
	}
	_, report := zones.Compile(load(t, "zones: {example.com: {file: z, serial: unixtime}}", map[string]string{"z": string(zone)}))
	_, err = report.Join()
	if err == nil || !strings.Contains(err.Error(), "zones.example.com.serial: the SOA record of the file is signed with its serial") {
		t.Errorf("got %v", err)
	}
}
