package probe

import (
	"crypto/sha256"
	"crypto/tls"
	"fmt"

	"meridian/certs"
	"meridian/config"
)

// loadCredentials reads and checks the files that t names; digest covers their contents.
func loadCredentials(t config.CheckTLS) (c credentials, digest [sha256.Size]byte, problems []Problem) {
	hash := sha256.New()
	read := func(path string, pos config.Pos, key, hint string) []byte {
		if path == "" {
			return nil
		}
		data, err := certs.Read(path)
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
	if c.roots, err = certs.Pool(ca); err != nil {
		problems = append(problems, Problem{t.CAPos, "tls.ca", fmt.Sprintf("%q: %v", t.CA, err), "PEM certificates of the authorities to trust"})
	}
	if c.certs, err = parsePair(cert, key); err != nil {
		problems = append(problems, Problem{t.CertPos, "tls.cert", fmt.Sprintf("%q with key %q: %v", t.Cert, t.Key, err), "a certificate and its key, in PEM"})
	}
	return c, digest, problems
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
