package loads

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"meridian/certs"
)

// A file without certificates is an error, and an endless file is not read to its end.
func TestInvalidCAFileIsAnError(t *testing.T) {
	long := filepath.Join(t.TempDir(), "long.pem")
	if err := os.WriteFile(long, make([]byte, certs.MaxSize+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		os.DevNull: "is not a regular file",
		long:       "is larger than 4 MiB",
		"missing":  `cannot read "missing": `,
	} {
		if _, _, err := roots(file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", file, err, want)
		}
	}
}
