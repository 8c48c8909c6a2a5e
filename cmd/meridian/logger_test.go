package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"meridian/config"
	"meridian/counterpart"
)

func TestLoggerFollowsItsSettings(t *testing.T) {
	var out bytes.Buffer
	log, settings := newLogger(&out)
	derived := log.With("target", "a").WithGroup("g")
	log.Debug("hidden")
	derived.Info("shown", "key", 1)
	settings.use(config.Log{Level: slog.LevelWarn, JSON: true})
	derived.Info("hidden")
	derived.Warn("shown", "key", 2)
	lines := strings.Split(out.String(), "\n")
	if len(lines) != 3 || !strings.HasSuffix(lines[0], " level=INFO msg=shown target=a g.key=1") {
		t.Fatalf("logged %q", lines)
	}
	var of struct {
		Msg, Level, Target string
		G                  struct{ Key int }
	}
	if err := json.Unmarshal([]byte(lines[1]), &of); err != nil || of.Msg != "shown" || of.Level != "WARN" || of.Target != "a" || of.G.Key != 2 {
		t.Errorf("logged %s: %+v, %v", lines[1], of, err)
	}
}

func TestServeLogsAsItsConfigurationSays(t *testing.T) {
	t.Parallel()
	api, file := freeAddress(t), filepath.Join(t.TempDir(), "meridian.yaml")
	write := func(log string) {
		writeFile(t, file, fmt.Sprintf("log: %s\nserver: {listen: [\"127.0.0.1:0\"], workers: 1}\nadmin: {listen: %q}\n", log, api))
	}
	write("{format: json}")
	ctx, cancel := context.WithCancel(t.Context())
	stderr, code := new(transcript), make(chan int, 1)
	go func() { code <- run(ctx, []string{"serve", "-c", file}, new(transcript), stderr) }()
	stderr.await(t, `"msg":"serving"`)
	write("{level: error}")
	counterpart.Await(t, func() error {
		if code, out := (&sharingNode{api: api}).try(t, "reload"); code != exitOK {
			return fmt.Errorf("reload: exit %d\n%s", code, out)
		}
		return nil
	})
	cancel()
	if c := <-code; c != exitOK {
		t.Errorf("exit %d\n%s", c, stderr)
	}
	if text := stderr.String(); strings.Contains(text, "stopped") || strings.Contains(text, "level=INFO") {
		t.Errorf("logged after the reload:\n%s", text)
	}
}
