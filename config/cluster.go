package config

import (
	"crypto/ed25519"
	"encoding/base64"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"meridian/config/internal/yamldoc"

	"gopkg.in/yaml.v3"
)

// Cluster defines the cluster of a node; without a Name it is alone.
type Cluster struct {
	Name      string
	Region    string // where this node observes from
	Etcd      Etcd
	Identity  string // path of the file with the private key of this node
	Trust     []TrustedNode
	Heartbeat time.Duration
	Stale     int // heartbeats without which a vantage is not fresh
	Failsafe  Failsafe
	// Shared says that the nodes follow one configuration in etcd, instead of each its own files.
	Shared bool
	Pos    Pos

	IdentityPos Pos
}

// Failsafe is how the nodes exchange observations while etcd is away.
type Failsafe struct {
	Listen    netip.AddrPort // the zero value: they do not
	Every     bool           // the unspecified address in Listen is that of both families
	Advertise netip.AddrPort // where other nodes reach this one; the zero value: it is found out
}

// On reports whether nodes exchange observations while etcd is away.
func (f *Failsafe) On() bool { return f.Listen.IsValid() }

// Etcd is the store of a cluster.
type Etcd struct {
	Endpoints []string // URLs
	CA        string   // path of a PEM file with the authorities of the servers; empty: those of the system
	Cert, Key string   // paths of the certificate of this node and its key; empty: none
	Prefix    string   // of all keys
}

// TrustedNode is a node that the cluster believes.
type TrustedNode struct {
	Name string
	Key  ed25519.PublicKey
}

// The ranges of the settings of a cluster.
const (
	minHeartbeat = 500 * time.Millisecond
	maxHeartbeat = 30 * time.Second
	maxStale     = 100
)

func (d *decoder) cluster(c *Cluster) setter {
	return func(n *yaml.Node) {
		*c = d.defaults.cluster
		c.Pos, d.clusterAt = posOf(n), nodeKeyOf(n)
		if !d.mapping(n, []field{
			{name: "name", set: setValue(&c.Name, d.clusterName)},
			{name: "region", set: setValue(&c.Region, d.clusterName)},
			{name: "etcd", set: d.etcd(&c.Etcd)},
			{name: "identity", set: d.path(&c.Identity, &c.IdentityPos)},
			{name: "trust", set: d.trust(&c.Trust)},
			{name: "heartbeat", set: d.duration(&c.Heartbeat, minHeartbeat, maxHeartbeat)},
			{name: "stale", set: d.integerInRange(&c.Stale, 2, maxStale)},
			{name: "failsafe", set: d.failsafe(&c.Failsafe)},
			{name: "config", set: setValue(&c.Shared, func(n *yaml.Node) (bool, bool) {
				s, ok := d.oneOf(n, "config", []string{"file", "shared"})
				return s == "shared", ok
			})},
		}) {
			return
		}
		d.required(n, "name", "all nodes of a cluster write the same name")
		d.required(n, "region", "write where this node observes from, such as a region of regions")
		d.required(n, "etcd", "write etcd: {endpoints: [\"https://10.0.0.1:2379\"]}")
		d.required(n, "identity", "make one with meridian cluster identity -o node.ed25519")
		d.required(n, "trust", "write the public key of each node, as meridian cluster identity prints it")
	}
}

// failsafePort is the port of the nodes for each other.
const failsafePort = 8054

