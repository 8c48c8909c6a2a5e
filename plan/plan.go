// Package plan forecasts the effect of a configuration change or an outage on traffic.
//
// Terms: a side is a configuration as it would serve, before or after the change. A
// [Client] is a network with one location and a number of queries. Traffic moves if the two
// sides give a client different addresses, or in part if the probabilities differ:
//
//	moved = Σ over clients  weight · Σ over addresses max(0, before − after)
//
// The probabilities come from [pools.Tree.NestedProbabilities], which uses the code of the
// serving path, so a forecast cannot drift from real answers. Every name that a pool answers
// counts the same; IPv4 clients query A, IPv6 clients AAAA.
//
// Traffic that keeps its address can still be impaired. A change affects the traffic that it
// moves and the traffic of pools that it stops from answering normally, each query once;
// see impaired.go.
//
// Millions of clients take seconds, because equal clients are computed once:
//
//	clients ──► classes: one location, and equal client keys on both sides
//	            (pools.Tree.ClientKey)
//	classes × pairs of pools ──► probabilities before and after, once for each
//	        ──► flows by region, country, continent, autonomous system
//
// If the client address itself decides, as in the policy hash, there are no classes: plan
// computes each network of a list, or one of 65,536 addresses of all IPv4.
package plan

// The pseudo-regions of traffic without a region.
const (
	answerNone = "(no answer)"
	elsewhere  = "(no region)" // to members without a region
)

// unknown is the country or continent of clients without a known one.
const unknown = "unknown"

// Forecast is the effect of a change on traffic. Shares are parts of all traffic, 0
// to 1; distances are in kilometres.
type Forecast struct {
	Clients    int          `json:"clients"`            // networks weighed
	Names      int          `json:"names"`              // that a pool answers on both sides: all traffic
	Added      int          `json:"added"`              // names that only the side after has; not in what follows
	Removed    int          `json:"removed"`            // names that only the side before has; not in what follows
	Moved      float64      `json:"moved"`              // share that gets another address
	Affected   float64      `json:"affected"`           // share that moves, or is impaired by the change
	FailOpen   Change       `json:"fail_open"`          // share answered by pools that fail open
	Fallback   Change       `json:"fallback"`           // share answered by fallback pools
	NoAnswer   Change       `json:"no_answer"`          // share that gets no address (NODATA)
	Impaired   []Impairment `json:"impaired,omitempty"` // the pools of the last three shares
	Unasked    []Unasked    `json:"unasked,omitempty"`  // pools of names that no client queries
	Km         Distances    `json:"km"`                 // mean distance from client to region
	Regions    []Target     `json:"regions"`            // in the order of the configurations
	Members    []Target     `json:"members"`            // members with a changed share, the largest change first
	Flows      []Flow       `json:"flows"`              // traffic that moves, the largest first
	Pools      []Part       `json:"pools"`              // pools of names; the most moved first, as in the next three
	Countries  []Part       `json:"countries"`
	Continents []Part       `json:"continents"`
	Systems    []Part       `json:"asns"`               // none without an ASN file
	Worst      []Part       `json:"worst"`              // countries that are sent farther, the farthest first
	Breaches   []Overload   `json:"breaches,omitempty"` // see FindBreaches

	traffic float64  // see FindBreaches; 0: not given
	bounded bool     // at least one capacity is configured
	served  []Target // every endpoint and cname, changed or not
	nested  []Target // every member that is a pool
}

// Overload is a region or member that gets more than its capacity after the change.
type Overload struct {
	Name     string  `json:"name"`
	Load     Change  `json:"load"` // in the unit of the capacity
	Capacity float64 `json:"capacity"`
}

// Change is a value before and after the change.
type Change struct {
	Before float64 `json:"before"`
	After  float64 `json:"after"`
}

// Target is a region or member and the share of all traffic that it gets.
type Target struct {
	Name  string `json:"name"`
	Share Change `json:"share"`
}

// Flow is the traffic that moves from one region to another, or between members of one.
type Flow struct {
	From  string  `json:"from"`
	To    string  `json:"to"`
	Share float64 `json:"share"`
}

// Part is a part of all traffic: that of a country, continent, autonomous system, or of
// the names of one pool.
type Part struct {
	Name  string    `json:"name"`
	Share float64   `json:"share"`          // of all traffic
	Moved float64   `json:"moved"`          // of all traffic, too
	From  string    `json:"from,omitempty"` // the regions of its largest flow
	To    string    `json:"to,omitempty"`
	Km    Distances `json:"km"`

	Before string `json:"before,omitempty"` // the region that most of it gets before
	After  string `json:"after,omitempty"`  // and after
}
