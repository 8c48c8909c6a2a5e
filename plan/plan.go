// Package plan forecasts what a change of the configuration, or an outage, does
// to traffic before it happens.
//
// The words. A side is a configuration as it would serve: the one before the
// change, or the one after. A [Client] is a network that stands in one place and
// sends some queries. Traffic moves where the two sides give a client different
// addresses, in part where they do so with some probability:
//
//	moved = Σ over clients  weight · Σ over addresses max(0, before − after)
//
// The odds on either side come from [pools.Tree.Odds], which weighs where serving
// draws, so that a forecast cannot drift from what happens. Every name that a pool
// answers counts the same; clients of IPv4 ask for A, those of IPv6 for AAAA.
//
// Traffic that keeps its address may be worse off all the same. What a change
// affects is what it moves and what it makes a pool answer otherwise than in good
// health, each query once; see impaired.go.
//
// How millions of clients are weighed in seconds:
//
//	clients ──► classes: who stand in one place, and of whom both sides
//	            know the same (pools.Tree.Standing)
//	classes × pairs of pools ──► odds before and after, once for each
//	        ──► flows by region, country, continent, autonomous system
//
// What decides by a client's very address, such as the policy hash, knows no
// classes: there each network of a list is weighed by itself, and of everybody one
// address in 65,536.
package plan

// The regions of traffic that goes to none.
const (
	answerNone = "(no answer)"
	elsewhere  = "(no region)" // to members that stand in no region
)

// unknown is the country or continent of clients of whom neither is known.
const unknown = "unknown"

// Forecast is what a change does to traffic. Shares are parts of all traffic, 0
// to 1; distances are kilometres.
type Forecast struct {
	Clients    int          `json:"clients"`            // networks weighed
	Names      int          `json:"names"`              // that a pool answers on both sides: all traffic
	Added      int          `json:"added"`              // names that only the side after has; not in what follows
	Removed    int          `json:"removed"`            // names that only the side before has; likewise
	Moved      float64      `json:"moved"`              // share that gets another address
	Affected   float64      `json:"affected"`           // share that moves, or is impaired by the change
	FailOpen   Change       `json:"fail_open"`          // share that pools answer which fail open
	Fallback   Change       `json:"fallback"`           // share that pools answer in place of those that are down
	NoAnswer   Change       `json:"no_answer"`          // share that gets no address (NODATA)
	Impaired   []Impairment `json:"impaired,omitempty"` // whose shares the last three are
	Km         Distances    `json:"km"`                 // mean distance from client to region
	Regions    []Target     `json:"regions"`            // in the order of the configurations
	Members    []Target     `json:"members"`            // those whose share changes, the most changed first
	Flows      []Flow       `json:"flows"`              // what moves, the largest first
	Pools      []Part       `json:"pools"`              // those that names are bound to; the most moved first, like what follows
	Countries  []Part       `json:"countries"`
	Continents []Part       `json:"continents"`
	Systems    []Part       `json:"asns"`               // none without an ASN file
	Worst      []Part       `json:"worst"`              // countries that are sent farther, the farthest first
	Breaches   []Overload   `json:"breaches,omitempty"` // see FindBreaches

	traffic float64  // see FindBreaches; 0: nobody asked
	bounded bool     // there is a capacity to hold it against
	served  []Target // every endpoint and cname, whether its share changes or not
	nested  []Target // every member that is a pool
}

// Overload is a region or member that gets more after the change than it can bear.
type Overload struct {
	Name     string  `json:"name"`
	Load     Change  `json:"load"` // in the unit of the capacity
	Capacity float64 `json:"capacity"`
}

// Change is a figure on either side.
type Change struct {
	Before float64 `json:"before"`
	After  float64 `json:"after"`
}

// Target is a region or member and the share of all traffic that it gets.
type Target struct {
	Name  string `json:"name"`
	Share Change `json:"share"`
}

// Flow is what moves from one region to another, or between members of one.
type Flow struct {
	From  string  `json:"from"`
	To    string  `json:"to"`
	Share float64 `json:"share"`
}

// Part is a part of all traffic: what comes from a country, continent or
// autonomous system, or asks for names of one pool.
type Part struct {
	Name  string    `json:"name"`
	Share float64   `json:"share"`          // of all traffic
	Moved float64   `json:"moved"`          // of all traffic, too
	From  string    `json:"from,omitempty"` // the regions of its largest flow
	To    string    `json:"to,omitempty"`
	Km    Distances `json:"km"`
}
