package daemon

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
)

func TestParentsAreReportedWhenTheirAnswersChange(t *testing.T) {
	var log bytes.Buffer
	l := &instance{Daemon: &Daemon{Logger: slog.New(slog.NewTextHandler(&log, nil))}}
	k := newKeyKeeper()
	failed := parentAnswers{asked: true, err: errors.New("no answer")}
	for _, result := range []parentAnswers{failed, {}, failed, {}, {asked: true}, {asked: true}} {
		l.reportParents(k, result)
	}
	if lines := strings.Count(log.String(), "\n"); lines != 2 || strings.Count(log.String(), "answers for DS records again") != 1 {
		t.Errorf("want one line for the failure and one for its end, got:\n%s", &log)
	}
}
