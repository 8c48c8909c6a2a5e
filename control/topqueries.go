package control

import (
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"meridian/config"
	"meridian/control/event"
	"meridian/control/top"
	"meridian/server/answer"
)

// drainInterval is the interval at which sampled queries are collected; a worker keeps a limited number.
const drainInterval = 200 * time.Millisecond

// topQueries holds the sampled queries, if the configuration has them sampled.
type topQueries struct {
	reporting sync.Mutex                // held from a change of floods until it is reported, so that reports are in order
	table     atomic.Pointer[top.Table] // nil: off
	begun     [4]atomic.Uint64          // floods, by the index in top.Kinds
}

// use applies the settings of a configuration. It returns the floods that are no longer looked at.
func (q *topQueries) use(settings *config.Top, now time.Time) (ended []top.Flood) {
	table := q.table.Load()
	switch {
	case !settings.Enabled:
		if q.table.Store(nil); table != nil {
			return table.Floods()
		}
	case table == nil:
		q.table.Store(top.New(settings.Flood, now))
	default:
		table.SetFlood(settings.Flood)
	}
	return nil
}

// CollectSamples adds the sampled queries to those of the last minute, and looks for floods. It returns when it is due
// again. One goroutine calls it.
func (c *Control) CollectSamples() (next time.Duration) {
	defer c.RecoverPanic("sampled queries")
	c.top.reporting.Lock()
	defer c.top.reporting.Unlock()
	table, now := c.top.table.Load(), time.Now()
	if table == nil {
		c.server.SampleQueries(0)
		c.server.DrainSamples(func(*answer.Sample) {})
		return time.Second
	}
	c.server.DrainSamples(func(s *answer.Sample) { table.Add(s, now) })
	c.server.SampleQueries(table.Every(now))
	begun, ended := table.Tick(now, c.lastFloodRule)
	for i := range begun {
		c.top.count(begun[i].Kind)
		c.reportFlood(slog.LevelWarn, "flood began", &begun[i])
	}
	c.reportFloodsEnded(ended)
	return drainInterval
}

// useTop applies the settings of a configuration.
func (c *Control) useTop(settings *config.Top) {
	c.top.reporting.Lock()
	defer c.top.reporting.Unlock()
	c.reportFloodsEnded(c.top.use(settings, time.Now()))
}

// maxFloodRule is the largest number of a rule that is taken for that of a flood.
const maxFloodRule = 1 << 30

// lastFloodRule returns the largest number of the rules of the filter that are named flood-NUMBER, as the commands of floods
// name them: after a restart a new flood must not replace the rule of an earlier one.
func (c *Control) lastFloodRule() (last int) {
	note := func(name string) {
		if digits, ok := strings.CutPrefix(name, "flood-"); ok {
			if n, err := strconv.Atoi(digits); err == nil && n <= maxFloodRule {
				last = max(last, n)
			}
		}
	}
	at := c.currentView()
	if at.Snapshot == nil { // no generation serves yet
		return 0
	}
	for i := range at.filters {
		note(at.filters[i].Name)
	}
	for i := range at.Snapshot.Config.Server.Filter {
		note(at.Snapshot.Config.Server.Filter[i].Name)
	}
	return last
}

func (c *Control) reportFloodsEnded(ended []top.Flood) {
	for i := range ended {
		c.reportFlood(slog.LevelInfo, "flood ended", &ended[i])
	}
}

// count counts a flood that begins.
func (q *topQueries) count(kind top.Kind) {
	for i, k := range top.Kinds() {
		if k == kind {
			q.begun[i].Add(1)
		}
	}
}

// reportFlood reports that a flood has begun or ended.
func (c *Control) reportFlood(level slog.Level, message string, f *top.Flood) {
	severity, text := event.Info, fmt.Sprintf("the flood of %s has ended after %s queries", DescribeFlooded(f), roundText(f.Queries))
	if level >= slog.LevelWarn {
		severity, text = event.Warning, DescribeFlood(f)
	}
	fields := map[string]string{"rate": roundText(f.Rate), "usual": roundText(f.Usual), "peak": roundText(f.Peak)}
	if f.Command != "" {
		fields["command"] = f.Command
	}
	c.report(level, message, []any{"kind", f.Kind, "key", f.Key, "rate", fields["rate"], "usual", fields["usual"], "peak", fields["peak"], "queries", roundText(f.Queries), "command", f.Command},
		event.Event{Kind: event.Flood, Severity: severity, Subject: f.Subject(), Message: text, Fields: fields})
}

// DescribeFlood describes a flood: "queries for www.example.com.: 52000 a second, usual 120".
func DescribeFlood(f *top.Flood) string {
	return fmt.Sprintf("%s: %s a second, usual %s", DescribeFlooded(f), roundText(f.Rate), roundText(f.Usual))
}

// DescribeFlooded describes the queries of a flood.
func DescribeFlooded(f *top.Flood) string {
	switch f.Kind {
	case top.BySource:
		return "queries from " + f.Key
	case top.ByZone:
		return "queries for random names in " + f.Key
	case top.ByType:
		return "queries of type " + f.Key
	}
	return "queries for " + f.Key
}

// roundText returns a number with two digits that count: it is an estimate.
func roundText(n float64) string {
	if n < 1 {
		return "0"
	}
	unit := math.Pow(10, max(0, math.Floor(math.Log10(n))-1))
	return strconv.FormatFloat(math.Round(n/unit)*unit, 'f', 0, 64)
}

// Top reports the most frequent queries of the last minute, with at most limit entries of each list.
func (c *Control) Top(limit int) (*top.Report, error) {
	table := c.top.table.Load()
	if table == nil {
		return nil, &RequestError{What: "queries are not sampled", Hint: "write server: {top: {enabled: true}} in the configuration"}
	}
	return table.Report(time.Now(), limit), nil
}

// Floods returns the present floods, the one with the highest rate first.
func (c *Control) Floods() []top.Flood {
	if table := c.top.table.Load(); table != nil {
		return table.Floods()
	}
	return nil
}

// FloodCounts counts the floods of a kind.
type FloodCounts struct {
	Present int
	Begun   uint64 // since the start
}

func (c *Control) floodCounts() map[top.Kind]FloodCounts {
	counts := map[top.Kind]FloodCounts{}
	for i, kind := range top.Kinds() {
		counts[kind] = FloodCounts{Begun: c.top.begun[i].Load()}
	}
	for _, f := range c.Floods() {
		n := counts[f.Kind]
		n.Present++
		counts[f.Kind] = n
	}
	return counts
}
