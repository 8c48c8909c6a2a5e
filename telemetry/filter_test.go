package telemetry

import (
	"strings"
	"testing"
)

// TestScrapeShowsFilteredQueries checks the count of each rule of the filter.
func TestScrapeShowsFilteredQueries(t *testing.T) {
	rules := `filter: [{name: no-www, names: [www.example.com.], action: refuse}, {name: unused, types: [ANY], action: drop}]`
	w := watch(t, strings.Replace(watchedConfig, "workers: 1}", "workers: 1, "+rules+"}", 1))
	for range 3 {
		w.ask(t, "www.example.com.")
	}
	w.ask(t, "plain.example.com.")
	text := w.scrape(t, "text/plain")
	for series, want := range map[string]string{
		`meridian_filtered_total{action="refuse",rule="no-www"}`: "3",
		`meridian_filtered_total{action="drop",rule="unused"}`:   "0",
		`meridian_dropped_total{reason="filter"}`:                "0",
		`meridian_responses_total{rcode="REFUSED"}`:              "3",
	} {
		if got := value(text, series); got != want {
			t.Errorf("%s %q, want %s", series, got, want)
		}
	}
}
