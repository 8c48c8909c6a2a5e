package main

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/exec"
	"regexp"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"meridian": func() {
			os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
		},
	})
}

// TestCommands runs testdata/*.txtar: the output of each command, and its exit code.
func TestCommands(t *testing.T) {
	if raceEnabled {
		t.Skip("the commands run in processes of their own, which report no race to this one")
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata", RequireExplicitExec: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"serve": serveScript},
	})
}

var servingLine = regexp.MustCompile(`msg=serving listen=(\S+) .*admin=(\S+)`)

// serveScript starts a server for a script, waits until it serves, and sets a variable to the URL of its API, and
// VARIABLE_DNS to its first address: serve VARIABLE ARGUMENTS.
func serveScript(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: serve VARIABLE ARGUMENTS")
	}
	server := exec.Command("meridian", append([]string{"serve"}, args[1:]...)...)
	server.Dir = ts.Getenv("WORK")
	stderr, err := server.StderrPipe()
	ts.Check(err)
	ts.Check(server.Start())
	ts.Defer(func() {
		_ = server.Process.Signal(os.Interrupt)
		_ = server.Wait()
	})
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		if found := servingLine.FindStringSubmatch(lines.Text()); found != nil {
			ts.Setenv(args[0], "http://"+found[2])
			ts.Setenv(args[0]+"_DNS", found[1])
			go func() { _, _ = io.Copy(io.Discard, stderr) }()
			return
		}
		ts.Logf("%s", lines.Text())
	}
	ts.Fatalf("the server ended before it served")
}
