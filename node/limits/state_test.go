package limits_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/node/limits"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
)

// TestRestart holds that a node that is stopped and started knows all that it knew.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, &drawer{}, nil)
		if _, err := s.Set(t.Context(), &adminv1.Quota{Scope: bureaus, Name: "FRA", PerSecond: 7}, false); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Set(t.Context(), &adminv1.Quota{Scope: agencies, Burst: 77}, false); err != nil {
			t.Fatal(err)
		}
		for hour := range 30 {
			for i := range 40 {
				_ = s.asks("ESP", i%20/19, s.document(number(hour*40_000+i*1000))...)
			}
			for i := range 40 {
				_ = s.asks("FRA", 0, s.document(number(hour*40_000+i*1000))...)
			}
			time.Sleep(time.Hour)
		}
		for i := range 500 { // a throttle
			_ = s.asks("ITA", 0, s.document(number(i))...)
		}
		leave, err := s.Enter(t.Context(), client("customs"), check)
		if err != nil {
			t.Fatal(err)
		}
		leave()
		before := s.List(0, "")
		s.close()
		again := open(t, s.state, nil)
		if diff := cmp.Diff(before, again.List(0, ""), protocmp.Transform()); diff != "" {
			t.Errorf("after a restart: %s", diff)
		}
		if got := again.of(bureaus, "ITA"); got.GetThrottledUntil() == nil || got.GetTurnedAway() == 0 {
			t.Errorf("throttled %v", got)
		}
		if got := again.of(bureaus, "ESP"); got.GetSubjects() < 900 || got.GetSubjects() > 1020 || got.GetPositives() != 48 || got.GetQuestions() != 960 {
			t.Errorf("24 hours of 40 questions: %v", got)
		}
		time.Sleep(24 * time.Hour)
		if got := again.of(bureaus, "ESP"); got.GetSubjects() != 0 || got.GetQuestions() != 0 {
			t.Errorf("a day later: %v", got)
		}
		again.close()
		if len(s.state.values) > 27 {
			t.Errorf("%d values are kept", len(s.state.values))
		}
	})
}

// TestCrash holds what a crash costs: buckets begin empty, and of counts the last second is gone.
func TestCrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, &drawer{}, nil)
		for i := range 400 {
			if err := s.asks("ESP", 0, s.document(number(i*1000))...); err != nil {
				t.Fatal(err)
			}
		}
		// 100 steps of a climb, not yet a pattern.
		for i := range 80 {
			if err := s.asks("ITA", 0, s.document(number(i))...); err != nil {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(time.Second)
		for i := range 50 { // within the last second, and lost
			_ = s.asks("ESP", 0, s.document(number(9_000_000+i*1000))...)
		}
		crashed := s.state.copied()
		s.stop()

		again := open(t, crashed, nil)
		if got := again.of(bureaus, "ESP"); got.GetTokens() != 0 || got.GetQuestions() < 400 || got.GetSubjects() < 380 {
			t.Errorf("after the crash: %v", got)
		}
		wantReason(t, again.asks("ESP", 0), fault.TooSoon)
		if err := again.asks("NLD", 0); err != nil { // held for up to 150 ms: everybody's bucket has filled by 15
			t.Errorf("a bureau that was not there before: %v", err)
		}
		time.Sleep(time.Second)
		if got := again.of(bureaus, "ESP").GetTokens(); got > 116 {
			t.Errorf("%.0f tokens a second after the crash, at 100 a second", got)
		}
		// The climb goes on where it was.
		passed := 0
		for i := range 200 {
			if err := again.asks("ITA", 0, again.document(number(200+i))...); err != nil {
				wantReason(t, err, fault.Throttled)
				break
			}
			passed++
			time.Sleep(100 * time.Millisecond)
		}
		if passed > 100 {
			t.Errorf("%d steps passed after the crash", passed)
		}
		// At once, and not within a second: who makes the node crash is throttled all the same.
		synctest.Wait()
		third := open(t, again.state.copied(), nil)
		if third.of(bureaus, "ITA").GetThrottledUntil() == nil {
			t.Error("the throttle did not survive a crash")
		}
		again.close()
		third.close()
	})
}

