package telemetry

import "testing"

// A zone waits for its first transfer while its primary cannot be reached.
func TestZoneOfPrimariesIsExported(t *testing.T) {
	w := watch(t, watchedConfig+"  copied.test: {primaries: [{address: \"127.0.0.1:1\"}]}\ncatalogs: {catalog.test: {primaries: [{address: \"127.0.0.1:1\"}]}}\n")
	text := w.scrape(t, "text/plain")
	if got := value(text, `meridian_secondary_ready{zone="copied.test."}`); got != "0" {
		t.Errorf("ready is %q, want 0", got)
	}
	if got := value(text, `meridian_secondary_serial{zone="copied.test."}`); got != "" {
		t.Errorf("serial is %q without a copy", got)
	}
	for _, series := range []string{`meridian_secondary_ready{zone="catalog.test."}`, `meridian_catalog_members{catalog="catalog.test.",state="listed"}`, `meridian_catalog_conflicts{catalog="catalog.test."}`} {
		if got := value(text, series); got != "0" {
			t.Errorf("%s is %q, want 0", series, got)
		}
	}
	if got := value(text, `meridian_notifies_total{result="accepted"}`); got != "0" {
		t.Errorf("accepted notifications are %q, want 0", got)
	}
}
