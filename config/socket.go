package config

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"meridian/config/internal/yamldoc"

	"gopkg.in/yaml.v3"
)

// maxSocket is the longest path of a unix socket in octets that every system accepts (the smallest size of sun_path
// without its final zero).
const maxSocket = 103

// socket reads the path of a unix socket, relative to the folder of the configuration.
func (d *decoder) socket(n *yaml.Node) (string, bool) {
	s, ok := d.word(n)
	if !ok {
		return "", false
	}
	if !filepath.IsAbs(s) {
		s = filepath.Join(filepath.Dir(d.fileOf(n)), s)
	}
	switch {
	case strings.ContainsRune(s, 0):
		d.errorf(n, quote(s)+" is not a path", "write it like /run/app.sock")
	case len(s) > maxSocket:
		d.errorf(n, fmt.Sprintf("a path of %d octets", len(s)), fmt.Sprintf("the path of a socket has at most %d", maxSocket))
	default:
		return s, true
	}
	return "", false
}

// noPort reports a port or source address of a check that connects to a unix socket.
func (d *decoder) noPort(n *yaml.Node, c *Check) {
	if port := yamldoc.Child(n, "port"); port != nil && c.Port != 0 {
		d.errorf(port, "port beside unix", "a socket has no port: write one of the two")
	}
	if source := yamldoc.Child(n, "source"); source != nil {
		d.errorf(source, "source beside unix", "a connection to a socket has no address: write one of the two")
	}
	c.Port = 0
}

// proxyProtocol reads a version of the PROXY protocol.
func (d *decoder) proxyProtocol(n *yaml.Node) (int, bool) {
	versions := []string{"v1", "v2"}
	s, ok := d.scalar(n)
	if !ok {
		return 0, false
	}
	if i := slices.Index(versions, s); i >= 0 {
		return 1 + i, true
	}
	hint := "known: " + strings.Join(versions, ", ") // the words are so short that each is similar to the other
	if slices.Contains(versions, "v"+s) {
		hint = "did you mean " + quote("v"+s) + "?"
	}
	d.errorf(n, "unknown version of the PROXY protocol "+quote(s), hint)
	return 0, false
}
