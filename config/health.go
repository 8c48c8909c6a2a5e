package config

import (
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// The range of the window of max_ejection.
const (
	minEjectionWindow = time.Second
	maxEjectionWindow = 24 * time.Hour
)

// formerMaxEjection is the former key of max_ejection.
var formerMaxEjection = field{name: "max_withdraw", refused: `"max_withdraw" is now "max_ejection", written like max_ejection: 50%/60s`}

func (d *decoder) health(to *Health) setter {
	return func(n *yaml.Node) {
		d.mapping(n, []field{
			{name: "max_ejection", set: setValue(&to.MaxEjection, d.maxEjection)},
			formerMaxEjection,
		})
	}
}

// maxEjectionOrOff reads the max_ejection of a pool: off removes the default.
func (d *decoder) maxEjectionOrOff(n *yaml.Node) (MaxEjection, bool) {
	if n.Kind == yaml.ScalarNode && n.Value == "off" {
		return MaxEjection{Percent: 100, Window: minEjectionWindow}, true
	}
	return d.maxEjection(n)
}

// maxEjection reads a percentage of weight and a window, such as 50%/60s.
func (d *decoder) maxEjection(n *yaml.Node) (m MaxEjection, ok bool) {
	s, ok := d.scalar(n)
	if !ok {
		return m, false
	}
	share, window, both := strings.Cut(s, "/")
	digits, percent := strings.CutSuffix(share, "%")
	if !both || !percent || !decimal(digits) {
		d.errorf(n, quote(s)+" is not a percentage of the weight and a window", "write it like 50%/60s")
		return m, false
	}
	most, noCount := strconv.Atoi(digits)
	within, noDuration := time.ParseDuration(window)
	switch {
	case noCount != nil || most < 1 || most > 100:
		d.errorf(n, quote(share)+" is out of range", "1% to 100%")
	case noDuration != nil:
		d.errorf(n, quote(window)+" is not a duration", "write it with its unit, like 50%/60s")
	case within < minEjectionWindow || within > maxEjectionWindow:
		d.errorf(n, quote(window)+" is out of range", FormatDuration(minEjectionWindow)+" to "+FormatDuration(maxEjectionWindow))
	default:
		return MaxEjection{Percent: most, Window: within}, true
	}
	return MaxEjection{}, false
}
