package main

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// quick makes a quick run on what a folder holds, and returns the page and what was told.
func quick(t *testing.T, data string, alone bool) (text, told string) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "docs", "benchmarks.md")
	var said bytes.Buffer
	if err := run(t.Context(), options{out: out, data: data, quick: true, alone: alone, misses: t.TempDir(), progress: &said}); err != nil {
		t.Fatalf("%v\n%s", err, &said)
	}
	written, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return string(written), said.String()
}

// TestQuickRun keeps the harness from rotting: everything is measured on invented data, on a scale
// at which the figures say nothing.
func TestQuickRun(t *testing.T) {
	if testing.Short() {
		t.Skip("the run measures thresholds of all regions; no way through the code is only here")
	}
	data := t.TempDir()
	translit := filepath.Join(data, "names", "translit")
	if err := os.MkdirAll(translit, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"wd_russian_64":  "zarimov\tз а р и м о в\t3\nzarimoff\tз а р и м о в\t1\npelgrun\tт о р м а ш и\t1\nno native\tт о р  м а ш и\t1\nshort\n",
		"ar2en-eval.txt": "كريم\tkarim\n",
	} {
		if err := os.WriteFile(filepath.Join(translit, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text, told := quick(t, data, true)
	if !strings.Contains(told, "no labelled data") || !strings.Contains(told, "ENTENTE_DATA") {
		t.Errorf("it does not say that the data are invented:\n%s", told)
	}
	for _, want := range []string{
		"## Names\n", "quick run", "the persons are invented", "PostgreSQL was not measured: it was left out", "- Date: ", "- Machine: ",
		"### Targets", "mrz_typo2, n=150", "### Region by region", "| Arabic | name only |", "| 2,000 | Entente, name only |",
		"| wd_russian_64 | 2 | 300 |", "another word, of", "| ar2en-eval.txt | 1 | 300 | 1.000 | 1.000 | none is missed |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q:\n%s", want, text)
		}
	}
	for i, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(line, "|") && (!strings.HasSuffix(line, "|") || strings.Contains(line, "||") || strings.Contains(line, "NaN")) {
			t.Errorf("line %d is no row: %s", i+1, line)
		}
	}
}

// TestBesidePostgres runs the same where PostgreSQL is installed.
func TestBesidePostgres(t *testing.T) {
	if testing.Short() {
		t.Skip("the run measures thresholds of all regions")
	}
	if findPostgres() == "" {
		t.Skip("PostgreSQL is not installed here (Debian: apt-get install postgresql)")
	}
	before := folders(t)
	text, told := quick(t, t.TempDir(), false)
	if strings.Contains(told, errNoUser.Error()) {
		t.Skip(errNoUser)
	}
	for _, want := range []string{"- Yardstick: PostgreSQL ", "| pg_trgm `%`, GIN | ", "| pg_trgm `<->`, GiST | ", "birth year within 2 or unknown | "} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q:\n%s", want, text)
		}
	}
	if after := folders(t); after != before {
		t.Errorf("folders are left: %s, before %s", after, before)
	}
}

func folders(t *testing.T) string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(os.TempDir(), "entente-names-*"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, " ")
}

// TestWire speaks to a server that says what it was made to say.
func TestWire(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ready := "Z\x00\x00\x00\x05I"
	heard := make(chan string, 1)
	go func() {
		defer close(heard)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		buf := make([]byte, 1024)
		for _, answer := range []string{
			"R\x00\x00\x00\x08\x00\x00\x00\x00S\x00\x00\x00\x08a\x00b\x00" + ready,
			"D\x00\x00\x00\x13\x00\x02\x00\x00\x00\x05Karim\xff\xff\xff\xff" + ready,
			"E\x00\x00\x00\x10SERROR\x00Mno\x00\x00" + ready,
			"Z\x7f\xff\xff\xff",
		} {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			if _, err := c.Write([]byte(answer)); err != nil {
				return
			}
			select {
			case heard <- string(buf[:n]):
			default:
			}
		}
	}()
	c, err := dial(socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if first := <-heard; first != "\x00\x00\x00\x29\x00\x03\x00\x00user\x00postgres\x00database\x00postgres\x00\x00" {
		t.Errorf("it opens with %q", first)
	}
	if rows, err := c.ask("ask", "x", ""); err != nil || len(rows) != 1 || rows[0][0] != "Karim" || rows[0][1] != "" {
		t.Errorf("%q, %v", rows, err)
	}
	if _, err := c.query("x"); err == nil || err.Error() != "postgres: no" {
		t.Errorf("%v", err)
	}
	if _, err := c.query("x"); err == nil || !strings.Contains(err.Error(), "a message of") {
		t.Errorf("%v", err)
	}
}

func TestWhyAWordIsMissed(t *testing.T) {
	for _, c := range []struct {
		native string
		latin  string
		at     int
		want   string
	}{
		{"заримов", "zarimov", 40, crowded},
		{"заримов", "zarimov", -1, noKey},
		{"заримов", "pelgrun", -1, anotherWord},
		{"горбатов", "gornatov", -1, otherSounds},
	} {
		if got, sounds := whyMissed(c.native, []string{c.latin}, c.at); got != c.want {
			t.Errorf("%s, %s: %s %v, want %s", c.native, c.latin, got, sounds, c.want)
		}
	}
	for _, c := range []struct {
		a, b string
		n    int
		ops  string
	}{{"krm", "krm", 0, ""}, {"krm", "krn", 1, "m>n"}, {"krm", "kr", 1, "m>-"}, {"", "k", 1, "->k"}} {
		if n, ops := differ(c.a, c.b); n != c.n || strings.Join(ops, " ") != c.ops {
			t.Errorf("%q, %q: %d %v", c.a, c.b, n, ops)
		}
	}
}