// failsafe reads false, or where a node listens for the others.
func (d *decoder) failsafe(f *Failsafe) setter {
	return func(n *yaml.Node) {
		*f = Failsafe{}
		if d.shapes != nil && n.Kind == yaml.ScalarNode && !yamldoc.IsNull(n) {
			d.shapes.scalarIs(n, map[string]any{"const": false})
			return
		}
		if n.Kind == yaml.ScalarNode && n.Tag == "!!bool" && strings.EqualFold(n.Value, "false") {
			return
		}
		if n.Kind == yaml.ScalarNode {
			d.shapes.reject(n)
			d.errorf(n, quote(n.Value)+" is not a mapping", `write failsafe: {listen: ":8054"}, or failsafe: false for none`)
			return
		}
		f.Listen, f.Every = netip.AddrPortFrom(netip.IPv6Unspecified(), failsafePort), true
		d.mapping(n, []field{
			{name: "listen", set: d.failsafeListen(f)},
			{name: "advertise", set: setValue(&f.Advertise, d.failsafeAdvertise)},
		})
	}
}

// failsafeListen reads an address and port, or ":PORT" for every address.
func (d *decoder) failsafeListen(f *Failsafe) setter {
	return func(n *yaml.Node) {
		port, every := strings.CutPrefix(n.Value, ":")
		if number, err := strconv.ParseUint(port, 10, 16); n.Kind == yaml.ScalarNode && every && decimal(port) && err == nil {
			d.shapes.see(n)
			f.Listen, f.Every = netip.AddrPortFrom(netip.IPv6Unspecified(), uint16(number)), true
			return
		}
		if a, ok := d.addrPort(n, func(string) string { return `write it like ":8054" or "10.0.0.1:8054"` }); ok {
			f.Listen, f.Every = a, false
		}
	}
}

// failsafeAdvertise reads the address and port at which other nodes reach this one.
func (d *decoder) failsafeAdvertise(n *yaml.Node) (netip.AddrPort, bool) {
	const example = "write the address and port at which the other nodes reach this one, such as 198.51.100.1:8054"
	a, ok := d.addrPort(n, func(string) string { return example })
	if ok && (a.Addr().IsUnspecified() || a.Port() == 0) {
		d.errorf(n, quote(n.Value)+" is not an address that others can connect to", example)
		return a, false
	}
	return a, ok
}

// namePattern is the form of the names of clusters, nodes and their regions, which are parts of keys.
var namePattern = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

func (d *decoder) clusterName(n *yaml.Node) (string, bool) {
	s, ok := d.word(n)
	if ok && !namePattern.MatchString(s) {
		d.errorf(n, quote(s)+" is not a name", "1 to 64 letters, digits, dots, hyphens and underscores")
		return "", false
	}
	return s, ok
}

func (d *decoder) etcd(e *Etcd) setter {
	return func(n *yaml.Node) {
		ok := d.mapping(n, []field{
			{name: "endpoints", set: d.etcdEndpoints(&e.Endpoints)},
			{name: "tls", set: d.etcdTLS(e)},
			{name: "prefix", set: setValue(&e.Prefix, d.etcdPrefix)},
		})
		if ok {
			d.required(n, "endpoints", "write the URLs of the etcd servers: [\"https://10.0.0.1:2379\"]")
		}
		if secured := slices.ContainsFunc(e.Endpoints, func(s string) bool { return strings.HasPrefix(s, "https:") }); ok && !secured && yamldoc.Child(n, "tls") != nil {
			d.errorf(yamldoc.Child(n, "tls"), "tls with endpoints that do not use it", "write https:// in the endpoints")
		}
	}
}

func (d *decoder) etcdEndpoints(to *[]string) setter {
	return func(n *yaml.Node) {
		ok := d.list(n, func(item *yaml.Node) {
			if s, ok := d.httpURL(item, "https://10.0.0.1:2379"); ok {
				*to = append(*to, s)
			}
		})
		if ok && len(n.Content) == 0 {
			d.errorAtKey(n, "an empty list", "write at least one URL")
		}
	}
}

func (d *decoder) etcdTLS(e *Etcd) setter {
	return func(n *yaml.Node) {
		if d.mapping(n, []field{
			{name: "ca", set: d.path(&e.CA, new(Pos))},
			{name: "cert", set: d.path(&e.Cert, new(Pos))},
			{name: "key", set: d.path(&e.Key, new(Pos))},
		}) && (e.Cert == "") != (e.Key == "") {
			d.errorAtKey(n, "one of cert and key without the other", "a client's certificate takes both")
		}
	}
}

