package health

import (
	"testing"

	"meridian/config"
)

func TestExecChecksOfDifferentNamesAreDistinct(t *testing.T) {
	a := config.Check{Name: "replica", Type: config.Exec, Command: []string{"true"}}
	b := a
	b.Name = "other"
	if fingerprintOf(&a, [32]byte{}) == fingerprintOf(&b, [32]byte{}) {
		t.Error("one definition")
	}
}

func TestFileContentsArePartOfFingerprint(t *testing.T) {
	check := tcpCheck()
	if fingerprintOf(check, [32]byte{}) == fingerprintOf(check, [32]byte{1}) {
		t.Error("the fingerprint does not follow the digest of the files")
	}
}
