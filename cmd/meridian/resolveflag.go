package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"meridian/resolver"
	"meridian/server"
	"meridian/zones"
)

// resolveFlag is the --resolve of verbs that do not serve: whether names that are
// members of pools are resolved.
type resolveFlag bool

func addResolveFlag(c *cobra.Command, f *resolveFlag) {
	c.Flags().BoolVar((*bool)(f), "resolve", false, "resolve the targets of members, for at most 5 s")
}

// resolve is snapshot with its targets resolved where the flag says so. What has
// no address then is told on stderr, and that nothing was resolved.
func (f resolveFlag) resolve(ctx context.Context, snapshot *zones.Snapshot, stderr io.Writer) (*zones.Snapshot, error) {
	names := snapshot.Targets()
	switch {
	case len(names) == 0:
		return snapshot, nil
	case !bool(f):
		fmt.Fprintf(stderr, "note: %s not resolved and their members not eligible; --resolve asks for their addresses\n", targets(len(names)))
		return snapshot, nil
	}
	next, unresolved, err := server.Resolve(ctx, snapshot, resolver.Options{Logger: slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err == nil && len(unresolved) > 0 {
		fmt.Fprintf(stderr, "warning: %s without an address\n", targets(len(unresolved)))
	}
	return next, err
}

func targets(n int) string {
	if n == 1 {
		return "1 target"
	}
	return fmt.Sprintf("%d targets", n)
}
