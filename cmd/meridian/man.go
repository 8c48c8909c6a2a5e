package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// manHelp is the text of --help of meridian man.
const manHelp = `Man prints the manual page of COMMAND, or of meridian itself, in roff, as man reads it. With -o it
writes the pages of all commands to DIR, one file for each: meridian.1, meridian-serve.1 and so on.

Exit: 0; 1 if there is no such command, or DIR cannot be written.`

func manCommand() *cobra.Command {
	var folder string
	c := &cobra.Command{
		Use:   "man [COMMAND]... [-o DIR]",
		Short: "Print a manual page, or write the pages of all commands",
		Long:  manHelp,
		Example: `  meridian man drain | man -l -
  meridian man -o /usr/local/share/man/man1`,
		RunE: func(c *cobra.Command, args []string) error {
			if folder != "" && len(args) == 0 {
				return writeManPages(c.Root(), folder)
			}
			if folder != "" {
				return errors.New("-o writes the pages of all commands; leave COMMAND out")
			}
			of, rest, err := c.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return fmt.Errorf("no command %q; meridian --help lists the commands", strings.Join(args, " "))
			}
			_, err = io.WriteString(c.OutOrStdout(), manPage(of))
			return err
		},
	}
	c.Flags().StringVarP(&folder, "output", "o", "", "write all pages to this `DIR`")
	return c
}

// writeManPages writes the page of c and those of its commands to a directory.
func writeManPages(c *cobra.Command, folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	for _, of := range append([]*cobra.Command{c}, documented(c)...) {
		if err := os.WriteFile(filepath.Join(folder, manName(of)+".1"), []byte(manPage(of)), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// documented returns the commands below c that --help shows, in depth first order.
func documented(c *cobra.Command) (all []*cobra.Command) {
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			all = append(append(all, sub), documented(sub)...)
		}
	}
	return all
}

// manName returns the name of a command's page.
func manName(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "-") }

// manPage returns the page of a command. It has no date, so that equal programs have equal pages.
func manPage(c *cobra.Command) string {
	c.InitDefaultHelpFlag()
	p := new(roff)
	fmt.Fprintf(&p.Builder, ".TH %q 1 \"\" %q \"Meridian manual\"\n", strings.ToUpper(manName(c)), "meridian "+buildVersion())
	p.section("NAME")
	p.text(manName(c) + ` - ` + c.Short)
	p.section("SYNOPSIS")
	p.verbatim(strings.TrimPrefix(c.UseLine(), " "))
	p.section("DESCRIPTION")
	exit := p.paragraphs(firstNonEmpty(c.Long, c.Short))
	p.commands(c)
	p.options(c)
	if exit != "" {
		p.section("EXIT STATUS")
		p.text(exit)
	}
	if c.Example != "" {
		p.section("EXAMPLES")
		p.verbatim(c.Example)
	}
	p.section("ENVIRONMENT")
	p.tagged(configVariable, "the default of -c: a path, or several separated by a colon")
	p.tagged(serverVariable, "the default of --server: the address of the API of a running server")
	p.seeAlso(c)
	return p.String()
}

func firstNonEmpty(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// roff builds a page of the macros of man(7).
type roff struct{ strings.Builder }

var roffEscapes = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "^", `\(ha`, "~", `\(ti`, "`", `\(ga`)

// line writes a line of text, in which nothing is a request of roff.
func (p *roff) line(s string) {
	s = roffEscapes.Replace(s)
	if strings.HasPrefix(s, ".") {
		s = `\&` + s
	}
	p.WriteString(s + "\n")
}

func (p *roff) section(name string) { p.WriteString(".SH " + name + "\n") }

// text writes lines that man may join and break.
func (p *roff) text(s string) {
	for line := range strings.Lines(s) {
		p.line(strings.TrimSpace(line))
	}
}

// verbatim writes lines that man keeps, indented.
func (p *roff) verbatim(s string) {
	p.WriteString(".RS 0\n.nf\n")
	for line := range strings.Lines(strings.Trim(s, "\n")) {
		p.line(strings.TrimPrefix(strings.TrimRight(line, "\n"), "  "))
	}
	p.WriteString(".fi\n.RE\n")
}

// tagged writes a term and its meaning.
func (p *roff) tagged(term, meaning string) {
	p.WriteString(".TP\n.B ")
	p.line(term)
	p.text(meaning)
}

// paragraphs writes a help text; its indented paragraphs are examples. It returns the exit codes
// that end the text.
func (p *roff) paragraphs(s string) (exit string) {
	for _, paragraph := range strings.Split(s, "\n\n") {
		if codes, ok := strings.CutPrefix(paragraph, "Exit: "); ok {
			exit = codes
			continue
		}
		p.WriteString(".PP\n")
		if strings.HasPrefix(paragraph, " ") {
			p.verbatim(paragraph)
		} else {
			p.text(paragraph)
		}
	}
	return exit
}

// commands lists the commands below c.
func (p *roff) commands(c *cobra.Command) {
	first := true
	for _, sub := range c.Commands() {
		if !sub.IsAvailableCommand() {
			continue
		}
		if first {
			p.section("COMMANDS")
			first = false
		}
		p.tagged(sub.Name(), sub.Short)
	}
}

// options lists the flags of c.
func (p *roff) options(c *cobra.Command) {
	p.section("OPTIONS")
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		value, usage := pflag.UnquoteUsage(f)
		term := "--" + f.Name
		if f.Shorthand != "" {
			term = "-" + f.Shorthand + ", " + term
		}
		if value != "" {
			term += " " + value
		}
		p.tagged(term, usage+defaultOf(f))
	})
}

// defaultOf returns the default of a flag, as --help shows it.
func defaultOf(f *pflag.Flag) string {
	switch f.DefValue {
	case "", "false", "0", "0s", "[]":
		return ""
	}
	return " (default " + f.DefValue + ")"
}

// seeAlso names the pages of the command above, and of those below.
func (p *roff) seeAlso(c *cobra.Command) {
	var names []string
	if c.HasParent() {
		names = append(names, manName(c.Parent())+"(1)")
	}
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, manName(sub)+"(1)")
		}
	}
	p.section("SEE ALSO")
	p.text(strings.Join(names, ",\n"))
}
