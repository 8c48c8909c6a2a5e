package tsig

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"meridian/dnsname"
	"meridian/errtext"
)

// maxFile is the largest file of a secret, in octets. The secret itself has at most half of it.
const maxFile = 4 << 10

// minSecret is the smallest secret, in octets: a shorter one can be guessed.
const minSecret = 8

// Keyring holds the keys of a configuration. nil has none. It is safe for concurrent use, except Update.
type Keyring struct {
	keys  map[string]*Key // by name in wire form, lower case
	files []secretFile
}

// secretFile is a file with the secret of a key.
type secretFile struct {
	path    string
	content []byte
	key     *Key
}

// Add reads the secret of a key, in base64, and adds the key.
func (r *Keyring) Add(name dnsname.Name, algorithm, file string) error {
	content, secret, err := readSecret(file)
	if err != nil {
		return err
	}
	key := NewKey(name, algorithm, secret)
	if r.keys == nil {
		r.keys = map[string]*Key{}
	}
	r.keys[string(key.name)] = key
	r.files = append(r.files, secretFile{file, content, key})
	return nil
}

// find returns the key with a name in lower case; nil: there is none.
func (r *Keyring) find(name dnsname.Wire) *Key {
	if r == nil {
		return nil
	}
	return r.keys[string(name)]
}

// Key returns a key by its name; nil: there is none.
func (r *Keyring) Key(name dnsname.Name) *Key {
	if name == "" {
		return nil
	}
	return r.find(name.Wire())
}

// Update reads the files again. It returns the files of secrets that changed, and an error for each file that is
// unusable: its key keeps the secret in use. One goroutine may call it at a time.
func (r *Keyring) Update() (changed []string, err error) {
	if r == nil {
		return nil, nil
	}
	for i := range r.files {
		f := &r.files[i]
		content, secret, failed := readSecret(f.path)
		switch {
		case failed != nil:
			err = errors.Join(err, fmt.Errorf("%s: %w", f.path, failed))
		case !bytes.Equal(content, f.content):
			f.content = content
			f.key.secret.Store(&secret)
			changed = append(changed, f.path)
		}
	}
	return changed, err
}

// readSecret reads a file that other users must not read. Errors do not repeat what may be a secret.
func readSecret(file string) (content, secret []byte, err error) {
	info, err := os.Stat(file)
	switch {
	case err != nil:
		return nil, nil, errtext.CannotRead(err)
	case !info.Mode().IsRegular():
		return nil, nil, errors.New("it is not a regular file")
	case info.Mode().Perm()&0o007 != 0:
		return nil, nil, errtext.ReadableByOthersError{File: file}
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, nil, errtext.CannotRead(err)
	}
	defer f.Close()
	if content, err = io.ReadAll(io.LimitReader(f, maxFile+1)); err != nil {
		return nil, nil, errtext.CannotRead(err)
	}
	if len(content) > maxFile {
		return nil, nil, fmt.Errorf("it has more than %d octets", maxFile)
	}
	secret, err = parseSecret(string(content))
	return content, secret, err
}

// parseSecret reads a secret in base64.
func parseSecret(content string) ([]byte, error) {
	secret, err := base64.StdEncoding.DecodeString(strings.TrimSpace(content))
	switch {
	case err != nil:
		return nil, errors.New("it is not one line of base64")
	case len(secret) < minSecret:
		return nil, fmt.Errorf("its secret has %d octets; want at least %d", len(secret), minSecret)
	}
	return secret, nil
}
