// Package evidence is what outsiders check of a bureau's books: leaves and what they commit to,
// checkpoints and the proofs that lead to them, bundles that prove one exchange, exports of two
// bureaus about each other, and the evidence that a log is not what it must be.
//
// It keeps no log (node/journal and node/audit do), asks nobody, and knows no clock: every
// function answers from what it is given, so that a file can be checked offline and years later,
// by people who never ran a node. It signs nothing.
//
// One flow: a court is given a bundle by Belgium. VerifyBundle verifies the rosters in it from the
// first on, prints the fingerprint that the court compares with the one that Spain reads out,
// checks with the keys of that day that Belgium asked and Spain answered, that the leaves in both
// logs commit to exactly these bytes, and that the leaves stand in logs that both bureaus signed.
package evidence

import (
	"fmt"

	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/roster"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// Verdict is what a step of a verification came to.
type Verdict string

// The verdicts of a step.
const (
	// Holds: it was checked and is so.
	Holds Verdict = "holds"
	// Fails: it was checked and is not so.
	Fails Verdict = "fails"
	// Open: what is at hand does not decide it. What says what would.
	Open Verdict = "open"
)

// Step is one thing that was checked.
type Step struct {
	// Name is what was checked, in a few words: "answer's signature".
	Name string `json:"name"`
	// Verdict is what it came to.
	Verdict Verdict `json:"verdict"`
	// What says more, for a person. It holds nothing of what was asked or answered.
	What string `json:"what"`
}

// Report is what a verification found, in the order in which it looked.
type Report struct {
	Steps []Step `json:"steps"`
	// Fingerprint is that of the roster on which everything else rests: the one that was given
	// as trusted, else the newest in the file, for a person to compare by another channel.
	Fingerprint string `json:"fingerprint"`
}

// OK says whether something was shown and nothing failed. Steps that are open are not failures:
// who shows the report shows them.
func (r *Report) OK() bool {
	held := false
	for _, s := range r.Steps {
		if s.Verdict == Fails {
			return false
		}
		held = held || s.Verdict == Holds
	}
	return held
}

// failure is the first step that failed, as an error: nil if none has.
func (r *Report) failure() error {
	for _, s := range r.Steps {
		if s.Verdict == Fails {
			return fmt.Errorf("%s: %s", s.Name, s.What)
		}
	}
	return nil
}

func (r *Report) add(v Verdict, name, format string, args ...any) {
	r.Steps = append(r.Steps, Step{Name: name, Verdict: v, What: fmt.Sprintf(format, args...)})
}

// check adds a step that holds with what, or fails with err.
func (r *Report) check(name string, err error, what string, args ...any) bool {
	if err != nil {
		r.add(Fails, name, "%v", err)
		return false
	}
	r.add(Holds, name, what, args...)
	return true
}

// Trust is what the verifier brings along.
type Trust struct {
	// Fingerprint is that of any roster that the verifier trusts already: then the file's must
	// be of its chain. Empty: the report shows the fingerprint, and a person compares it.
	Fingerprint string
}

// chain verifies the rosters of a file and why they are to be believed.
func (r *Report) chain(rosters []*signedv1.Signed, federation string, t Trust) *roster.Chain {
	const name = "rosters"
	f, err := identity.ParseFederation(federation)
	if err != nil {
		r.add(Fails, name, "%v", err)
		return nil
	}
	c, err := roster.VerifyChain(rosters, f)
	if err != nil {
		r.add(Fails, name, "%v", err)
		return nil
	}
	r.add(Holds, name, "of %s, version %d to %d, each signed by those it needs", f, c.First().Version(), c.Newest().Version())
	r.Fingerprint = c.Newest().Fingerprint()
	if t.Fingerprint == "" {
		r.add(Open, "trust in the rosters", "compare by another channel: roster %d has the fingerprint %s", c.Newest().Version(), r.Fingerprint)
		return c
	}
	v, ok := c.Find(t.Fingerprint)
	if !ok {
		r.add(Fails, "trust in the rosters", "none of them has the fingerprint that is trusted: this is another federation, or older than the roster that is trusted")
		return nil
	}
	r.Fingerprint = v.Fingerprint()
	r.add(Holds, "trust in the rosters", "roster %d has the fingerprint that is trusted", v.Version())
	return c
}

// later says what no file can: what becomes known after it was made. Whoever made it may also have
// left out the newest rosters on purpose.
func (r *Report) later(c *roster.Chain) {
	r.add(Open, "later rosters", "the file's rosters end with version %d of %s: if the federation has a later one, see that it revokes no key used here as of that day",
		c.Newest().Version(), stamp(c.Newest().IssuedAt()))
}
