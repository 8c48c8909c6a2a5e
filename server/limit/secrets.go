package limit

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"

	"meridian/errtext"
)

const (
	secretSize     = 16 // a key of SipHash-2-4 (RFC 9018 4.4)
	maxSecrets     = 8  // each one costs a hash for a cookie that none has made
	maxSecretsFile = 4 << 10
)

// secret is a key of SipHash-2-4.
type secret struct{ k0, k1 uint64 }

func newSecret(key []byte) secret {
	return secret{binary.LittleEndian.Uint64(key), binary.LittleEndian.Uint64(key[8:])}
}

// Cookies makes and checks server cookies. It is safe for concurrent use.
type Cookies struct {
	file    string // with the secrets; empty: one random secret
	content []byte // of file, when it was read last; Update uses it
	secrets atomic.Pointer[[]secret]
	failure atomic.Pointer[string] // the error of the last Update; nil: none
}

// NewCookies returns Cookies with a random secret, which no other server accepts.
func NewCookies() *Cookies {
	key := make([]byte, secretSize)
	_, _ = rand.Read(key) // it never fails
	c := new(Cookies)
	c.secrets.Store(&[]secret{newSecret(key)})
	return c
}

// Secret returns the secret that makes cookies.
func (c *Cookies) Secret() []byte {
	s := (*c.secrets.Load())[0]
	return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, s.k0), s.k1)
}

// UseSecret replaces the random secret, so that cookies of another process are valid.
func (c *Cookies) UseSecret(key []byte) error {
	if len(key) != secretSize {
		return fmt.Errorf("a cookie secret of %d octets; want %d", len(key), secretSize)
	}
	c.secrets.Store(&[]secret{newSecret(key)})
	return nil
}

// OpenCookies returns Cookies with the secrets of a file: 32 hexadecimal digits a line. The first one makes cookies,
// all of them check cookies.
func OpenCookies(file string) (*Cookies, error) {
	c := &Cookies{file: file}
	if _, err := c.Update(); err != nil {
		return nil, err
	}
	return c, nil
}

// Update reads the file again and reports whether its secrets have changed. An error keeps the secrets in use. One
// goroutine may call it at a time.
func (c *Cookies) Update() (changed bool, err error) {
	if changed, err = c.read(); err == nil {
		c.failure.Store(nil)
		return changed, nil
	}
	text := err.Error()
	c.failure.Store(&text)
	return false, err
}

// Failure returns the error of the last Update; empty: it succeeded.
func (c *Cookies) Failure() string {
	if text := c.failure.Load(); text != nil {
		return *text
	}
	return ""
}

// read reads the file and uses its secrets if they have changed.
func (c *Cookies) read() (changed bool, err error) {
	if c.file == "" {
		return false, nil
	}
	content, err := readSecrets(c.file)
	if err != nil || c.content != nil && bytes.Equal(content, c.content) {
		return false, err
	}
	secrets, err := parseSecrets(string(content))
	if err != nil {
		return false, err
	}
	c.content = content
	c.secrets.Store(&secrets)
	return true, nil
}

// File returns the path of the file of secrets; empty: there is one random secret.
func (c *Cookies) File() string { return c.file }

// Secrets returns the number of secrets.
func (c *Cookies) Secrets() int { return len(*c.secrets.Load()) }

// readSecrets reads a file that other users must not read.
func readSecrets(file string) ([]byte, error) {
	info, err := os.Stat(file)
	switch {
	case err != nil:
		return nil, errtext.CannotRead(err)
	case !info.Mode().IsRegular():
		return nil, errors.New("it is not a regular file")
	case info.Mode().Perm()&0o007 != 0:
		return nil, errtext.ReadableByOthersError{File: file}
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, errtext.CannotRead(err)
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxSecretsFile+1))
	if err != nil {
		return nil, errtext.CannotRead(err)
	}
	if len(content) > maxSecretsFile {
		return nil, fmt.Errorf("it has more than %d octets; want at most %d secrets", maxSecretsFile, maxSecrets)
	}
	return content, nil
}

// parseSecrets reads a secret from each line that is not empty. Errors do not repeat what may be a secret.
func parseSecrets(content string) (secrets []secret, err error) {
	number := 0
	for line := range strings.Lines(content) {
		number++
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		key, err := hex.DecodeString(line)
		if err != nil || len(key) != secretSize {
			return nil, fmt.Errorf("line %d is not a secret of %d hexadecimal digits", number, 2*secretSize)
		}
		secrets = append(secrets, newSecret(key))
	}
	switch {
	case len(secrets) == 0:
		return nil, errors.New("it has no secret")
	case len(secrets) > maxSecrets:
		return nil, fmt.Errorf("it has %d secrets; want at most %d", len(secrets), maxSecrets)
	}
	return secrets, nil
}
