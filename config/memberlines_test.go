package config

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"meridian/config/internal/yamldoc"
)

// withMembers returns a configuration with one pool of these members.
func withMembers(policy string, lines ...string) string {
	return "regions:\n  us: {location: [39, -77.5]}\n  eu: {location: [50.1, 8.7]}\nchecks:\n  web: {type: tcp, port: 80}\n" +
		"pools:\n  app:\n    policy: " + policy + "\n    check: web\n    members:\n      " +
		strings.Join(lines, "\n      ") + "\n    min_up: 1\nzones:\n  example.com:\n    file: x\n    names:\n      www: {pool: app}\n"
}

// membersRead returns the number of members of the only pool of data that are read as a memberList.
func membersRead(t *testing.T, data string) int {
	t.Helper()
	doc, lines := outlined([]byte(data)), newMemberList(newDefaults().member)
	members := 0
	for key, value := range doc.Entries(doc.Root) {
		if key.Value != "pools" {
			continue
		}
		doc.WithItems(lines.reader(), func() {
			for _, pool := range doc.Entries(value) {
				if doc.HasItems(yamldoc.Child(pool, "members")) {
					members += len(lines.members)
				}
			}
		})
	}
	if doc.Fallback() != nil {
		t.Fatalf("not an outline: %v", doc.Fallback())
	}
	return members
}

func TestMemberLinesAreReadWithoutNodes(t *testing.T) {
	for _, lines := range [][]string{
		{`- {name: a, addresses: [192.0.2.1]}`},
		{`- {name: us-1, region: us, weight: 70, addresses: [10.0.0.0, "2001:db8:0:0::0:0"]}`, `- {addresses: [2001:db8::1, '192.0.2.7'], name: b, enabled: false}`},
		{`- {name: a, addresses: [192.0.2.1], check: none}   # spare`, ``, `# and`, `- {name: 7.x_y, weight: 0, check: web, enabled: true, addresses: [192.0.2.2]}`},
	} {
		data := withMembers("weighted", lines...)
		want := strings.Count(data, "- {")
		if got := membersRead(t, data); got != want {
			t.Errorf("%d of %d members are read without nodes:\n%s", got, want, strings.Join(lines, "\n"))
		}
		if !sameAsOutline(t, []byte(data)) {
			t.Errorf("no outline:\n%s", data)
		}
	}
}

