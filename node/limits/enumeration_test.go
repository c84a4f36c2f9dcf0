package limits_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/node/limits"
	"github.com/entente-mesh/entente/pki/identity"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
)

// counted is what became of many asks.
type counted struct {
	passed, refused int
	reasons         map[fault.Reason]int
}

func (c *counted) add(err error) {
	if err == nil {
		c.passed++
		return
	}
	c.refused++
	reason, _ := fault.ReasonOf(err)
	c.reasons[reason]++
}

// honest is a bureau that asks about a traveller every five seconds, until the context ends.
func (s *stage) honest(ctx context.Context, from identity.Bureau) <-chan counted {
	done := make(chan counted, 1)
	go func() {
		c := counted{reasons: map[fault.Reason]int{}}
		r := rand.New(rand.NewPCG(1, 2))
		for ctx.Err() == nil {
			c.add(s.asks(from, 0, s.document(number(r.IntN(1e7)))...))
			pass(5 * time.Second)
		}
		done <- c
	}()
	return done
}

// The figures of the design: a million document numbers by one asker.
func TestMillionNumbers(t *testing.T) {
	million := 1_000_000
	if testing.Short() {
		million /= 40
	}
	for name, c := range map[string]struct {
		asks   int
		number func(i int) string
		passed int // at the most before the throttle
		text   string
	}{
		"one after the other": {million / 10, number, 180, "next to each other"},
		"at random":           {million, func(i int) string { return number(i * 7_919_993 % 10_000_000) }, 21_000, "within an hour"},
	} {
		t.Run(name, func(t *testing.T) {
			scene(t, nil, func(t *testing.T, s *stage) {
				ctx, cancel := context.WithCancel(t.Context())
				other := s.honest(ctx, "FRA")
				got := counted{reasons: map[fault.Reason]int{}}
				atThrottle := 0
				began := time.Now()
				for i := range c.asks {
					got.add(s.asks("ESP", 0, s.document(c.number(i))...))
					if got.reasons[fault.Throttled] == 0 {
						atThrottle = got.passed
					}
					pass(10 * time.Millisecond)
				}
				took := time.Since(began)
				if atThrottle > c.passed {
					t.Errorf("%d numbers passed before the throttle, want at most %d", atThrottle, c.passed)
				}
				// A question a minute; and after each throttle half of the room before it.
				if trickle := int(took/time.Minute) + 1000; got.passed > 2*atThrottle+trickle {
					t.Errorf("%d numbers passed within %s", got.passed, took)
				}
				t.Logf("%d passed, %d before the throttle, %v refused, in %s", got.passed, atThrottle, got.reasons, took)
				cancel()
				if c := <-other; c.refused != 0 || c.passed < int(took/(6*time.Second)) {
					t.Errorf("the honest bureau: %d passed, refused %v", c.passed, c.reasons)
				}
				state := s.of(bureaus, "ESP")
				if !state.GetThrottledUntil().AsTime().After(time.Now()) || state.GetTurnedAway() == 0 {
					t.Errorf("state %v", state)
				}
				s.close()
				if s.raised("ENUMERATION ESP") == 0 || s.raised("ENUMERATION FRA") != 0 || !strings.Contains(s.texts[0], c.text) {
					t.Errorf("alarms %v, first %q", s.alarms, s.texts)
				}
				if s.all("ESP") != uint64(got.refused) || len(s.booked) > int(took/time.Minute)*4+20 {
					t.Errorf("%d refused, %v in %d entries of the books", got.refused, s.inBooks("ESP"), len(s.booked))
				}
			})
		})
	}
}

// variants are spellings of one name, as somebody makes them who looks at what the score says.
func variants(name string, n int) []string {
	r := rand.New(rand.NewPCG(3, 4))
	seen := map[string]bool{}
	var out []string
	for len(out) < n {
		b := []byte(name)
		for range 1 + r.IntN(4) {
			if i := r.IntN(len(b)); b[i] != ' ' {
				b[i] = byte('A' + r.IntN(26))
			}
		}
		if !seen[string(b)] {
			seen[string(b)] = true
			out = append(out, string(b))
		}
	}
	return out
}

