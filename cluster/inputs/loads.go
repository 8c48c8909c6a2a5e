package inputs

import (
	"encoding/json"
	"errors"
	"math"
	"time"
)

// Loads holds the loads that a node gives: reports that it has polled, and the state of its controllers.
type Loads struct {
	Fingerprint string          `json:"fingerprint,omitempty"` // of the configuration of the controllers; empty: the node gives only reports
	Controllers json.RawMessage `json:"controllers,omitempty"` // their state; its times are ages
	Reports     []Report        `json:"reports"`               // with Fingerprint, all that its controllers have acted on
}

// Report is a load report.
type Report struct {
	Key      string        `json:"key"` // of the load target
	Load     float64       `json:"load"`
	Capacity float64       `json:"capacity,omitempty"`
	Age      time.Duration `json:"age"`            // when the record was written
	From     string        `json:"from,omitempty"` // the node that has polled it; empty: that of the record
}

// maxAge is the largest age of a report: the time since it came is added to it, and the sum must not overflow.
const maxAge = 100 * 365 * 24 * time.Hour

// validate returns the first error of l.
func (l *Loads) validate() error {
	for i := range l.Reports {
		r := &l.Reports[i]
		if r.Key == "" || r.Age < 0 || r.Age > maxAge || !isLoad(r.Load) || !isLoad(r.Capacity) {
			return errors.New("a load report has an impossible number")
		}
	}
	return nil
}

func isLoad(x float64) bool { return x >= 0 && !math.IsInf(x, 1) }

// LoadView holds the loads that other nodes give to this one.
type LoadView struct {
	Giver    string // the node with the controllers that all use; empty: this node itself, or none
	Seq      uint64 // of its record
	At       time.Time
	Given    *Loads            // of the giver; nil: none
	Reported map[string]Report // by key: the reports that other nodes have polled, each of the first node by name; From is that node, and Age is at now
	Gives    bool              // this node gives the state of its controllers to the others
}

// Loads returns the loads that other nodes give at now to a node with controllers of a fingerprint.
//
//	this node                                 the controllers that it uses
//	----------------------------------------  --------------------------------------------------------
//	is the first of the fresh nodes with      its own, and gives their state
//	this fingerprint, and may give
//	is another one                            those of the first
//	may not give yet, and no other node does  its own
//	does not reach etcd                       its own, from the last state
func (x *Exchange) Loads(fingerprint string, now time.Time) LoadView {
	records, peers := x.Records(LoadKind, now)
	view := LoadView{Reported: map[string]Report{}}
	for i := range records {
		r := &records[i]
		of, err := decodeLoads(r.Body)
		if err != nil {
			x.RejectBody(LoadKind, r, err)
			continue
		}
		if view.Given == nil && of.Fingerprint == fingerprint && fingerprint != "" && (r.Node < x.Node || !peers.Gives) {
			view.Giver, view.Seq, view.At, view.Given = r.Node, r.Seq, r.At, of
		}
		view.addReports(r, of.Reports, now)
	}
	view.Gives = view.Given == nil && peers.Gives
	return view
}

// addReports adds the reports that the node of a record has polled, unless an earlier one has.
func (v *LoadView) addReports(r *Record, reports []Report, now time.Time) {
	for _, report := range reports {
		if _, known := v.Reported[report.Key]; known || report.From != "" {
			continue
		}
		report.From, report.Age = r.Node, report.Age+now.Sub(r.At)
		v.Reported[report.Key] = report
	}
}

// decodeLoads reads the body of a record.
func decodeLoads(body json.RawMessage) (*Loads, error) {
	of := new(Loads)
	if err := json.Unmarshal(body, of); err != nil {
		return nil, err
	}
	return of, of.validate()
}
