package main

import (
	"errors"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"
)

// TestScripts runs the scripts of the command line in testdata/script, each in a folder of its
// own. Beside testscript's own commands they have:
//
//	exits STATUS COMMAND...    run a command, which must end with just this status
//	setfrom NAME FILE PATTERN  set a variable to what the pattern's group matches in a file, or
//	                           in stdout or stderr
//	jsonl COUNT                standard output is so many JSON objects, one a line
//	up DIR, down DIR           start a node and wait until it runs; have it stop, with status 0
//	eventually PATTERN COMMAND...  run a command until it succeeds and says this
//	replace FILE OLD NEW       replace a text in a file
//	flip FILE                  change one letter in the middle of a file's armour
//	secret PATH...             nobody but its owner may do anything with these
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Values[nodesKey{}] = map[string]*running{}
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits": scriptExits, "setfrom": scriptSetFrom, "jsonl": scriptJSONL,
			"up": scriptUp, "down": scriptDown, "eventually": scriptEventually, "replace": scriptReplace, "secret": scriptSecret, "flip": scriptFlip,
		},
	})
}

type nodesKey struct{}

func scriptArgs(ts *testscript.TestScript, neg bool, args []string, n int, usage string) {
	if neg || len(args) < n {
		ts.Fatalf("usage: %s", usage)
	}
}

// commandNamed is how a command's complaint begins.
var commandNamed = regexp.MustCompile(`(?m)^entente[ a-z-]*: `)

func scriptExits(ts *testscript.TestScript, neg bool, args []string) {
	scriptArgs(ts, neg, args, 2, "exits STATUS COMMAND...")
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	code := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if code != want {
		ts.Fatalf("exit status %d, want %d", code, want)
	}
	if said := ts.ReadFile("stderr"); want != exitDone && !commandNamed.MatchString(said) {
		ts.Fatalf("failed without naming the command:\n%s", said)
	}
}

func scriptSetFrom(ts *testscript.TestScript, neg bool, args []string) {
	scriptArgs(ts, neg, args, 3, "setfrom NAME FILE PATTERN")
	pattern, err := regexp.Compile("(?m)" + args[2])
	ts.Check(err)
	found := pattern.FindStringSubmatch(ts.ReadFile(args[1]))
	if len(found) != 2 {
		ts.Fatalf("%s has no %s", args[1], args[2])
	}
	ts.Setenv(args[0], found[1])
}

func scriptJSONL(ts *testscript.TestScript, neg bool, args []string) {
	scriptArgs(ts, neg, args, 1, "jsonl COUNT")
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	_, err = jsonLines(ts.ReadFile("stdout"), n)
	ts.Check(err)
}

// scriptTB lets what starts nodes for tests start them for scripts.
type scriptTB struct {
	testing.TB
	ts *testscript.TestScript
}

func (s scriptTB) Helper()                           {}
func (s scriptTB) Cleanup(f func())                  { s.ts.Defer(f) }
func (s scriptTB) Failed() bool                      { return false }
func (s scriptTB) Logf(format string, args ...any)   { s.ts.Logf(format, args...) }
func (s scriptTB) Fatalf(format string, args ...any) { s.ts.Fatalf(format, args...) }
func (s scriptTB) Errorf(format string, args ...any) { s.ts.Fatalf(format, args...) }
func (s scriptTB) Fatal(args ...any)                 { s.ts.Fatalf("%v", args) }

func scriptNodes(ts *testscript.TestScript) map[string]*running {
	return ts.Value(nodesKey{}).(map[string]*running)
}

func scriptUp(ts *testscript.TestScript, neg bool, args []string) {
	scriptArgs(ts, neg, args, 1, "up DIR")
	cmd := exec.Command("entente", "run", "--dir", args[0])
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = []string{"PATH=" + ts.Getenv("PATH"), "TMPDIR=" + ts.Getenv("TMPDIR")}
	scriptNodes(ts)[args[0]] = launch(scriptTB{ts: ts}, cmd, args[0])
}

func scriptDown(ts *testscript.TestScript, neg bool, args []string) {
	scriptArgs(ts, neg, args, 1, "down DIR")
	n, ok := scriptNodes(ts)[args[0]]
	if !ok {
		ts.Fatalf("no node runs in %s", args[0])
	}
	n.stop()
	delete(scriptNodes(ts), args[0])
}