func TestHillClimb(t *testing.T) {
	steps := 10_000
	if testing.Short() {
		steps = 2000
	}
	names := variants("MOHAMMED AL RASHIDI", steps)
	births := func(i int) string {
		return time.Date(1960, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, i).Format("2006-01-02")
	}
	for name, c := range map[string]func(i int) (name, birth string){
		"on the name":              func(i int) (string, string) { return names[i], "1984-03-11" },
		"on the birth date":        func(i int) (string, string) { return "MOHAMMED AL RASHIDI", births(i) },
		"on a given name, no date": func(i int) (string, string) { return names[i][:8] + " AL RASHIDI", "" },
		"on both in turn":          func(i int) (string, string) { return names[i/2*(1-i%2)], births(i / 2 * (i % 2)) },
		"under a year alone":       func(i int) (string, string) { return "M" + names[i][1:], "1984" },
	} {
		t.Run(name, func(t *testing.T) {
			scene(t, nil, func(t *testing.T, s *stage) {
				ctx, cancel := context.WithCancel(t.Context())
				other := s.honest(ctx, "FRA")
				got := counted{reasons: map[fault.Reason]int{}}
				for i := range steps {
					got.add(s.asks("ESP", 0, s.person(c(i))...))
					pass(50 * time.Millisecond)
				}
				cancel()
				if c := <-other; c.refused != 0 {
					t.Errorf("the honest bureau: %v", c.reasons)
				}
				if got.passed > 400 {
					t.Errorf("%d of %d steps passed", got.passed, steps)
				}
				t.Logf("%d of %d steps passed", got.passed, steps)
				s.close()
				if s.raised("ENUMERATION ESP") == 0 || s.all("ESP") != uint64(got.refused) {
					t.Errorf("alarms %v, %d refused, books %v", s.alarms, got.refused, s.inBooks("ESP"))
				}
				for _, text := range s.texts {
					if strings.Contains(text, "RASHIDI") || strings.Contains(text, "1984") || len(text) > 512 {
						t.Errorf("an alarm says %q", text)
					}
				}
			})
		})
	}
}

// The own people are held to the same: an officer who climbs is found, at the agency's measure.
func TestOwnAgencyIsFoundToo(t *testing.T) {
	scene(t, nil, func(t *testing.T, s *stage) {
		passed := 0
		for _, name := range variants("MOHAMMED AL RASHIDI", 10_000) {
			leave, err := s.Enter(t.Context(), client("customs"), check)
			if err == nil {
				err = s.Checked(t.Context(), "customs", s.person(name, "1984-03-11")...)
				leave()
			}
			if err == nil {
				passed++
			}
			pass(50 * time.Millisecond)
		}
		if passed > 4000 {
			t.Errorf("%d steps passed", passed)
		}
		t.Logf("%d of 10000 steps passed", passed)
		s.close()
		if s.raised("ENUMERATION customs") == 0 || s.all("customs") != uint64(10_000-passed) {
			t.Errorf("alarms %v, books %v", s.alarms, s.inBooks("customs"))
		}
	})
}

// traveller makes people as a busy border meets them: surnames as unequal as they are, families
// with one surname and passports issued together, coaches, and unknown birth dates on 1 January.
type travellers struct {
	r       *rand.Rand
	surname *rand.Zipf
	given   *rand.Zipf
	next    []traveller
}

type traveller struct{ name, birth, number string }

func newTravellers() *travellers {
	r := rand.New(rand.NewPCG(5, 6))
	return &travellers{r: r, surname: rand.NewZipf(r, 1.3, 20, 20_000), given: rand.NewZipf(r, 1.3, 10, 3_000)}
}

// word makes a name of a number: always the same.
func word(n uint64) string {
	syllables := []string{"BA", "RO", "MIN", "TE", "SKA", "LU", "VER", "DA", "GOR", "NI", "PEL", "HA", "ZU", "KIR", "TOM", "JE"}
	var b strings.Builder
	for n += 17; n > 0; n /= 16 {
		b.WriteString(syllables[n%16])
	}
	return b.String()
}

