package telemetry

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/counterpart"
)

func TestSignaturesAndKeysAreExported(t *testing.T) {
	const names = "names: {www: {pool: web}, plain: {pool: plain}}\n"
	w := watch(t, strings.Replace(watchedConfig, names, "dnssec: default\n    "+names, 1)+"dnssec: {keys: "+t.TempDir()+"/keys}\n")
	for range 2 {
		q := new(dns.Msg)
		q.SetQuestion("www.example.com.", dns.TypeA)
		q.SetEdns0(1232, true)
		if a, err := counterpart.Exchange(q, w.dns.String()); err != nil || len(a.Answer) != 2 {
			t.Fatalf("%v %v", a, err)
		}
	}
	text := w.scrape(t, "text/plain")
	for series, want := range map[string]string{
		"meridian_dnssec_signatures_total":             "1",
		"meridian_dnssec_cache_hits_total":             "1",
		"meridian_dnssec_cache_misses_total":           "2", // of the worker and of the one that signs
		"meridian_dnssec_cache_entries":                "1",
		"meridian_dnssec_queue_full_total":             "0",
		"meridian_dnssec_cache_evictions_total":        "0",
		"meridian_dnssec_sign_seconds_count":           "1",
		`meridian_dnssec_ds_seen{zone="example.com."}`: "0",
	} {
		if got := value(text, series); got != want {
			t.Errorf("%s is %q, want %q", series, got, want)
		}
	}
	if !regexp.MustCompile(`(?m)^meridian_dnssec_key\{role="csk",state="active",tag="\d+",zone="example.com."\} 1$`).MatchString(text) {
		t.Error("no meridian_dnssec_key of the active CSK")
	}
	expiry, _ := strconv.ParseFloat(value(text, `meridian_dnssec_rrsig_expiry_seconds{zone="example.com."}`), 64)
	if day := 24 * time.Hour.Seconds(); expiry < 2*day-60 || expiry > 3*day { // validity: 3d, refresh: 1d
		t.Errorf("signatures expire in %v s, want two to three days", expiry)
	}
}
