// Package deploy_test checks the files of this folder against the program.
package deploy_test

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"meridian/config"
)

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// object holds the tested fields of one document of the Kubernetes manifest.
type object struct {
	Kind     string
	Metadata struct{ Name string }
	Data     map[string]string
	Spec     struct {
		Selector             any
		Type                 string
		MaxUnavailable       int                                        `yaml:"maxUnavailable"`
		VolumeClaimTemplates []struct{ Metadata struct{ Name string } } `yaml:"volumeClaimTemplates"`
		Template             struct {
			Spec struct{ Containers []container }
		}
	}
}

type container struct {
	Args  []string
	Ports []struct {
		Name          string
		ContainerPort int `yaml:"containerPort"`
	}
	LivenessProbe  probe `yaml:"livenessProbe"`
	ReadinessProbe probe `yaml:"readinessProbe"`
	Lifecycle      struct {
		PreStop map[string]any `yaml:"preStop"`
	}
	VolumeMounts []struct {
		Name      string
		MountPath string `yaml:"mountPath"`
	} `yaml:"volumeMounts"`
}

type probe struct {
	HTTPGet struct{ Path, Port string } `yaml:"httpGet"`
}

func manifest(t *testing.T) map[string]object {
	t.Helper()
	objects := make(map[string]object)
	d := yaml.NewDecoder(strings.NewReader(read(t, "kubernetes/meridian.yaml")))
	for {
		var o object
		err := d.Decode(&o)
		if errors.Is(err, io.EOF) {
			return objects
		}
		if err != nil {
			t.Fatal(err)
		}
		objects[o.Kind+"/"+o.Metadata.Name] = o
	}
}

func TestKubernetesManifestMatchesConfiguration(t *testing.T) {
	objects := manifest(t)
	cfg, warnings, err := config.Parse("meridian.yaml", []byte(objects["ConfigMap/meridian"].Data["meridian.yaml"]))
	if err != nil || len(warnings) > 0 {
		t.Fatalf("the configuration: %v %v", err, warnings)
	}
	set := objects["StatefulSet/meridian"].Spec
	if len(set.Template.Spec.Containers) != 1 {
		t.Fatal("no StatefulSet with one container")
	}
	c := set.Template.Spec.Containers[0]
	if c.LivenessProbe.HTTPGet.Path != "/healthz" || c.ReadinessProbe.HTTPGet.Path != "/readyz" || len(c.Lifecycle.PreStop) == 0 {
		t.Errorf("probes and preStop: %+v", c)
	}
	for _, p := range c.Ports {
		want := int(cfg.Server.Listen[0].Port())
		if p.Name == "admin" {
			want = int(cfg.Admin.Listen.Port())
		}
		if p.ContainerPort != want {
			t.Errorf("port %s is %d, the configuration has %d", p.Name, p.ContainerPort, want)
		}
	}
	mounted := slices.ContainsFunc(c.VolumeMounts, func(m struct {
		Name      string
		MountPath string `yaml:"mountPath"`
	},
	) bool {
		return m.Name == "state" && m.MountPath == cfg.State
	})
	if !mounted || len(set.VolumeClaimTemplates) != 1 {
		t.Errorf("no volume for the state at %q", cfg.State)
	}
	for _, name := range []string{"PodDisruptionBudget/meridian", "Service/meridian-ns1", "Service/meridian-ns2"} {
		if _, ok := objects[name]; !ok {
			t.Errorf("the manifest has no %s", name)
		}
	}
	if ns := cfg.Zones[0].Nameservers; len(ns) != 2 || ns[0].Addresses[0] == ns[1].Addresses[0] {
		t.Errorf("nameservers %v, want two with an address of their own", ns)
	}
}

func TestUnitAllowsDocumentedFeatures(t *testing.T) {
	unit := read(t, "systemd/meridian.service")
	for _, line := range []string{
		"Type=notify", "Restart=on-failure", "StartLimitIntervalSec=0", "StateDirectory=meridian",
		"RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX", "SystemCallFilter=@system-service",
	} {
		if !strings.Contains(unit, "\n"+line+"\n") {
			t.Errorf("the unit lacks %q", line)
		}
	}
	for _, denied := range []string{"RestartPreventExitStatus", "~@privileged @resources", "ProcSubset"} {
		if strings.Contains(unit, "\n"+denied) || strings.Contains(unit, denied+"\n") {
			t.Errorf("the unit has %q", denied)
		}
	}
	if !regexp.MustCompile(`(?m)^RestartSec=\d+$`).MatchString(unit) || !regexp.MustCompile(`(?m)^WatchdogSec=\d+$`).MatchString(unit) {
		t.Error("the unit lacks RestartSec or WatchdogSec")
	}
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Log("SKIPPED: systemd-analyze is not installed")
		return
	}
	if out, err := exec.Command("systemd/verify").CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze: %v %s", err, out)
	}
}

func TestContainerfileHasHealthCheckAndCapability(t *testing.T) {
	text := read(t, "container/Containerfile")
	for _, pattern := range []string{
		`(?m)^HEALTHCHECK .*CMD \["/meridian", "status", "--server=http://127\.0\.0\.1:8053"\]$`,
		`(?m)^RUN .*setcap cap_net_bind_service=\+ep /meridian`,
		`(?m)^ENTRYPOINT \["/meridian"\]$`,
	} {
		if !regexp.MustCompile(pattern).MatchString(text) {
			t.Errorf("the Containerfile lacks %s", pattern)
		}
	}
	ignored := strings.Fields(read(t, "../.dockerignore"))
	if !slices.Contains(ignored, ".git") || slices.Contains(ignored, "geo") {
		t.Errorf(".dockerignore has %q", ignored)
	}
}
