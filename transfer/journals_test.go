package transfer_test

import (
	"log/slog"
	"testing"

	"meridian/config"
	"meridian/transfer"
)

// A process that passes its state to another one closes the journals, and uses them again if the other one fails.
func TestJournalsOfUpdatesAreUsedAgain(t *testing.T) {
	zone := &config.Zone{Name: "example.com.", Journal: config.Journal{Size: 1 << 20, Depth: 10}}
	state := t.TempDir()
	journals := transfer.NewJournals(slog.New(slog.DiscardHandler))
	journals.Use(state)
	if journals.OfUpdates(zone) == nil {
		t.Error("no journal")
	}
	journals.Close()
	if journals.OfUpdates(zone) != nil {
		t.Error("a closed journal is open")
	}
	journals.Use(state)
	if of := journals.OfUpdates(zone); of == nil {
		t.Error("no journal after another process failed")
	} else if s, _ := of.State(); s.File == "" {
		t.Errorf("the journal is in memory: %+v", s)
	}
	journals.Close()
}
