package config

import (
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// The ranges of what bounds withdrawals.
const (
	minWithdrawWindow = time.Second
	maxWithdrawWindow = 24 * time.Hour
)

func (d *decoder) health(to *Health) reader {
	return func(n *yaml.Node) {
		d.mapping(n, []field{
			{name: "max_withdraw", read: into(&to.MaxWithdraw, d.maxWithdraw)},
		})
	}
}

// maxWithdraw reads a percentage of members and a time, such as 25%/60s.
func (d *decoder) maxWithdraw(n *yaml.Node) (m MaxWithdraw, ok bool) {
	s, ok := d.scalar(n)
	if !ok {
		return m, false
	}
	share, window, both := strings.Cut(s, "/")
	digits, percent := strings.CutSuffix(share, "%")
	if !both || !percent || !decimal(digits) {
		d.fault(n, quote(s)+" is not a percentage of members in a time", "write it like 25%/60s")
		return m, false
	}
	most, noCount := strconv.Atoi(digits)
	within, noSpan := time.ParseDuration(window)
	switch {
	case noCount != nil || most < 1 || most > 100:
		d.fault(n, quote(share)+" is out of range", "1% to 100%")
	case noSpan != nil:
		d.fault(n, quote(window)+" is not a duration", "write it with its unit, like 25%/60s")
	case within < minWithdrawWindow || within > maxWithdrawWindow:
		d.fault(n, quote(window)+" is out of range", span(minWithdrawWindow)+" to "+span(maxWithdrawWindow))
	default:
		return MaxWithdraw{Percent: most, Window: within}, true
	}
	return MaxWithdraw{}, false
}
