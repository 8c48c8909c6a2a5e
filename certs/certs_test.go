package certs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReadRejectsUnusableFiles(t *testing.T) {
	dir := t.TempDir()
	huge := filepath.Join(dir, "huge.pem")
	if err := os.WriteFile(huge, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(huge, MaxSize+1); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		dir:           "is not a regular file",
		huge:          "is larger than 4 MiB",
		dir + "/none": `none": no such file or directory`,
	} {
		if _, err := Read(path); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("Read(%q): %v, want %q", path, err, want)
		}
	}
}

func TestPoolRejectsBrokenCertificates(t *testing.T) {
	for data, want := range map[string]string{
		"":     "no PEM certificate in the file",
		"junk": "no PEM certificate in the file",
		"-----BEGIN CERTIFICATE-----\nbm90IERFUg==\n-----END CERTIFICATE-----\n": "certificate 1: ",
		"-----BEGIN PRIVATE KEY-----\nbm90IERFUg==\n-----END PRIVATE KEY-----\n": `PEM block 1 is a "PRIVATE KEY", want a CERTIFICATE`,
	} {
		if pool, err := Pool([]byte(data)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("Pool(%q) = %v, %v, want %q", data, pool, err, want)
		}
	}
	if pool, err := Pool(nil); pool != nil || err != nil {
		t.Errorf("no data gives %v, %v, want the system's authorities", pool, err)
	}
}