func scriptEventually(ts *testscript.TestScript, neg bool, args []string) {
	scriptArgs(ts, neg, args, 2, "eventually PATTERN COMMAND...")
	pattern, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	eventually(scriptTB{ts: ts}, strings.Join(args[1:], " ")+" says "+args[0], func() bool {
		return ts.Exec(args[1], args[2:]...) == nil && pattern.MatchString(ts.ReadFile("stdout"))
	})
}

func scriptReplace(ts *testscript.TestScript, neg bool, args []string) {
	scriptArgs(ts, neg, args, 3, "replace FILE OLD NEW")
	text := ts.ReadFile(args[0])
	if !strings.Contains(text, args[1]) {
		ts.Fatalf("%s does not hold %q", args[0], args[1])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.ReplaceAll(text, args[1], args[2])), 0o600))
}

func scriptFlip(ts *testscript.TestScript, neg bool, args []string) {
	scriptArgs(ts, neg, args, 1, "flip FILE")
	lines := strings.Split(ts.ReadFile(args[0]), "\n")
	line := []byte(lines[len(lines)/2])
	if line[10] == 'A' {
		line[10] = 'B'
	} else {
		line[10] = 'A'
	}
	lines[len(lines)/2] = string(line)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.Join(lines, "\n")), 0o600))
}

func scriptSecret(ts *testscript.TestScript, neg bool, args []string) {
	scriptArgs(ts, neg, args, 1, "secret PATH...")
	for _, path := range args {
		info, err := os.Stat(ts.MkAbs(path))
		ts.Check(err)
		if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
			ts.Fatalf("%s can be read by others: %v", path, info.Mode())
		}
	}
}

// every calls f for every command that there is.
func every(cmd *cobra.Command, f func(*cobra.Command)) {
	f(cmd)
	for _, sub := range cmd.Commands() {
		every(sub, f)
	}
}

// TestEveryCommandExplainsItself goes through all commands: what they say of themselves, and how
// they take a wrong call.
func TestEveryCommandExplainsItself(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	seen := map[string]bool{}
	every((&app{}).root(), func(cmd *cobra.Command) {
		path := cmd.CommandPath()
		seen[path] = true
		args := strings.Fields(path)[1:]
		help := f.do(append(slices.Clone(args), "--help")...)
		if help.stderr != "" || !strings.Contains(help.stdout, "Usage:\n  "+path) || !strings.Contains(help.stdout, cmd.Short) && cmd.Long == "" {
			t.Errorf("%s --help:\n%s%s", path, help.stdout, help.stderr)
		}
		if group := cmd.HasSubCommands() && path != "entente peers"; !group {
			_, examples, _ := strings.Cut(help.stdout, "Examples:\n")
			if !strings.Contains(examples, "  "+path) {
				t.Errorf("%s --help shows no example:\n%s", path, help.stdout)
			}
		}
		o := f.try("", append(slices.Clone(args), "--no-such-flag")...)
		if o.code != exitUsage || o.stdout != "" || !strings.Contains(o.stderr, "unknown flag: --no-such-flag") || !strings.Contains(o.stderr, "See: "+path+" --help") {
			t.Errorf("%s with a wrong flag: exit status %d\n%s%s", path, o.code, o.stdout, o.stderr)
		}
	})
	for _, path := range []string{
		"entente demo", "entente init", "entente run", "entente status", "entente peers", "entente peers distrust", "entente peers trust",
		"entente import", "entente check", "entente eval", "entente eval names", "entente eval pairs", "entente version", "entente policy permit", "entente policy test", "entente policy explain",
		"entente policy reload", "entente roster join-request", "entente roster found", "entente roster next", "entente roster sign", "entente roster merge",
		"entente roster install", "entente roster show",
		"entente audit list", "entente audit show", "entente audit verify", "entente audit prove", "entente audit verify-bundle", "entente audit export",
		"entente audit join", "entente audit verify-evidence", "entente audit unmask", "entente record show", "entente record withdraw",
		"entente record erase", "entente record where", "entente quota show", "entente quota set", "entente alarm list", "entente alarm clear",
		"entente act list", "entente act approve", "entente act refuse", "entente enrol", "entente revoke", "entente clients",
		"entente signer", "entente signer split", "entente signer restore",
	} {
		if !seen[path] {
			t.Errorf("there is no %s; there are %v", path, slices.Sorted(maps.Keys(seen)))
		}
	}
}
