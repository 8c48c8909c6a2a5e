package errtext

import (
	"errors"
	"fmt"
	"os"
	"testing"
)

func TestTrimPathKeepsTheReasonAlone(t *testing.T) {
	_, err := os.Open(t.TempDir() + "/none")
	plain := errors.New("no path in it")
	for _, c := range []struct {
		err  error
		want string
	}{
		{err, "no such file or directory"},
		{fmt.Errorf("reading the state: %w", err), "no such file or directory"},
		{plain, "no path in it"},
	} {
		if got := TrimPath(c.err).Error(); got != c.want {
			t.Errorf("TrimPath(%q) = %q, want %q", c.err, got, c.want)
		}
		if got := CannotRead(c.err); got.Error() != "cannot be read: "+c.want || !errors.Is(c.err, errors.Unwrap(got)) {
			t.Errorf("CannotRead(%q) = %q, want %q", c.err, got, "cannot be read: "+c.want)
		}
	}
	if TrimPath(nil) != nil {
		t.Error("no error becomes one")
	}
}
