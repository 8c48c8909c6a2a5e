package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"meridian/certs"
	"meridian/config"
	"meridian/errtext"
)

// stateWarnings checks that the state directory can be written or created. The result is a
// warning, because check may run as another user than serve.
func stateWarnings(cfg *config.Config) []config.Error {
	if cfg.State == "" {
		return nil
	}
	if err := tryFolder(cfg.State); err != nil {
		return []config.Error{cfg.ErrorAt(cfg.StatePos, "state", "this user cannot write the state directory "+cfg.State+": "+err.Error(),
			"name a directory that the server can create or write")}
	}
	return nil
}

// keyWarnings checks that the folder of the keys can be written, if this server makes keys.
func keyWarnings(cfg *config.Config) []config.Error {
	for i := range cfg.Zones {
		policy := cfg.DNSSECPolicy(&cfg.Zones[i])
		if policy == nil || policy.Manager != config.AutoManager {
			continue
		}
		if err := tryFolder(cfg.DNSSEC.Keys); err != nil {
			return []config.Error{cfg.ErrorAt(cfg.DNSSEC.KeysPos, "dnssec.keys", "this user cannot write the folder of the keys "+cfg.DNSSEC.Keys+": "+err.Error(),
				"name a folder that the server can create or write, or write manager: external in the policy")}
		}
		return nil
	}
	return nil
}

// privateKeyWarnings checks that other users cannot read the key of the API's certificate.
func privateKeyWarnings(cfg *config.Config) []config.Error {
	tls := &cfg.Admin.TLS
	if tls.Key == "" || !certs.ReadableByOthers(tls.Key) {
		return nil
	}
	return []config.Error{cfg.ErrorAt(tls.Pos, "admin.tls.key", "other users can read the private key "+tls.Key, "chmod 600 "+tls.Key)}
}

// tryFolder creates and removes a file in a directory, or, if the directory is missing, a
// directory in its nearest existing parent. It does not need read permission.
func tryFolder(path string) error {
	file, err := os.CreateTemp(path, "check-")
	if err == nil {
		return errors.Join(file.Close(), os.Remove(file.Name()))
	}
	above := filepath.Dir(path)
	if !errors.Is(err, fs.ErrNotExist) || above == path {
		return errtext.TrimPath(err)
	}
	if _, err := os.Stat(path); err == nil { // it exists but is not writable
		return errors.New("nothing can be created there")
	}
	return tryParent(above)
}

// tryParent creates and removes a directory in path, or in its nearest existing parent.
func tryParent(path string) error {
	made, err := os.MkdirTemp(path, "check-")
	if err == nil {
		return os.Remove(made)
	}
	above := filepath.Dir(path)
	if _, missing := os.Stat(path); errors.Is(missing, fs.ErrNotExist) && above != path {
		return tryParent(above)
	}
	return errors.New("it does not exist, and nothing can be created in " + path + ": " + errtext.TrimPath(err).Error())
}
