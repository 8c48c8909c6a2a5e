// Package deploy_test loads every configuration in the files of this folder.
package deploy_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"meridian/cluster/etcdserver"
	"meridian/config"
	"meridian/snapshot"
)

func TestExampleIsServed(t *testing.T) {
	cfg, warnings, err := config.Load("example/meridian.yaml")
	if err != nil {
		t.Fatal(err)
	}
	snapshot, more, err := snapshot.Build(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer snapshot.Close()
	if warnings = append(warnings, more...); len(warnings) > 0 {
		t.Errorf("an example should draw no warning: %v", warnings)
	}
}

func TestKubernetesConfigMapHoldsAConfiguration(t *testing.T) {
	found := 0
	for _, object := range kubernetesObjects(t) {
		if object.Kind != "ConfigMap" {
			continue
		}
		found++
		if _, warnings, err := config.Parse("meridian.yaml", []byte(object.Data["meridian.yaml"])); err != nil || len(warnings) > 0 {
			t.Errorf("%s: warnings %v, error %v", object.Metadata.Name, warnings, err)
		}
	}
	if found != 1 {
		t.Errorf("%d ConfigMaps, want 1", found)
	}
}

type kubernetesObject struct {
	Kind     string
	Metadata struct{ Name string }
	Data     map[string]string
}

func kubernetesObjects(t *testing.T) []kubernetesObject {
	t.Helper()
	data, err := os.ReadFile("kubernetes/meridian.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var objects []kubernetesObject
	for decoder := yaml.NewDecoder(bytes.NewReader(data)); ; {
		var object kubernetesObject
		if err := decoder.Decode(&object); errors.Is(err, io.EOF) {
			return objects
		} else if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, object)
	}
}

// TestSysctlsAreSettings reads every line of the file as sysctl does.
func TestSysctlsAreSettings(t *testing.T) {
	text, err := os.ReadFile("sysctl/90-meridian.conf")
	if err != nil {
		t.Fatal(err)
	}
	set := map[string]int{}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		key, value, _ := strings.Cut(line, " = ")
		if set[key], err = strconv.Atoi(value); err != nil {
			t.Errorf("%q: %v", line, err)
		}
	}
	for _, key := range []string{"net.core.rmem_max", "net.core.wmem_max"} {
		if set[key] < 4<<20 {
			t.Errorf("%s is %d, want what the server asks for", key, set[key])
		}
	}
}

// TestEtcdExampleIsProtected reads the configuration of an etcd member, as meridian etcd does.
func TestEtcdExampleIsProtected(t *testing.T) {
	c, err := etcdserver.Read("example/etcd.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if open := c.Unprotected(); len(open) > 0 || !c.ClientTLSInfo.ClientCertAuth || !c.PeerTLSInfo.ClientCertAuth {
		t.Errorf("without TLS at %q, or without certificates of clients", open)
	}
}