// Members in any other form, or with errors, have the same result as nodes, including the positions of errors and
// warnings.
func TestRejectedMemberListsHaveTheSameResult(t *testing.T) {
	sound := `- {name: a, region: us, addresses: [192.0.2.1]}`
	for _, line := range []string{
		`- {name: a, region: us, addresses: [192.0.2.2]}`,
		`- {name: b, region: us, addresses: [192.0.2.1]}`,
		`- {name: b, region: us, addresses: [192.0.2.2, 192.0.2.2]}`,
		`- {name: b, region: mars, addresses: [192.0.2.2]}`,
		`- {name: b, addresses: [192.0.2.2]}`,
		`- {name: b, region: us, addresses: []}`,
		`- {name: b, region: us}`,
		`- {region: us, addresses: [192.0.2.2]}`,
		`- {name: b, region: us, addresses: [192.0.2.2], check: ftp}`,
		`- {name: b, region: us, addresses: [192.0.2.2], check: none}`,
		`- {name: b, region: us, addresses: [192.0.2.2], weight: 1000001}`,
		`- {name: b, region: us, addresses: [192.0.2.2], weight: 99999999999999999999}`,
		`- {name: b, region: us, addresses: [192.0.2.2], weight: 007}`,
		`- {name: b, region: us, addresses: [192.0.2.2], weight: -1}`,
		`- {name: b, region: us, addresses: [192.0.2.2], weight: "1"}`,
		`- {name: b, region: us, addresses: [192.0.2.2], enabled: yes}`,
		`- {name: b, region: us, addresses: [192.0.2.2], enabled: truest}`,
		`- {name: b, region: us, addresses: [0.0.0.0]}`,
		`- {name: b, region: us, addresses: [224.0.0.1, "ff02::1"]}`,
		`- {name: b, region: us, addresses: ["::ffff:192.0.2.2"]}`,
		`- {name: b, region: us, addresses: [192.0.2.2, fe80::1%eth0]}`,
		`- {name: b, region: us, addresses: [2001:db8::]}`,
		`- {name: b, region: us, addresses: [192.0.2.2], name: c}`,
		`- {name: null, region: us, addresses: [192.0.2.2]}`,
		`- {name: ~, region: us, addresses: [192.0.2.2]}`,
		`- {name: "b", region: us, addresses: [192.0.2.2]}`,
		`- {name: b c, region: us, addresses: [192.0.2.2]}`,
		`- {name: -b, region: us, addresses: [192.0.2.2]}`,
		`- {name: b, region: us, addresses: 192.0.2.2}`,
		`- {name: b, region: us, addresses: [192.0.2.2]} x`,
		`- {name: b, region: us, addresses: [192.0.2.2]}# x`,
		`- {name: b, region: us, pool: app}`,
		`- {name: b,region: us, addresses: [192.0.2.2]}`,
		`- { name: b, region: us, addresses: [ 192.0.2.2 ] }`,
		"- name: b\n        region: us\n        addresses: [192.0.2.2]",
		"- {name: b, region: us,\n         addresses: [192.0.2.2]}",
		`  - {name: b, region: us, addresses: [192.0.2.2]}`,
		"- {name: b, region: us, addresses: [192.0.2.2]}\n    members:\n      - {name: b, region: us, addresses: [192.0.2.3]}",
		"- {name: b, region: us, addresses: [192.0.2.2]}\n    members: [{name: b, region: us, addresses: [192.0.2.3]}]",
	} {
		for _, policy := range []string{"proximity", "weighted", "nearest"} {
			data := []byte(withMembers(policy, sound, line))
			got, want := outcomeOf(Parse("config.yaml", data)), outcomeOf(parseAtOnce("config.yaml", data))
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s: in pieces\n%+v\nat once\n%+v", line, got, want)
			}
		}
	}
}

func TestAlteredMemberListsHaveTheSameResult(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	data := withMembers("proximity", `- {name: us-1, region: us, weight: 70, addresses: [10.0.0.0, "2001:db8:0:0::0:0"]}`,
		`- {name: eu-1, region: eu, check: none, addresses: [10.0.0.1, "2001:db8:0:0::0:1"]}`)
	begin, end := strings.Index(data, "- {"), strings.Index(data, "min_up")
	for range 3000 {
		text := []byte(data)
		for range 1 + random.IntN(3) {
			i := begin + random.IntN(end-begin)
			switch random.IntN(3) {
			case 0:
				text[i] = text[begin+random.IntN(end-begin)]
			case 1:
				text = append(text[:i], text[i+1:]...)
			default:
				text[i] = " -{}[],:\"'\n#0a"[random.IntN(14)]
			}
		}
		if yamldoc.CheckText(text) != nil {
			continue
		}
		got, want := outcomeOf(Parse("config.yaml", text)), outcomeOf(parseAtOnce("config.yaml", text))
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("seed %d: in pieces\n%+v\nat once\n%+v\nof\n%s", seed, got, want, text)
		}
	}
}

func TestDuplicateFilterFindsEveryDuplicate(t *testing.T) {
	var r duplicateFilter
	for _, n := range []int{0, 1, 40, 5000, 3} {
		r.reset(n)
		for i := range n {
			if r.name(fmt.Sprint(i)) {
				t.Fatalf("%d of %d is there twice, it says", i, n)
			}
		}
		for i := range n {
			if !r.name(fmt.Sprint(i)) {
				t.Fatalf("%d of %d comes twice, and it does not say so", i, n)
			}
		}
	}
}
