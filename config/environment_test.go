package config

import (
	"strings"
	"testing"
)

func TestServerSettingsAcceptEnvironmentVariables(t *testing.T) {
	t.Setenv("NODE_NAME", "ams1")
	t.Setenv("LISTEN", "127.0.0.1:5300")
	t.Setenv("WORKERS", "3")
	t.Setenv("EMPTY", "")
	const text = `server:
  listen: ["${LISTEN}", "[::1]:5300"]
  nsid: ${NODE_NAME}
  version: "${MERIDIAN_TEST_UNSET:-not set}"
  workers: "${WORKERS}"
  udp_size: ${EMPTY:-1400}
  ecs: ${MERIDIAN_TEST_UNSET:-false}
admin:
  listen: ${MERIDIAN_TEST_UNSET:-127.0.0.1:8053}
pools:
  web: {policy: weighted, members: [{name: a, addresses: [192.0.2.1]}]}
zones:
  example.com:
    nameservers: {ns1.example.net: []}
    contact: hostmaster@example.com
    names: {www: {pool: web}}
`
	cfg, warnings, err := Parse("c.yaml", []byte(text))
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	s := cfg.Server
	if s.NSID != "ams1" || s.Version != "not set" || s.Workers != 3 || s.UDPSize != 1400 || s.ECS || s.Listen[0].String() != "127.0.0.1:5300" {
		t.Errorf("server is %+v", s)
	}
	if cfg.Admin.Listen.String() != "127.0.0.1:8053" {
		t.Errorf("admin is %+v", cfg.Admin)
	}
}

func TestErrorsNameTheEnvironmentVariable(t *testing.T) {
	t.Setenv("WORKERS", "many")
	t.Setenv("EMPTY", "")
	const notAsAWhole = "is not an environment variable as a whole; write ${NAME} or ${NAME:-DEFAULT} as the whole value; NAME has letters, digits and _"
	for text, want := range map[string]string{
		"server:\n  nsid: ${MERIDIAN_TEST_UNSET}\n  workers: ${MERIDIAN_TEST_UNSET}\n": "c.yaml:2:9: server.nsid: environment variable MERIDIAN_TEST_UNSET is not set; set it, or write a default: ${MERIDIAN_TEST_UNSET:-VALUE}\n" +
			"c.yaml:3:12: server.workers: environment variable MERIDIAN_TEST_UNSET is not set; set it, or write a default: ${MERIDIAN_TEST_UNSET:-VALUE}",
		"server: {workers: \"${WORKERS}\"}\n":             `c.yaml:1:19: server.workers: "many" is not a whole number (from the environment variable WORKERS); 0 to 1024`,
		"server:\n  nsid: ${EMPTY}\n":                     `c.yaml:2:9: server.nsid: an empty value (from the environment variable EMPTY); write at least one character`,
		"server:\n  listen: [\"${WORKERS:-x}\"]\n":        `c.yaml:2:12: server.listen[0]: "many" is not an address and port (from the environment variable WORKERS); write it like 192.0.2.53:53 or [2001:db8::53]:53`,
		"server: {nsid: ${WORKERS}}\n":                    `c.yaml:1:1: invalid YAML: did not find expected ',' or '}'; within brackets an environment variable is quoted: "${NAME}"`,
		"server:\n  nsid: \"${}\"\n  workers: ${1x:-1}\n": `c.yaml:2:9: server.nsid: "${}" ` + notAsAWhole + "\n" + `c.yaml:3:12: server.workers: "${1x:-1}" ` + notAsAWhole,
		"server:\n  nsid: node-${WORKERS}\n":              `c.yaml:2:9: server.nsid: "node-${WORKERS}" ` + notAsAWhole,
		"admin:\n  listen: \"${EMPTY}:5411\"\n":           `c.yaml:2:11: admin.listen: "${EMPTY}:5411" ` + notAsAWhole,
		"server:\n  listen: [\"${X:-::1}:${Y:-53}\"]\n":   `c.yaml:2:12: server.listen[0]: "${X:-::1}:${Y:-53}" ` + notAsAWhole,
	} {
		_, _, err := Parse("c.yaml", []byte(text))
		if err == nil || err.Error() != want {
			t.Errorf("%s: %v\nwant %s", text, err, want)
		}
	}
}

func TestEnvironmentVariablesInOtherSectionsAreErrors(t *testing.T) {
	t.Setenv("NODE", "x")
	const hint = " is not replaced by an environment variable; environment variables are supported only under server and admin"
	for text, want := range map[string]string{
		"state: ${NODE}\n":                              `c.yaml:1:8: state: "${NODE}"` + hint,
		"state: /var/lib/${NODE}\n":                     `c.yaml:1:8: state: "/var/lib/${NODE}"` + hint,
		"geo:\n  database: \"${NODE:-x}.mmdb\"\n":       `c.yaml:2:13: geo.database: "${NODE:-x}.mmdb"` + hint,
		"regions:\n  \"${NODE}\": {location: [1, 2]}\n": `c.yaml:2:3: regions.${NODE}: "${NODE}"` + hint,
	} {
		if _, _, err := Parse("c.yaml", []byte(text)); err == nil || err.Error() != want {
			t.Errorf("%s: %v\nwant %s", text, err, want)
		}
	}
}

// The texts of checks may contain shell variables and patterns: a value is literal, with a warning.
func TestChecksWarnOfEnvironmentVariables(t *testing.T) {
	t.Setenv("NODE", "x")
	const text = `server: {nsid: "${NODE}"}
checks:
  run: {type: exec, command: [/bin/sh, -c, "${NODE}", "echo ${NODE}"]}
pools:
  web: {policy: weighted, check: run, members: [{name: a, addresses: [192.0.2.1]}]}
zones:
  example.com:
    nameservers: {ns1.example.net: []}
    contact: hostmaster@example.com
    names: {www: {pool: web}}
`
	cfg, warnings, err := Parse("c.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(cfg.Checks[0].Command, " "); got != "/bin/sh -c ${NODE} echo ${NODE}" {
		t.Errorf("command is %s", got)
	}
	const want = `c.yaml:3:44: checks.run.command[2]: "${NODE}" is used literally; environment variables are supported only under server and admin`
	if len(warnings) != 1 || warnings[0].Error() != want {
		t.Errorf("warnings %v, want %s", warnings, want)
	}
}
