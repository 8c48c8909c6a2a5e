package admin_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"meridian/admin"
	"meridian/control"
	"meridian/counterpart"
)

// forecastOf returns the share of clients without an answer after a change.
func forecastOf(t *testing.T, h http.Handler, query string) (unanswered float64) {
	t.Helper()
	var f struct {
		NoAnswer struct{ After float64 } `json:"no_answer"`
		FailOpen struct{ After float64 } `json:"fail_open"`
	}
	code, body := answered(h, asked("GET", "/v1/forecast?"+query, ""))
	if err := json.Unmarshal([]byte(body), &f); err != nil || code != http.StatusOK {
		t.Fatalf("%s: %d %s: %v", query, code, body, err)
	}
	return f.NoAnswer.After + f.FailOpen.After
}

func TestForecastOfSeveralTargets(t *testing.T) {
	h := api(t, admin.Options{})
	for query, want := range map[string]float64{
		"target=web/b&kind=down":                           0, // c is left: its check has no result
		"target=web/b&target=web/c&kind=down":              1,
		"target=region:east&target=web/c&kind=forced+down": 1,
		"target=web/b&target=web/c&kind=off":               0,
	} {
		if got := forecastOf(t, h, query); got != want {
			t.Errorf("%s: %v of the clients get no healthy member, want %v", query, got, want)
		}
	}
	if code, body := answered(h, asked("GET", "/v1/forecast?target=web/b&target=web/x&kind=down", "")); code != http.StatusNotFound {
		t.Errorf("with an unknown member: %d %s", code, body)
	}
}

func TestExplainIfDown(t *testing.T) {
	h := api(t, admin.Options{})
	const question = "/v1/explain?name=www.example.com&client=198.51.100.7"
	for _, c := range []struct {
		down string
		code int
		want string
	}{
		{"", 200, `"data": "127.0.0.87"`},
		{"&down=web/b", 200, `"data": "127.0.0.88"`},
		{"&down=web/b", 200, `"reason": "assumed to be down"`},
		{"&down=region:east&down=web/c", 200, `"mode": "fail-open"`},
		{"", 200, `"data": "127.0.0.87"`}, // the assumption has changed nothing
		{"&down=web/x", 404, `no member`},
		{"&down=", 400, `is not a target`},
	} {
		if code, body := answered(h, asked("GET", question+c.down, "")); code != c.code || !strings.Contains(body, c.want) {
			t.Errorf("%s: %d %s\nwant %d %s", c.down, code, body, c.code, c.want)
		}
	}
}

func TestExplainForCountryOrSystem(t *testing.T) {
	networks := "geo: {networks: {198.18.0.0/15: {country: XK}, 198.51.100.0/24: {country: XK}}}\n"
	h, _ := serveWorld(t, networks+world, admin.Options{})
	for _, c := range []struct {
		client string
		code   int
		want   string
	}{
		{"XK", 200, `"client": "198.18.0.0/15"`},
		{"xk", 200, `"client": "198.18.0.0/15"`},
		{"FR", 200, `"country": "FR"`},
		{"me", 200, `"client": "192.0.2.1"`}, // the address of a request by httptest
		{"XX", 404, `no IPv4 network of XX is known`},
		{"AS64500", 404, `with a database under geo.asn`},
		{"AS4294967296", 400, `want AS0 to AS4294967295`},
		{"France", 400, `neither an address nor a network`},
	} {
		if code, body := answered(h, asked("GET", "/v1/explain?name=www.example.com&client="+c.client, "")); code != c.code || !strings.Contains(body, c.want) {
			t.Errorf("%s: %d %.300s\nwant %d %s", c.client, code, body, c.code, c.want)
		}
	}
}

func TestAnswersOfMembers(t *testing.T) {
	h, address := serveWorld(t, world, admin.Options{})
	if _, body := answered(h, asked("GET", "/v1/answers", "")); !strings.Contains(body, `"members": []`) {
		t.Errorf("without a query: %s", body)
	}
	for range 3 {
		m := new(dns.Msg).SetQuestion("www.example.com.", dns.TypeA)
		if _, err := counterpart.Exchange(m, address); err != nil {
			t.Fatal(err)
		}
	}
	var a control.Answers
	for range 1000 { // a worker publishes its counts after it has sent the answers
		_, body := answered(h, asked("GET", "/v1/answers", ""))
		if err := json.Unmarshal([]byte(body), &a); err != nil {
			t.Fatal(err)
		}
		if len(a.Members) == 1 && a.Members[0].Answers == 3 {
			break
		}
	}
	if want := (control.MemberAnswers{Pool: "web", Member: "b", Region: "east", Answers: 3}); len(a.Members) != 1 || a.Members[0] != want || a.Since.IsZero() {
		t.Errorf("%+v, want %+v", a, want)
	}
}
