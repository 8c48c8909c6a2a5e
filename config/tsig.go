package config

import (
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"meridian/dnsname"
)

// TSIGKey is a secret that this server shares with another one, to sign messages (RFC 8945).
type TSIGKey struct {
	Name          dnsname.Name
	Algorithm     string // hmac-sha256, hmac-sha384, hmac-sha512 or hmac-sha1
	SecretFile    string // path of a file with the secret in base64
	SecretFilePos Pos
}

// The algorithms of TSIG keys.
const (
	defaultTSIG = "hmac-sha256"
	weakTSIG    = "hmac-sha1"
)

// tsigAlgorithms returns the names that a configuration may use.
func tsigAlgorithms() []string { return []string{defaultTSIG, "hmac-sha384", "hmac-sha512", weakTSIG} }

func (d *decoder) tsig(to *[]TSIGKey) setter {
	return func(n *yaml.Node) {
		if n.Kind != yaml.MappingNode {
			delete(d.declared, kindTSIG)
		}
		userMapping(d, n, d.domain, func(name dnsname.Name, key, value *yaml.Node) {
			written := keyText(name)
			if defined := d.declared[kindTSIG]; defined != nil {
				defined[written] = &definition{name: written, at: nodeKeyOf(key)}
			}
			k := TSIGKey{Name: name, Algorithm: defaultTSIG}
			ok := d.mapping(value, []field{
				{name: "algorithm", set: setValue(&k.Algorithm, d.tsigAlgorithm)},
				{name: "secret_file", set: d.path(&k.SecretFile, &k.SecretFilePos)},
			})
			if ok {
				d.required(value, "secret_file", "write the path of a file with the secret in base64, such as openssl rand -base64 32 prints")
			}
			*to = append(*to, k)
		})
	}
}

// tsigAlgorithm reads the name of an algorithm, with or without the final dot that other servers print.
func (d *decoder) tsigAlgorithm(n *yaml.Node) (string, bool) {
	s, ok := d.word(n)
	if !ok {
		return "", false
	}
	name := strings.TrimSuffix(strings.ToLower(s), ".")
	switch {
	case !slices.Contains(tsigAlgorithms(), name):
		d.errorf(n, quote(s)+" is not an algorithm of TSIG keys", "write "+strings.Join(tsigAlgorithms()[:3], ", "))
		return "", false
	case name == weakTSIG:
		d.warn(n, quote(s)+" is weak", "change the key to "+defaultTSIG+" on both servers")
	}
	return name, true
}

// keyText returns the name of a key as an operator writes it.
func keyText(name dnsname.Name) string { return strings.TrimSuffix(string(name), ".") }

// tsigKey reads the name of a key that tsig defines.
func (d *decoder) tsigKey(to *dnsname.Name) setter {
	return func(n *yaml.Node) {
		name, ok := d.domain(n)
		if !ok {
			return
		}
		*to = name
		if def := d.declared[kindTSIG][keyText(name)]; def != nil {
			def.used = true
			return
		}
		d.references = append(d.references, reference{kindTSIG, keyText(name), nodeKeyOf(n)})
	}
}