// TestCrashLoop has an attacker who can make the node crash every second.
func TestCrashLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		state := &drawer{}
		passed := 0
		for crash := range 60 {
			s := open(t, state, nil)
			for i := range 110 {
				if s.asks("ESP", 0, s.document(number(crash*110_000+i*1000))...) == nil {
					passed++
				}
				time.Sleep(10 * time.Millisecond)
			}
			state = s.state.copied()
			s.stop()
		}
		if passed > 60*111 {
			t.Errorf("%d questions passed in 66 seconds, at 100 a second", passed)
		}
		s := open(t, state, nil)
		if got := s.of(bureaus, "ESP"); got.GetSubjects() < uint64(passed)*7/10 {
			t.Errorf("%d of %d subjects are counted", got.GetSubjects(), passed)
		}
		s.close()
	})
}

func TestSavedAtMostOnceASecond(t *testing.T) {
	scene(t, nil, func(t *testing.T, s *stage) {
		for i := range 10_000 {
			_ = s.asks("ESP", 0, s.document(number(i*1000))...)
			time.Sleep(10 * time.Millisecond)
		}
		s.state.mu.Lock()
		puts := len(s.state.puts)
		s.state.mu.Unlock()
		if puts < 90 || puts > 105 {
			t.Errorf("%d saves in 100 seconds", puts)
		}
		time.Sleep(time.Hour)
		s.state.mu.Lock()
		defer s.state.mu.Unlock()
		if idle := len(s.state.puts) - puts; idle > 5 {
			t.Errorf("%d saves while nobody asked", idle)
		}
	})
}

// A state that cannot be written holds nobody up, and is written when it can be.
func TestStateFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, &drawer{}, nil)
		s.state.mu.Lock()
		s.state.broken = true
		s.state.mu.Unlock()
		for i := range 20 {
			if err := s.asks("ESP", 0, s.document(number(i*1000))...); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if _, err := s.Set(t.Context(), &adminv1.Quota{Scope: bureaus, Name: "ESP", Burst: 3}, false); err == nil || !strings.Contains(err.Error(), "could not be saved") {
			t.Errorf("a quota that is not saved: %v", err)
		}
		s.state.mu.Lock()
		s.state.broken = false
		s.state.mu.Unlock()
		time.Sleep(2 * time.Second)
		s.stop() // and a crash
		again := open(t, s.state.copied(), nil)
		if got := again.of(bureaus, "ESP"); got.GetQuestions() != 20 || got.GetQuota().GetBurst() != 3 {
			t.Errorf("after it could be written again: %v", got)
		}
		again.close()
	})
}

func TestDamagedState(t *testing.T) {
	for name, c := range map[string]struct{ key, value string }{
		"no JSON":                 {"accounts", "{"},
		"another version":         {"accounts", `{"version":3}`},
		"an account without JSON": {"account/1/ESP", "{"},
		"a nameless account":      {"account/1/", `{"scope":1,"hour":495000}`},
		"an hour of the future":   {"account/1/ESP", `{"scope":1,"name":"ESP","hour":495000,"hours":[{"hour":495001}]}`},
		"a count of nothing":      {"account/1/ESP", `{"scope":1,"name":"ESP","hour":495000,"seen":"Aw=="}`},
		"an hour without JSON":    {"hours/495000/7", "["},
		"of the first version":    {"accounts", `{"version":1,"accounts":[{"scope":1,"hour":495000}]}`},
	} {
		state := &drawer{}
		_ = state.PutState(t.Context(), "limits", c.key, []byte(c.value))
		_, err := limits.New(t.Context(), limits.Config{
			State: state, Self: "BEL",
			Book:  func(context.Context, *auditv1.Entry) error { return nil },
			Raise: func(context.Context, adminv1.AlarmKind, string, string) {},
		})
		if err == nil || !strings.Contains(err.Error(), "limits: what was saved") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestFirstVersion: what was saved in one value is known, and saved anew in many.
func TestFirstVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		state, hour := &drawer{}, time.Now().Unix()/3600
		_ = state.PutState(t.Context(), "limits", "accounts", fmt.Appendf(nil,
			`{"version":1,"clean":true,"defaults":{"1":{"burst":77}},"accounts":[{"scope":1,"name":"ESP","hour":%d,"own":{"per_second":7},"hours":[{"hour":%d,"questions":12}]}]}`, hour, hour))
		for range 2 {
			s := open(t, state, nil)
			if got := s.of(bureaus, "ESP"); got.GetQuestions() != 12 || got.GetQuota().GetPerSecond() != 7 || got.GetQuota().GetBurst() != 77 {
				t.Errorf("got %v", got)
			}
			s.close()
		}
	})
}

