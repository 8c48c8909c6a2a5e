package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"meridian/daemon"
	"meridian/discovery"
	"meridian/snapshot"
)

// resolveFlag is the --resolve of commands that do not serve: whether to resolve the targets
// of members.
type resolveFlag bool

func addResolveFlag(c *cobra.Command, f *resolveFlag) {
	c.Flags().BoolVar((*bool)(f), "resolve", false, "resolve the targets of members, for at most 5 s")
}

// resolve returns the snapshot with its targets resolved, if the flag is set. It prints to
// stderr the number of targets without an address.
func (f resolveFlag) resolve(ctx context.Context, snapshot *snapshot.Snapshot, stderr io.Writer) (*snapshot.Snapshot, error) {
	names := snapshot.Targets()
	switch {
	case len(names) == 0:
		return snapshot, nil
	case !bool(f):
		fmt.Fprintf(stderr, "note: %s not resolved, so their members are not eligible; --resolve resolves them\n", targets(len(names)))
		return snapshot, nil
	}
	next, unresolved, err := daemon.Resolve(ctx, snapshot, discovery.Options{Logger: slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))})
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
