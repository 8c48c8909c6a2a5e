package main

import (
	"bufio"
	"context"
	"flag"
	"io"
	"os"
	"os/exec"
	"regexp"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain runs four parallel tests at a time, on any number of processors: they wait more than they compute.
func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", "4"); err != nil { // before the command line is parsed, which takes precedence
		panic(err)
	}
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
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"serve": serveScript, "agent": agentScript},
	})
}

var (
	servingLine = regexp.MustCompile(`msg=serving listen=(\S+) .*admin=(\S+)`)
	probingLine = regexp.MustCompile(`msg="probing for the nodes of a cluster" .*admin=(\S+)`)
)

// serveScript starts a server for a script, waits until it serves, and sets a variable to the URL of its API, and
// VARIABLE_DNS to its first address: serve VARIABLE ARGUMENTS.
func serveScript(ts *testscript.TestScript, neg bool, args []string) {
	at := startForScript(ts, neg, args, "serve", servingLine)
	ts.Setenv(args[0], "http://"+at[2])
	ts.Setenv(args[0]+"_DNS", at[1])
}

// agentScript starts an agent for a script, waits until it probes, and sets a variable to the URL of its API: agent VARIABLE
// ARGUMENTS.
func agentScript(ts *testscript.TestScript, neg bool, args []string) {
	ts.Setenv(args[0], "http://"+startForScript(ts, neg, args, "agent", probingLine)[1])
}

// startForScript starts a process that ends with the script, and returns the match of the line that it logs when it runs.
func startForScript(ts *testscript.TestScript, neg bool, args []string, command string, running *regexp.Regexp) []string {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: %s VARIABLE ARGUMENTS", command)
	}
	server := exec.Command("meridian", append([]string{command}, args[1:]...)...)
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
		if found := running.FindStringSubmatch(lines.Text()); found != nil {
			go func() { _, _ = io.Copy(io.Discard, stderr) }()
			return found
		}
		ts.Logf("%s", lines.Text())
	}
	ts.Fatalf("the process ended before it was ready")
	return nil
}