func (g *travellers) one() traveller {
	if len(g.next) == 0 {
		group := 1
		switch p := g.r.IntN(1000); {
		case p < 2:
			group = 45 // a club on a coach: its passports were asked for together
		case p < 200:
			group = 2 + g.r.IntN(5)
		}
		surname, first := word(g.surname.Uint64()), g.r.IntN(9_000_000)
		for i := range group {
			birth := time.Date(1940+g.r.IntN(75), 1, 1+g.r.IntN(365), 0, 0, 0, 0, time.UTC)
			if g.r.IntN(50) == 0 {
				birth = time.Date(birth.Year(), 1, 1, 0, 0, 0, 0, time.UTC)
			}
			if group > 10 {
				surname = word(g.surname.Uint64())
			}
			g.next = append(g.next, traveller{word(g.given.Uint64()) + " " + surname, birth.Format("2006-01-02"), number(first + i*2)})
		}
	}
	t := g.next[0]
	g.next = g.next[1:]
	return t
}

// TestHonestVariety has a large bureau ask about 70,000 travellers in a day, a tenth of
// them in the busiest hour, some twice, and be told as much as lists tell.
func TestHonestVariety(t *testing.T) {
	scene(t, nil, func(t *testing.T, s *stage) {
		g := newTravellers()
		shares := [24]int{1, 1, 1, 1, 2, 3, 5, 7, 9, 10, 7, 5, 5, 5, 5, 6, 6, 5, 4, 4, 3, 2, 2, 1}
		const perDay = 70_000
		asked := 0
		var last traveller
		for hour, share := range shares {
			if testing.Short() && (hour < 8 || hour > 9) {
				continue
			}
			n := perDay * share / 100
			for i := range n {
				if i%20 != 19 { // the 20th is asked about again, at the next counter
					last = g.one()
				}
				hits := 0
				if asked%15_500 == 0 {
					hits = 1
				}
				q := s.mark.Question(&queryv1.DocumentQuery{Number: last.number, Issuer: "BEL"}, &queryv1.PersonQuery{Name: last.name, BirthDate: last.birth})
				if err := s.asks("ESP", hits, q...); err != nil {
					t.Fatalf("the %dth traveller: %v", asked, err)
				}
				asked++
				pass(time.Hour / time.Duration(n))
			}
		}
		state := s.of(bureaus, "ESP")
		s.close()
		if len(s.alarms) != 0 || len(s.booked) != 0 {
			t.Errorf("alarms %v, %d entries", s.texts, len(s.booked))
		}
		t.Logf("%d travellers: %d questions, %d subjects, %d positive", asked, state.GetQuestions(), state.GetSubjects(), state.GetPositives())
	})
}

func TestQuotaOfSubjects(t *testing.T) {
	scene(t, func(c *limits.Config) { c.Bureau = &adminv1.Quota{SubjectsPerDay: 5000, PositivesPerDay: 1000} }, func(t *testing.T, s *stage) {
		// Slow enough for no pattern: 400 an hour of 5,000 a day, all over the numbers.
		passed := 0
		for i := range 24 * 400 {
			err := s.asks("ESP", 0, s.document(number(i*7_919_993%10_000_000))...)
			if err != nil {
				wantReason(t, err, fault.QuotaExceeded)
				after, _ := fault.RetryAfter(err)
				if after > time.Hour {
					t.Errorf("again after %v: it is counted by the hour", after)
				}
				break
			}
			passed++
			pass(9 * time.Second)
		}
		if passed < 4600 || passed > 5400 { // 2.3 % of standard error
			t.Errorf("%d of 5000 passed", passed)
		}
		// A day later the first hours no longer count.
		pass(14 * time.Hour)
		if err := s.asks("ESP", 0, s.document("EH1111111")...); err != nil {
			t.Errorf("a day later: %v", err)
		}
		s.close()
		if s.raised("ENUMERATION ESP") == 0 || s.inBooks("ESP")["QUOTA_EXCEEDED"] != 1 {
			t.Errorf("alarms %v, books %v", s.alarms, s.inBooks("ESP"))
		}
	})
}

