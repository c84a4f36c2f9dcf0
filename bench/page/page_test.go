package page

import (
	"os"
	"path/filepath"
	"testing"
)

func TestNoPartOverwritesAnother(t *testing.T) {
	path := filepath.Join(t.TempDir(), "docs", "benchmarks.md")
	for _, step := range []struct {
		part Part
		text string
		want string
	}{
		{Names, "## Names\n\nn1\n", "# Benchmarks\n\n## Names\n\nn1\n"},
		{Mesh, "# Benchmarks\n\nm1\n", "# Benchmarks\n\nm1\n\n## Names\n\nn1\n"},
		{Names, "## Names\n\nn2\n", "# Benchmarks\n\nm1\n\n## Names\n\nn2\n"},
		{Mesh, "# Benchmarks\n\nm2\n\n", "# Benchmarks\n\nm2\n\n## Names\n\nn2\n"},
		{Names, "## Names\n\n### A table\n\nn3\n", "# Benchmarks\n\nm2\n\n## Names\n\n### A table\n\nn3\n"},
	} {
		if err := Write(path, step.part, []byte(step.text)); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != step.want {
			t.Errorf("after %q:\n%q, want\n%q (%v)", step.text, got, step.want, err)
		}
	}
	for _, wrong := range []struct {
		part Part
		text string
	}{{Names, "# Benchmarks\n"}, {Part("## Other"), "## Other\n"}} {
		if err := Write(path, wrong.part, []byte(wrong.text)); err == nil {
			t.Errorf("%q was written as %q", wrong.text, wrong.part)
		}
	}
}