// TestEverybodyIsSaved: however many there are and however they ask, no value is larger than the
// state takes, and all of it is there again.
func TestEverybodyIsSaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const largest = 64 << 10
		state := &drawer{largest: largest}
		s := open(t, state, nil)
		random := rand.New(rand.NewPCG(1, 2))
		const everybody, questions = 200, 3000
		for b := range everybody {
			for q := range questions {
				near := limits.Mark(random.Uint64())
				if b%2 == 0 { // series of 24
					near = limits.Mark(uint64(q/24)*0x9E3779B97F4A7C15 ^ uint64(b)<<50)
				}
				if err := s.Asked(t.Context(), bureau(b), limits.Subject{Kind: limits.Document, Exact: limits.Mark(random.Uint64()), Near: []limits.Mark{near}}); err != nil {
					t.Fatalf("%s at %d: %v", bureau(b), q, err)
				}
			}
		}
		time.Sleep(2 * time.Second)
		crashed := s.state.copied()
		again := open(t, crashed, nil)
		if got := again.of(bureaus, string(bureau(7))).GetSubjects(); got < questions*9/10 {
			t.Errorf("after a crash %d subjects are known", got)
		}
		again.close()
		time.Sleep(time.Hour) // the hour is saved
		_ = s.asks("ESP", 0)
		time.Sleep(2 * time.Second)
		before := s.List(0, "")
		s.state.mu.Lock()
		s.state.largest = 1 << 20 // a node that stops saves all that it knows
		if s.state.tooLarge > 0 {
			t.Errorf("%d values of more than %d bytes", s.state.tooLarge, largest)
		}
		s.state.mu.Unlock()
		s.close()
		third := open(t, state, nil)
		if diff := cmp.Diff(before, third.List(0, ""), protocmp.Transform()); diff != "" {
			t.Errorf("after a restart: %s", diff)
		}
		third.close()
	})
}

// TestUnsavedIsTold: a state that cannot be written for a minute is an operator's matter.
func TestUnsavedIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, &drawer{}, nil)
		setBroken := func(broken bool) {
			s.state.mu.Lock()
			defer s.state.mu.Unlock()
			s.state.broken = broken
		}
		setBroken(true)
		for range 50 {
			_ = s.asks("ESP", 0)
			time.Sleep(time.Second)
		}
		if s.raised("DAMAGE limits") != 0 {
			t.Error("told too early")
		}
		time.Sleep(3 * time.Minute)
		if n := s.raised("DAMAGE limits"); n < 2 || n > 4 {
			t.Errorf("told %d times in three minutes", n)
		}
		setBroken(false)
		time.Sleep(5 * time.Second)
		before := s.raised("DAMAGE limits")
		_ = s.asks("ESP", 0)
		time.Sleep(5 * time.Minute)
		if s.raised("DAMAGE limits") != before {
			t.Error("told though it is saved again")
		}
		s.close()
	})
}

