package server

import (
	"bytes"
	"context"
	"net/netip"
	"os/exec"
	"regexp"
	"testing"
	"time"

	"meridian/certs"
	"meridian/certs/certstest"
	"meridian/counterpart"
)

// TestOpenSSLGetsTheCertificateItAsksFor connects with OpenSSL to a server with three certificates, before and after one of
// them is renewed with other names.
func TestOpenSSLGetsTheCertificateItAsksFor(t *testing.T) {
	openssl := counterpart.Find(t, "openssl")
	snapshot, _ := encryptedWorld(t)
	dir := t.TempDir()
	var pairs []certs.Pair
	for _, names := range [][]string{{"first.example"}, {"many.example", "also.example", "192.0.2.1"}, {"wild.example", "*.wild.example"}} {
		cert, key := certstest.Write(t, dir, time.Now(), names...)
		pairs = append(pairs, certs.Pair{Cert: cert, Key: key})
	}
	store, err := certs.Open(pairs, "")
	if err != nil {
		t.Fatal(err)
	}
	snapshot.Certificates = store
	_, at := serveTLS(t, snapshot)
	check := func(when string, want map[string]string) {
		t.Helper()
		for asked, subject := range want {
			if got := subjectFor(t, openssl, at, asked); got != subject {
				t.Errorf("%s, a client that asks for %q gets the certificate of %q, want %q", when, asked, got, subject)
			}
		}
	}
	check("at first", map[string]string{
		"":                 "first.example", // no name
		"first.example":    "first.example",
		"many.example":     "many.example",
		"also.example":     "many.example",
		"ALSO.Example":     "many.example", // names have no case
		"wild.example":     "wild.example",
		"a.wild.example":   "wild.example",
		"a.b.wild.example": "first.example", // a star is one label
		"other.example":    "first.example",
		"xfirst.example":   "first.example",
		"example":          "first.example",
	})
	certstest.Write(t, dir, time.Now(), "many.example", "new.example")
	if changed, err := store.Update(); err != nil || !changed {
		t.Fatalf("changed %v, %v", changed, err)
	}
	check("after a renewal", map[string]string{
		"":             "first.example",
		"many.example": "many.example",
		"new.example":  "many.example",
		"also.example": "first.example", // it is in no certificate any more
	})
}

// commonName finds the subject of the certificate that OpenSSL prints.
var commonName = regexp.MustCompile(`(?m)^subject=.*CN ?= ?(\S+)$`)

// subjectFor returns the common name of the certificate that OpenSSL gets if it asks for a name, or for none.
func subjectFor(t *testing.T, openssl string, at netip.AddrPort, name string) string {
	t.Helper()
	args := []string{"s_client", "-connect", at.String(), "-alpn", "dot"}
	if name == "" {
		args = append(args, "-noservername")
	} else {
		args = append(args, "-servername", name)
	}
	ctx, cancel := context.WithTimeout(t.Context(), eventTimeout)
	defer cancel()
	client := exec.CommandContext(ctx, openssl, args...)
	client.Stdin = bytes.NewReader(nil) // at the end of its input, it ends the connection
	out, err := client.CombinedOutput()
	found := commonName.FindSubmatch(out)
	if found == nil {
		t.Fatalf("openssl prints no certificate: %v\n%s", err, out)
	}
	return string(found[1])
}
