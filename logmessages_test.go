package meridian_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const logPage = "docs/reference/log-messages.md"

// Every message that the code logs has a row in the reference, and every row is
// of a message that the code logs.
func TestEveryLogMessageIsDocumented(t *testing.T) {
	page, err := os.ReadFile(logPage)
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(string(page), -1) {
		rows[row[1]] = true
	}
	logged := loggedMessages(t)
	if len(logged) < 30 {
		t.Fatalf("only %d messages found in the code", len(logged))
	}
	for message, where := range logged {
		if !rows[message] {
			t.Errorf("%s logs %q: add a row for it to %s", where, message, logPage)
		}
	}
	for row := range rows {
		if logged[row] == "" {
			t.Errorf("%s has a row for %q, which no code logs", logPage, row)
		}
	}
}

// loggedMessages returns the messages of all log calls, with a place that logs each.
func loggedMessages(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		skipped := d != nil && d.IsDir() && slices.Contains([]string{"bench", "testdata", ".git"}, d.Name())
		if skipped {
			return filepath.SkipDir
		}
		if err != nil || d.IsDir() || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return err
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, message := range messagesIn(parsed) {
			found[message] = file
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// messagesIn returns the messages of the log calls of one file.
func messagesIn(file *ast.File) []string {
	var messages []string
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		if at := messageArg(call); at < len(call.Args) {
			messages = append(messages, texts(file, call.Args[at])...)
		}
		return true
	})
	return messages
}

// messageArg returns the position of the message in a call that writes a log line:
// behind a level, or first in a call of a logger. In other calls it is beyond the last.
func messageArg(call *ast.CallExpr) int {
	for i, arg := range call.Args {
		level, ok := arg.(*ast.SelectorExpr)
		if ok && strings.HasPrefix(level.Sel.Name, "Level") {
			return i + 1
		}
	}
	method, ok := call.Fun.(*ast.SelectorExpr)
	if ok && method.Sel.Name == "report" { // of package control: behind a level
		return 1
	}
	if !ok || !isLogger(method.X) {
		return len(call.Args)
	}
	switch method.Sel.Name {
	case "Debug", "Info", "Warn", "Error":
		return 0
	case "Log", "LogAttrs":
		return 2
	}
	return len(call.Args)
}

// isLogger reports whether an expression is named like a logger: log, c.log, options.Logger.
func isLogger(x ast.Expr) bool {
	switch x := x.(type) {
	case *ast.Ident:
		return x.Name == "log" || x.Name == "logger"
	case *ast.SelectorExpr:
		return x.Sel.Name == "log" || x.Sel.Name == "Logger"
	}
	return false
}

// texts returns the literals that a message may be: the literal itself, or those
// that the file assigns to the variable.
func texts(file *ast.File, x ast.Expr) []string {
	switch x := x.(type) {
	case *ast.BasicLit:
		if text, err := strconv.Unquote(x.Value); err == nil {
			return []string{text}
		}
	case *ast.Ident:
		return assigned(file, x.Name)
	}
	return nil
}

// assigned returns the string literals that a file assigns to a variable or constant.
func assigned(file *ast.File, name string) []string {
	var found []string
	note := func(i int, names, values []ast.Expr) {
		if id, ok := names[i].(*ast.Ident); ok && id.Name == name && i < len(values) {
			if literal, ok := values[i].(*ast.BasicLit); ok && literal.Kind == token.STRING {
				found = append(found, texts(file, literal)...)
			}
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			for i := range n.Lhs {
				note(i, n.Lhs, n.Rhs)
			}
		case *ast.ValueSpec:
			for i, id := range n.Names {
				note(i, append(make([]ast.Expr, i), id), n.Values)
			}
		}
		return true
	})
	return found
}