func TestPositives(t *testing.T) {
	t.Run("a surge", func(t *testing.T) {
		scene(t, nil, func(t *testing.T, s *stage) {
			// A tenth of 500 within an hour, and then one more: whoever is told so much knows it.
			for i := range 51 {
				if err := s.asks("ESP", 1, s.document(number(i*10_007))...); err != nil {
					t.Fatalf("the %dth: %v", i, err)
				}
				pass(10 * time.Second)
			}
			if err := s.asks("ESP", 1, s.document("EH7777777")...); err != nil {
				t.Errorf("the trickle: %v", err)
			}
			wantReason(t, s.asks("ESP", 1, s.document("EH8888888")...), fault.Throttled)
			s.close()
			if s.raised("ENUMERATION ESP") == 0 {
				t.Error("no alarm")
			}
		})
	})
	t.Run("the day's quota", func(t *testing.T) {
		scene(t, nil, func(t *testing.T, s *stage) {
			told := 0
			for i := range 700 { // 30 an hour
				err := s.asks("ESP", 1, s.document(number(i*10_007))...)
				if err != nil {
					wantReason(t, err, fault.QuotaExceeded)
					break
				}
				told++
				pass(2 * time.Minute)
			}
			if told != 500 {
				t.Errorf("told %d times, want 500", told)
			}
			if got := s.of(bureaus, "ESP").GetPositives(); got != 500 {
				t.Errorf("%d positives", got)
			}
		})
	})
}

// A bureau that always asks much is not alarming; the same from one that never did is.
func TestHistory(t *testing.T) {
	quota := func(c *limits.Config) { c.Bureau = &adminv1.Quota{SubjectsPerDay: 10_000} }
	rush := func(s *stage) (passed int, err error) {
		for i := range 1500 { // within an hour; a tenth of the day's quota is 1,000
			if err = s.asks("ESP", 0, s.document(number((i+int(time.Now().Unix()))*7_919_993%10_000_000))...); err != nil {
				return i, err
			}
			pass(2 * time.Second)
		}
		return 1500, nil
	}
	t.Run("without one", func(t *testing.T) {
		scene(t, quota, func(t *testing.T, s *stage) {
			passed, err := rush(s)
			wantReason(t, err, fault.Throttled)
			if passed < 900 || passed > 1100 {
				t.Errorf("%d passed", passed)
			}
		})
	})
	t.Run("with a busy hour each day", func(t *testing.T) {
		scene(t, quota, func(t *testing.T, s *stage) {
			for day := range 4 {
				for i := range 300 {
					if err := s.asks("ESP", 0, s.document(number((day*300+i)*5_555_557%10_000_000))...); err != nil {
						t.Fatal(err)
					}
					pass(time.Second)
				}
				pass(23 * time.Hour)
			}
			if passed, err := rush(s); err != nil {
				t.Errorf("after %d: %v", passed, err)
			}
		})
	})
}

func TestThrottleDoublesAndIsForgotten(t *testing.T) {
	scene(t, nil, func(t *testing.T, s *stage) {
		climb := func() time.Duration {
			for i := range 1000 {
				if err := s.asks("ESP", 0, s.person(fmt.Sprintf("JAN PEETERS %s", word(uint64(i*31)+uint64(time.Now().Unix()%1000)*1000)), "1984-03-11")...); err != nil {
					state := s.of(bureaus, "ESP")
					return state.GetThrottledUntil().AsTime().Sub(state.GetThrottledSince().AsTime())
				}
				pass(100 * time.Millisecond)
			}
			t.Fatal("no throttle")
			return 0
		}
		for _, want := range []time.Duration{time.Hour, 2 * time.Hour, 4 * time.Hour} {
			if got := climb(); got != want {
				t.Errorf("throttled for %v, want %v", got, want)
			}
			pass(want + time.Minute)
		}
		pass(8 * 24 * time.Hour)
		if got := climb(); got != time.Hour {
			t.Errorf("after a quiet week throttled for %v", got)
		}
		// The operator looked into it.
		state, err := s.Set(t.Context(), &adminv1.Quota{Scope: bureaus, Name: "ESP"}, true)
		if err != nil || state.GetThrottledUntil() != nil || state.GetOwn() {
			t.Errorf("lifted: %v, %v", state, err)
		}
		if err := s.asks("ESP", 0, s.person("JAN PEETERS", "1984-03-11")...); err != nil {
			t.Errorf("after it was lifted: %v", err)
		}
	})
}