// A clock that was wrong and is set right neither forgets nor remembers for ever.
func TestClockIsSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var shift atomic.Int64
		shift.Store(int64(365 * 24 * time.Hour))
		s := open(t, &drawer{}, func(c *limits.Config) {
			c.Now = func() time.Time { return time.Now().Add(time.Duration(shift.Load())) }
		})
		for i := range 30 {
			_ = s.asks("ESP", 1, s.document(number(i*1000))...)
		}
		shift.Store(0)
		got := s.of(bureaus, "ESP")
		if got.GetQuestions() < 20 || got.GetPositives() < 20 || got.GetTokens() > 500 {
			t.Errorf("set back a year: %v", got)
		}
		time.Sleep(26 * time.Hour)
		if got := s.of(bureaus, "ESP"); got.GetQuestions() != 0 || got.GetSubjects() != 0 {
			t.Errorf("a day later: %v", got)
		}
		s.close()
	})
}

func TestQuotas(t *testing.T) {
	scene(t, nil, func(t *testing.T, s *stage) {
		_ = s.asks("ESP", 0)
		if all := s.List(0, ""); len(all) != 3 || all[0].GetQuota().GetName() != "" || all[0].GetOwn() {
			t.Errorf("quotas %v", all)
		}
		got, err := s.Set(t.Context(), &adminv1.Quota{Scope: bureaus, Name: "ESP", PerSecond: 2, Burst: 3}, false)
		if err != nil || !got.GetOwn() || got.GetQuota().GetPerSecond() != 2 || got.GetQuota().GetSubjectsPerDay() != 200_000 || got.GetTokens() != 3 {
			t.Errorf("own quota: %v, %v", got, err)
		}
		if _, err = s.Set(t.Context(), &adminv1.Quota{Scope: bureaus, PositivesPerDay: 9}, false); err != nil {
			t.Error(err)
		}
		if got := s.of(bureaus, "ESP").GetQuota(); got.GetPositivesPerDay() != 9 || got.GetPerSecond() != 2 {
			t.Errorf("with another default: %v", got)
		}
		got, err = s.Set(t.Context(), &adminv1.Quota{Scope: bureaus, Name: "ESP"}, false)
		if err != nil || got.GetOwn() || got.GetQuota().GetPerSecond() != 100 || got.GetQuota().GetPositivesPerDay() != 9 {
			t.Errorf("taken back: %v, %v", got, err)
		}
		if got, err := s.Set(t.Context(), &adminv1.Quota{Scope: agencies, Name: "customs", Burst: 1}, false); err != nil || !got.GetOwn() {
			t.Errorf("in advance: %v, %v", got, err)
		}
		for name, c := range map[string]struct {
			quota  *adminv1.Quota
			lift   bool
			reason fault.Reason
			field  string
		}{
			"nothing":         {nil, false, fault.QuotaUnfit, "quota"},
			"no scope":        {&adminv1.Quota{Name: "ESP"}, false, fault.QuotaUnfit, "quota.scope"},
			"no bureau":       {&adminv1.Quota{Scope: bureaus, Name: "spain"}, false, fault.QuotaUnfit, "quota.name"},
			"no agency":       {&adminv1.Quota{Scope: agencies, Name: "Zoll/Nord"}, false, fault.QuotaUnfit, "quota.name"},
			"lift for all":    {&adminv1.Quota{Scope: bureaus}, true, fault.QuotaUnfit, "quota.name"},
			"next to nothing": {&adminv1.Quota{Scope: bureaus, PerSecond: 1e-9}, false, fault.QuotaUnfit, "quota.per_second"},
			"less":            {&adminv1.Quota{Scope: bureaus, PerSecond: -1}, false, fault.QuotaUnfit, "quota.per_second"},
			"a huge burst":    {&adminv1.Quota{Scope: bureaus, Burst: 1 << 31}, false, fault.QuotaUnfit, "quota.burst"},
			"a stranger":      {&adminv1.Quota{Scope: bureaus, Name: "XYZ"}, true, fault.QuotaNotFound, "quota.name"},
		} {
			_, err := s.Set(t.Context(), c.quota, c.lift)
			if reason, _ := fault.ReasonOf(err); reason != c.reason || fault.FieldOf(err) != c.field {
				t.Errorf("%s: %v (%s)", name, err, fault.FieldOf(err))
			}
		}
	})
}
