package observation

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
)

// publicPrefix is the start of a public key as text.
const publicPrefix = "ed25519:"

// pemType is the PEM type of a private key (PKCS #8).
const pemType = "PRIVATE KEY"

// FormatPublicKey formats a public key as cluster.trust has it.
func FormatPublicKey(key ed25519.PublicKey) string {
	return publicPrefix + base64.StdEncoding.EncodeToString(key)
}

// CreateIdentity writes a new private key to a file that must not exist, readable by its owner only, and returns the public key.
func CreateIdentity(path string) (ed25519.PublicKey, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = f.Write(pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der}))
	return public, errors.Join(err, f.Close())
}

// maxIdentity bounds the size of a file with a private key.
const maxIdentity = 64 << 10

// ReadIdentity reads the private key of a vantage from a file.
func ReadIdentity(path string) (ed25519.PrivateKey, error) {
	text, err := readIdentity(path)
	if err != nil {
		return nil, err
	}
	wrong := fmt.Errorf("%s is not an Ed25519 private key in PEM", path)
	block, _ := pem.Decode(text)
	if block == nil || block.Type != pemType {
		return nil, wrong
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	private, ok := key.(ed25519.PrivateKey)
	if err != nil || !ok {
		return nil, wrong
	}
	return private, nil
}

// readIdentity reads the beginning of a regular file.
func readIdentity(path string) ([]byte, error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxIdentity))
}
