package control

import (
	"log/slog"
	"testing"
	"time"

	"meridian/server"
)

// TestAddedFiltersAreRestoredAndExpire restores the rules of another process, of which one has ended, and ends the other.
func TestAddedFiltersAreRestoredAndExpire(t *testing.T) {
	c, now := New(server.NewEmpty(server.Options{}), slog.New(slog.DiscardHandler)), time.Now()
	c.Restore(Restored{Filters: []Filter{
		{Name: "lasts", Types: []string{"ANY"}, Action: "drop", Until: now.Add(time.Hour)},
		{Name: "ended", Source: []string{"192.0.2.0/24"}, Action: "refuse", Until: now.Add(-time.Second)},
	}})
	if all := c.Filters(); len(all) != 1 || all[0].Name != "lasts" || all[0].Configured || all[0].Types[0] != "ANY" || len(c.SaveFilters()) != 1 {
		t.Errorf("restored %+v", all)
	}
	expire := func(at time.Time) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.expireFiltersLocked(at)
	}
	expire(now.Add(time.Hour - 1))
	if len(c.Filters()) != 1 || len(c.Events().Save()) != 0 {
		t.Error("a rule ended before its time")
	}
	expire(now.Add(time.Hour))
	events := c.Events().Save()
	if len(c.Filters()) != 0 || len(events) != 1 || events[0].Kind != "filter" || events[0].Message != "rule expired: drops queries of type ANY" {
		t.Errorf("%+v, events %+v", c.Filters(), events)
	}
}
