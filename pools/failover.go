package pools

// inOrder is the first member in the order written:
//
//	primary   secondary   chosen
//	eligible  -           primary
//	not       eligible    secondary
//	not       not         the pool is not live and nobody comes here
//
// With `answers: n` it is the first n.
func inOrder(from set) int { return from.first() }

// whyOrder tells why failover chose a member.
func whyOrder() string { return "first eligible in the order written" }
