package server

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"time"

	"meridian/config"
	"meridian/control/event/notify"
	"meridian/pools"
	"meridian/server/answer"
)

// Measurement is what a running server exports as metrics.
type Measurement struct {
	answer.Counters
	Answers     answer.AnswerTotals
	Durations   [answer.TransportCount]answer.Durations
	Reloads     uint64 // those that succeeded
	Refusals    uint64 // reloads that were refused
	Refused     bool   // the last reload was refused, or the last good configuration serves
	Generation  uint64 // of the configuration: 1 at start, one more for each reload
	ConfigHash  string // of its files; empty: they cannot be read
	LoadedAt    time.Time
	Overrides   map[string]int // by kind
	Config      *config.Config
	Tree        *pools.Tree
	GeoBuilt    map[string]time.Time
	BuildPanics uint64
	Notify      []notify.Status
}

// Measure returns the current measurement. ok is false before a configuration serves.
func (c *Control) Measure() (m Measurement, ok bool) {
	at := c.currentView()
	if at.snapshot == nil {
		return m, false
	}
	server := c.instance.server
	m = Measurement{
		Counters: server.Counters(), Answers: server.AnswerTotals(), Durations: server.Durations(),
		Reloads: c.reloads.succeeded.Load(), Refusals: c.reloads.refused.Load(),
		Refused: at.reload.Refused || c.LastGood() != nil, Generation: 1 + c.reloads.succeeded.Load(),
		Overrides: map[string]int{}, Config: at.snapshot.Config, Tree: at.snapshot.Pools, GeoBuilt: at.snapshot.Geo.Built(),
		BuildPanics: c.panics.Load(), Notify: c.instance.notifier.Status(), LoadedAt: at.control.loadedAt, ConfigHash: at.control.hash,
	}
	for _, o := range at.overrides {
		m.Overrides[o.Kind]++
	}
	return m, true
}

// hashDigits is the length of a configuration's hash: enough to tell configurations apart.
const hashDigits = 12

// hashOf returns a hash of the files of a configuration, which is equal on nodes with equal files.
func hashOf(cfg *config.Config) string {
	hash := sha256.New()
	for _, file := range cfg.Files() {
		if cfg.Root != "" {
			file = filepath.Join(cfg.Root, file)
		}
		f, err := os.Open(file)
		if err != nil {
			return ""
		}
		_, err = io.Copy(hash, f)
		f.Close()
		if err != nil {
			return ""
		}
	}
	return hex.EncodeToString(hash.Sum(nil))[:hashDigits]
}

// DrainQueryLog passes the logged queries that have been collected to emit. Between two calls, each worker keeps a limited
// number.
func (c *Control) DrainQueryLog(emit func(*answer.LoggedQuery)) {
	c.instance.server.DrainQueryLog(emit)
}
