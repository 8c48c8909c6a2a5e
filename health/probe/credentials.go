package probe

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"meridian/config"
)

// maxPEM is the largest accepted file of certificates or keys, in bytes; the bundle of all public authorities has about 250
// kB.
const maxPEM = 4 << 20

// loadCredentials reads and checks the files that t names; digest covers their contents.
func loadCredentials(t config.CheckTLS) (c credentials, digest [sha256.Size]byte, problems []Problem) {
	hash := sha256.New()
	read := func(path string, pos config.Pos, key, hint string) []byte {
		if path == "" {
			return nil
		}
		data, err := readPEM(path)
		if err != nil {
			problems = append(problems, Problem{pos, key, err.Error(), hint})
		}
		fmt.Fprintf(hash, "%d %s", len(data), data)
		return data
	}
	ca := read(t.CA, t.CAPos, "tls.ca", "a PEM file of the authorities to trust")
	cert := read(t.Cert, t.CertPos, "tls.cert", "a PEM file of the client certificate, followed by its chain")
	key := read(t.Key, t.CertPos, "tls.key", "a PEM file of the certificate's key")
	hash.Sum(digest[:0])
	if len(problems) > 0 {
		return c, digest, problems
	}
	var err error
	if c.roots, err = parseRoots(ca); err != nil {
		problems = append(problems, Problem{t.CAPos, "tls.ca", fmt.Sprintf("%q: %v", t.CA, err), "PEM certificates of the authorities to trust"})
	}
	if c.certs, err = parsePair(cert, key); err != nil {
		problems = append(problems, Problem{t.CertPos, "tls.cert", fmt.Sprintf("%q with key %q: %v", t.Cert, t.Key, err), "a certificate and its key, in PEM"})
	}
	return c, digest, problems
}

// readPEM reads a whole file, which must be regular and at most maxPEM long.
func readPEM(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%q is not a regular file", path)
	}
	var f *os.File
	if err == nil {
		f, err = os.Open(path)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read %q: %w", path, trimPath(err))
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxPEM+1))
	if err == nil && len(data) > maxPEM {
		return nil, fmt.Errorf("%q is larger than %d MiB", path, maxPEM>>20)
	}
	return data, err
}

// trimPath removes the operation and path, which the message already has, from err.
func trimPath(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// parseRoots parses consecutive certificates; unlike x509.CertPool.AppendCertsFromPEM it rejects broken ones. It returns
// nil, the system's roots, for nil data.
func parseRoots(data []byte) (*x509.CertPool, error) {
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

// parsePair parses the client certificate and its key. It returns nil if both are nil.
func parsePair(cert, key []byte) ([]tls.Certificate, error) {
	if cert == nil && key == nil {
		return nil, nil
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	return []tls.Certificate{pair}, nil
}
