package daemon

import (
	"bytes"
	"fmt"
	"io"
	"os"

	"meridian/config"
	"meridian/control/event/notify"
)

// sinks converts the sinks of a configuration. Files with secrets are read for each request.
func sinks(cfg *config.Config) []notify.Sink {
	all := make([]notify.Sink, len(cfg.Notify))
	for i := range cfg.Notify {
		of := &cfg.Notify[i]
		s := notify.Sink{URL: of.URL, Alertmanager: of.Alertmanager, Kinds: of.Events}
		for _, h := range of.Headers {
			s.Headers = append(s.Headers, notify.Header{Name: h.Name, Value: func() (string, error) {
				if h.File == "" {
					return h.Value, nil
				}
				value, err := readSecret(h.File)
				return string(value), err
			}})
		}
		if of.Secret != "" {
			s.Secret = func() ([]byte, error) { return readSecret(of.Secret) }
		}
		all[i] = s
	}
	return all
}

// maxSecret is the maximum size of a file with a secret, in octets.
const maxSecret = 4096

// readSecret returns the content of a file without white space around it.
func readSecret(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return nil, err
	}
	data = bytes.TrimSpace(data)
	if len(data) == 0 || len(data) > maxSecret {
		return nil, fmt.Errorf("%s has %d octets; want 1 to %d", file, len(data), maxSecret)
	}
	return data, nil
}
