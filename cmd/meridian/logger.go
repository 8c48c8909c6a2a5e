package main

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"

	"meridian/config"
	"meridian/snapshot"
)

// logSettings are the level and the format of a log. They can be changed while it is used.
type logSettings struct {
	level slog.LevelVar
	json  atomic.Bool
	first sync.Once
}

// use applies the settings of a configuration.
func (s *logSettings) use(c config.Log) {
	s.level.Set(c.Level)
	s.json.Store(c.JSON)
}

// useFirst returns a builder that applies the settings of the first configuration before it is built: the start logs with them.
func (s *logSettings) useFirst(b snapshot.Builder) snapshot.Builder {
	return func(cfg *config.Config) (*snapshot.Snapshot, []config.Error, error) {
		s.first.Do(func() { s.use(cfg.Log) })
		return b(cfg)
	}
}

// logHandler is a slog.Handler that writes each record in the format that is set at that time.
type logHandler struct {
	*logSettings
	text, json slog.Handler
}

// newLogger returns a logger that writes lines to w, at first as text from level info on.
func newLogger(w io.Writer) (*slog.Logger, *logSettings) {
	s := new(logSettings)
	o := &slog.HandlerOptions{Level: &s.level}
	return slog.New(&logHandler{s, slog.NewTextHandler(w, o), slog.NewJSONHandler(w, o)}), s
}

// Enabled implements slog.Handler.
func (h *logHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.level.Level()
}

// Handle implements slog.Handler.
func (h *logHandler) Handle(ctx context.Context, r slog.Record) error {
	if h.logSettings.json.Load() {
		return h.json.Handle(ctx, r)
	}
	return h.text.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &logHandler{h.logSettings, h.text.WithAttrs(attrs), h.json.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (h *logHandler) WithGroup(name string) slog.Handler {
	return &logHandler{h.logSettings, h.text.WithGroup(name), h.json.WithGroup(name)}
}
