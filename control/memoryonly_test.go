package control

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"meridian/control/state"
	"meridian/pools"
)

// TestOverrideSaysThatItIsNotSaved has a state folder that cannot be written, as on a full disk.
func TestOverrideSaysThatItIsNotSaved(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "state")
	if err := os.WriteFile(folder, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	inWorld(t, "2026-01-10T01:00:00Z", plain, nil, func(w *world) {
		writer := state.Start(state.NewDir(folder), func() ([]byte, error) { return nil, errors.New("no space left on device") }, nil, slog.New(slog.DiscardHandler))
		w.SwapWriter(writer)
		defer func() { <-writer.Stop() }()
		said, err := w.Override(memberA, pools.Drained, OverrideOptions{})
		if err != nil || !strings.HasPrefix(said.Warning, "this change is in memory only, and a restart loses it: "+folder) {
			t.Errorf("warning %q, %v", said.Warning, err)
		}
		undone, err := w.Undo(memberA, ChangeOptions{})
		if err != nil || undone.Warning == "" {
			t.Errorf("removed with warning %q, %v", undone.Warning, err)
		}
		if w.Overrides() != nil && len(w.Overrides()) > 0 {
			t.Error("it is not removed")
		}
	})
}
