package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

// configFlag is the -c that most verbs take.
type configFlag string

func (f *configFlag) String() string     { return string(*f) }
func (f *configFlag) Set(s string) error { *f = configFlag(s); return nil }
func (f *configFlag) Type() string       { return "FILE" }

func addConfigFlag(c *cobra.Command, f *configFlag) {
	c.Flags().VarP(f, "config", "c", "the configuration")
	if err := c.MarkFlagRequired("config"); err != nil {
		panic(err) // the flag was added a line above
	}
}

// outputFlag is the -o of verbs that print a table.
type outputFlag string

const (
	outputText outputFlag = "text"
	outputJSON outputFlag = "json"
)

func (f *outputFlag) String() string { return string(*f) }
func (f *outputFlag) Type() string   { return "FORMAT" }

func (f *outputFlag) Set(s string) error {
	switch o := outputFlag(s); o {
	case outputText, outputJSON:
		*f = o
		return nil
	}
	return fmt.Errorf("%q is not a format; text or json", s)
}

func addOutputFlag(c *cobra.Command, f *outputFlag) {
	*f = outputText
	c.Flags().VarP(f, "output", "o", "text or json")
}