func (d *decoder) etcdPrefix(n *yaml.Node) (string, bool) {
	s, ok := d.word(n)
	if ok && !strings.HasPrefix(s, "/") {
		d.errorf(n, quote(s)+" is not a prefix of keys", "write it like /meridian")
		return "", false
	}
	return s, ok
}

// trust reads the public keys of the nodes, by name.
func (d *decoder) trust(to *[]TrustedNode) setter {
	return func(n *yaml.Node) {
		if !d.kind(n, yaml.MappingNode) {
			return
		}
		d.trustAt = nodeKeyOf(n)
		for key, value := range yamldoc.Pairs(n) {
			name, ok := d.clusterName(key)
			text, isText := d.scalar(value)
			encoded, prefixed := strings.CutPrefix(text, "ed25519:")
			public, err := base64.StdEncoding.DecodeString(encoded)
			switch {
			case !ok || !isText:
			case !prefixed || err != nil || len(public) != ed25519.PublicKeySize:
				d.errorf(value, quote(text)+" is not a public key", "write it as meridian cluster identity prints it: ed25519: and 32 octets in base64")
			case slices.ContainsFunc(*to, func(t TrustedNode) bool { return t.Name == name }):
				d.errorf(key, "node "+quote(name)+" is defined twice", "give each node its own name")
			default:
				*to = append(*to, TrustedNode{name, public})
			}
		}
	}
}

// checkCluster requires that the cluster trusts this node.
func (d *decoder) checkCluster(cfg *Config) {
	if cfg.Node == "" && cfg.Cluster.Name != "" {
		cfg.Node = defaultNode()
	}
	if cfg.Cluster.Shared && cfg.State == "" {
		d.errorAt(d.clusterAt, "config: shared without state", "write state: /var/lib/meridian: a node that starts without etcd serves the last configuration from there")
	}
	if len(cfg.Cluster.Trust) > 0 && cfg.TrustedKey() == nil {
		d.errorAt(d.trustAt, "the key of this node, "+quote(cfg.Node)+", is not in it", "add it, or write node: NAME at the top of the file; without that it is the host name")
	}
}

// TrustedKey returns the public key of this node in its cluster; nil: there is none.
func (c *Config) TrustedKey() ed25519.PublicKey {
	for _, t := range c.Cluster.Trust {
		if t.Name == c.Node {
			return t.Key
		}
	}
	return nil
}

// defaultNode returns the name of this machine without its domain: the default name of the node.
func defaultNode() string {
	name, _ := os.Hostname()
	name, _, _ = strings.Cut(name, ".")
	return name
}

// quorum reads how vantages decide.
func (d *decoder) quorum(q *Quorum) setter {
	presets := []string{string(MajorityPreset), string(Route53Preset), string(AnyUpPreset), string(AllUpPreset), string(LocalPreset)}
	return func(n *yaml.Node) {
		d.mapping(n, []field{
			{name: "preset", set: setValue(&q.Preset, func(n *yaml.Node) (QuorumPreset, bool) {
				s, ok := d.oneOf(n, "preset", presets)
				return QuorumPreset(s), ok
			})},
			{name: "scope", set: setValue(&q.Scope, func(n *yaml.Node) (QuorumScope, bool) {
				s, ok := d.oneOf(n, "scope", []string{string(GlobalScope), string(RegionalScope)})
				return QuorumScope(s), ok
			})},
			{name: "min_vantages", set: d.integerInRange(&q.MinVantages, 1, maxVantages)},
			{name: "min_regions", set: d.integerInRange(&q.MinRegions, 1, maxVantages)},
		})
	}
}

// maxVantages is the range of min_vantages and min_regions.
const maxVantages = 1000
