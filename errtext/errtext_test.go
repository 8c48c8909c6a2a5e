package errtext

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
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

func TestClipCutsBetweenCharacters(t *testing.T) {
	short, long := strings.Repeat("a", 80), "a"+strings.Repeat("ä", 100)
	if Clip(short) != short || Clip(long) != "a"+strings.Repeat("ä", 39)+"..." {
		t.Errorf("%q, %q", Clip(short), Clip(long))
	}
}

func TestListCountsWhatItLeavesOut(t *testing.T) {
	for n, want := range map[int]string{0: "", 2: "a, a", 10: "a" + strings.Repeat(", a", 9), 11: "a" + strings.Repeat(", a", 9) + " and 1 more"} {
		if got := List(slices.Repeat([]string{"a"}, n)); got != want {
			t.Errorf("%d words: %q, want %q", n, got, want)
		}
	}
}

func TestQuoteIsOneShortLine(t *testing.T) {
	for text, want := range map[string]string{
		"a\nb": `"a\nb"`, strings.Repeat("a", 80): `"` + strings.Repeat("a", 80) + `"`, "a" + strings.Repeat("ä", 100): `"a` + strings.Repeat("ä", 39) + `"...`,
	} {
		if got := Quote(text); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// TestHintOfAFileThatTheServerMustNotRead checks that the hint is about the permissions, not about the content.
func TestHintOfAFileThatTheServerMustNotRead(t *testing.T) {
	denied := CannotRead(&fs.PathError{Op: "open", Path: "a.key", Err: syscall.EACCES})
	for _, c := range []struct {
		err  error
		want string
	}{
		{denied, "let the group of the server read it: chgrp meridian and chmod 640"},
		{ReadableByOthersError{"a.key"}, ""},
		{errors.New("it is empty"), "write something"},
	} {
		if got := Hint(c.err, "write something"); got != c.want {
			t.Errorf("%v: %q, want %q", c.err, got, c.want)
		}
	}
}
