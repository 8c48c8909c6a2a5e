// Package certs reads certificates and keys from PEM files.
package certs

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"

	"meridian/errtext"
)

// MaxSize is the largest accepted file of certificates or keys, in bytes; the bundle of all public authorities has about
// 250 kB.
const MaxSize = 4 << 20

// ReadableByOthers reports whether users other than its owner and group may use a file with a secret.
func ReadableByOthers(file string) bool {
	info, err := os.Stat(file)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o007 != 0
}

// Read reads a whole file, which must be regular and at most MaxSize long.
func Read(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%q is not a regular file", path)
	}
	var f *os.File
	if err == nil {
		f, err = os.Open(path)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read %q: %w", path, errtext.TrimPath(err))
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err == nil && len(data) > MaxSize {
		return nil, fmt.Errorf("%q is larger than %d MiB", path, MaxSize>>20)
	}
	return data, err
}

// Pool parses consecutive certificates; unlike x509.CertPool.AppendCertsFromPEM it rejects broken ones. It returns nil,
// the system's authorities, for nil data.
func Pool(data []byte) (*x509.CertPool, error) {
	if data == nil {
		return nil, nil
	}
	pool := x509.NewCertPool()
	for n := 0; ; n++ {
		block, rest := pem.Decode(data)
		if block == nil && n == 0 {
			return nil, errors.New("no PEM certificate in the file")
		}
		if block == nil {
			return pool, nil
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("PEM block %d is a %q, want a CERTIFICATE", n+1, block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", n+1, err)
		}
		pool.AddCert(cert)
		data = rest
	}
}
