package loads

import (
	"testing"

	"meridian/config"
)

func read(t *testing.T, of *config.LoadSource, body string) string {
	t.Helper()
	r, err := parserOf(of.Type)(of, []byte(body))
	if err == nil {
		err = r.validate()
	}
	if err != nil {
		return err.Error()
	}
	return text(r)
}

var sources = map[string]*config.LoadSource{
	"json": {Type: config.JSON, Load: config.Reading{Path: []string{"pool", "0", "active"}}, Capacity: config.Reading{Path: []string{"max"}}},
	"prometheus": {
		Type: config.Prometheus, Load: config.Reading{Metric: "rq_active", Labels: []config.Label{{Name: "cluster", Value: "web"}}},
		Capacity: config.Reading{Metric: "limit"},
	},
	"backend":  {Type: config.HAProxy, Backend: "web"},
	"frontend": {Type: config.HAProxy, Frontend: "www"},
	"nginx":    {Type: config.Nginx},
}

const haproxyHead = "# pxname,svname,qcur,qmax,scur,smax,slim,stot,\n"

func TestParseReports(t *testing.T) {
	for _, c := range []struct{ behaviour, source, body, want string }{
		{"json", "json", `{"pool":[{"active": 12.5}], "max": "100"}`, "12.5 of 100"},
		{"json: a key that is not there", "json", `{"pool":[{"busy": 1}], "max": 100}`, `no "pool.0.active" in the report`},
		{"json: a list that is too short", "json", `{"pool":[], "max": 100}`, `no "pool.0" in the report: the list has 0 items`},
		{"json: a path below a number", "json", `{"pool": 3}`, `no "pool.0" in the report: its parent is a single value`},
		{"json: not a number", "json", `{"pool":[{"active": true}], "max": 100}`, `"pool.0.active" is not a number`},
		{"json: not a number in quotes", "json", `{"pool":[{"active": "a lot"}], "max": 100}`, `"pool.0.active" is "a lot", want a number`},
		{"json: NaN in quotes", "json", `{"pool":[{"active": "NaN"}], "max": 100}`, "load is NaN, want a finite number from 0 on"},
		{"json: below 0", "json", `{"pool":[{"active": -1}], "max": 100}`, "load is -1, want a finite number from 0 on"},
		{"json: too large", "json", `{"pool":[{"active": 1e999}], "max": 100}`, `"pool.0.active" is "1e999", want a number`},
		{"json: garbage", "json", "<html>", "not JSON: invalid character '<' looking for beginning of value"},
		{
			"prometheus: series are added up", "prometheus",
			"# HELP rq_active x\n# TYPE rq_active gauge\nrq_active{cluster=\"web\",zone=\"a\"} 3\nrq_active{zone=\"b\", cluster=\"web\",} 4.5 1700000000\nrq_active{cluster=\"api\"} 100\nrq_active_max{cluster=\"web\"} 9\nlimit 40\n",
			"7.5 of 40",
		},
		{"prometheus: quotes in a label", "prometheus", "rq_active{a=\"}\\\"\\\\\\n\",cluster=\"web\"} 1\nlimit\t2\n", "1 of 2"},
		{"prometheus: no such series", "prometheus", "rq_active{cluster=\"api\"} 1\nlimit 2\n", `no series of "rq_active" with the configured labels in the report`},
		{"prometheus: NaN", "prometheus", "rq_active{cluster=\"web\"} NaN\nlimit 2\n", "load is NaN, want a finite number from 0 on"},
		{"prometheus: unterminated value", "prometheus", "rq_active{cluster=\"we", `line "rq_active{cluster=\"we": a label's value does not end`},
		{"prometheus: unterminated labels", "prometheus", "rq_active{cluster", `line "rq_active{cluster": labels do not end`},
		{"prometheus: no value", "prometheus", "rq_active{cluster=\"web\"}\n", `line "rq_active{cluster=\"web\"}": no value`},
		{"prometheus: an infinite capacity", "prometheus", "rq_active{cluster=\"web\"} 1\nlimit +Inf\n", "capacity is +Inf, want a finite number from 0 on"},
		{"haproxy: a backend", "backend", haproxyHead + "web,s1,0,0,9,9,9,9,\nweb,BACKEND,0,0,7,9,200,9,\n", "7 of 200"},
		{"haproxy: a frontend without a limit", "frontend", haproxyHead + "www,FRONTEND,,,3,9,,9,\n", "3 of 0"},
		{"haproxy: no such backend", "backend", haproxyHead + "api,BACKEND,0,0,7,9,200,9,\n", `no BACKEND "web" in the statistics`},
		{"haproxy: the HTML page", "backend", "<!DOCTYPE html>", "not the CSV of HAProxy's statistics"},
		{"haproxy: not a number", "backend", haproxyHead + "web,BACKEND,0,0,many,9,200,9,\n", `scur is "many", want a number`},
		{"haproxy: a row cut short", "backend", haproxyHead + "web,BACKEND,0\n", `scur is "", want a number`},
		{"nginx", "nginx", "Active connections: 291 \nserver accepts handled requests\n 1 1 1 \n", "291 of 0"},
		{"nginx: garbage", "nginx", "it works", `no "Active connections:" in the report`},
		{"nginx: not a number", "nginx", "Active connections: -2\n", `"-2" active connections, want a number`},
	} {
		t.Run(c.behaviour, func(t *testing.T) {
			if got := read(t, sources[c.source], c.body); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// Any input results in a valid report or in an error that fits on a line.
func FuzzParse(f *testing.F) {
	f.Add(`{"pool":[{"active": 12.5}], "max": "100"}`)
	f.Add("rq_active{a=\"}\\\"\",cluster=\"web\"} 1\nlimit\t2\n")
	f.Add(haproxyHead + "web,BACKEND,0,0,7,9,200,9,\nwww,FRONTEND,,,3,9,,9,\n")
	f.Add("Active connections: 291 \n")
	f.Fuzz(func(t *testing.T, body string) {
		for name, of := range sources {
			r, err := parserOf(of.Type)(of, []byte(body))
			if err == nil {
				err = r.validate()
			}
			if err != nil && len(err.Error()) > 400 {
				t.Errorf("%s: an error of %d octets", name, len(err.Error()))
			}
			if err == nil && !(r.Load >= 0 && r.Capacity >= 0) {
				t.Errorf("%s: %v", name, r)
			}
		}
	})
}
