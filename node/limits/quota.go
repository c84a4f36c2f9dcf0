package limits

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/federation/fault"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
)

// quota is how much one account may ask. A field that is 0 is not said.
type quota struct {
	PerSecond float64 `json:"per_second,omitempty"`
	Burst     uint32  `json:"burst,omitempty"`
	Subjects  uint64  `json:"subjects_per_day,omitempty"`
	Positives uint64  `json:"positives_per_day,omitempty"`
}

func quotaOf(q *adminv1.Quota) quota {
	return quota{q.GetPerSecond(), q.GetBurst(), q.GetSubjectsPerDay(), q.GetPositivesPerDay()}
}

// over returns the quota with what it does not say from another.
func (q quota) over(other quota) quota {
	return quota{
		cmp.Or(q.PerSecond, other.PerSecond), cmp.Or(q.Burst, other.Burst),
		cmp.Or(q.Subjects, other.Subjects), cmp.Or(q.Positives, other.Positives),
	}
}

func (q quota) proto(k accountKey) *adminv1.Quota {
	return &adminv1.Quota{
		Scope: k.scope, Name: k.name,
		PerSecond: q.PerSecond, Burst: q.Burst, SubjectsPerDay: q.Subjects, PositivesPerDay: q.Positives,
	}
}

// shipped is the quota of those for whom nobody has said another. Reasons says why.
func shipped(scope adminv1.QuotaScope) quota {
	if scope == adminv1.QuotaScope_QUOTA_SCOPE_AGENCY {
		return quota{PerSecond: 1000, Burst: 5000, Subjects: 3_000_000, Positives: 20_000}
	}
	return quota{PerSecond: 100, Burst: 500, Subjects: 200_000, Positives: 500}
}

// List returns the quotas and how much of them is used: the defaults (with an empty name), then
// all who have asked or have limits of their own, by scope and name. An unspecified scope and an
// empty name do not restrict.
func (l *Limits) List(scope adminv1.QuotaScope, name string) []*adminv1.QuotaState {
	now := l.cfg.Now()
	var states []*adminv1.QuotaState
	for _, s := range []adminv1.QuotaScope{adminv1.QuotaScope_QUOTA_SCOPE_BUREAU, adminv1.QuotaScope_QUOTA_SCOPE_AGENCY} {
		if name == "" && (scope == s || scope == adminv1.QuotaScope_QUOTA_SCOPE_UNSPECIFIED) {
			states = append(states, l.defaultState(s))
		}
	}
	for _, a := range l.all() {
		if (scope == a.key.scope || scope == adminv1.QuotaScope_QUOTA_SCOPE_UNSPECIFIED) && (name == "" || name == a.key.name) {
			states = append(states, l.state(a, now))
		}
	}
	slices.SortStableFunc(states, func(a, b *adminv1.QuotaState) int {
		return cmp.Or(cmp.Compare(a.GetQuota().GetScope(), b.GetQuota().GetScope()), cmp.Compare(a.GetQuota().GetName(), b.GetQuota().GetName()))
	})
	return states
}

func (l *Limits) defaultState(scope adminv1.QuotaScope) *adminv1.QuotaState {
	l.mu.RLock()
	defer l.mu.RUnlock()
	q := l.defaults[scope]
	return &adminv1.QuotaState{Quota: q.over(l.configured[scope]).proto(accountKey{scope, ""}), Own: q != quota{}}
}

func (l *Limits) state(a *account, now time.Time) *adminv1.QuotaState {
	fallback := l.fallback(a.key.scope)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.roll(now)
	q := a.own.over(fallback)
	rate, burst := a.pace(now, q)
	a.ask.fill(now, rate, burst)
	s := &adminv1.QuotaState{Quota: q.proto(a.key), Own: a.own != quota{}, Tokens: a.ask.tokens, Subjects: a.seen.count()}
	for i := range a.hours {
		s.Questions += a.hours[i].questions
		s.Positives += a.hours[i].positives
		s.TurnedAway += a.hours[i].turned
	}
	if now.Before(a.throttle.until) {
		s.ThrottledSince, s.ThrottledUntil = timestamppb.New(a.throttle.since), timestamppb.New(a.throttle.until)
	}
	return s
}

var (
	bureauName = regexp.MustCompile(`^[A-Z]{3}$`)
	agencyName = regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?$`)
)

// Set changes the quota of one bureau or agency, or with an empty name of all that have none of
// their own, and returns it as it holds now. A field that is 0 takes the default, so that a quota
// of nothing but zeros takes an own one back. lift ends a throttle that holds now. What is set is
// durable when Set returns. It fails with QUOTA_UNFIT, which names the field, and with
// QUOTA_NOT_FOUND for a throttle of somebody who never asked.
func (l *Limits) Set(ctx context.Context, q *adminv1.Quota, lift bool) (*adminv1.QuotaState, error) {
	if err := fit(q); err != nil {
		return nil, err
	}
	want := quotaOf(q)
	k := accountKey{q.GetScope(), q.GetName()}
	if k.name == "" {
		if lift {
			return nil, unfit("quota.name", "name the bureau or the agency whose throttle is to end")
		}
		l.mu.Lock()
		l.defaults[k.scope] = want
		l.mu.Unlock()
		if err := l.save(ctx, false); err != nil {
			return nil, unsaved(err)
		}
		return l.defaultState(k.scope), nil
	}
	l.mu.RLock()
	a := l.accounts[k]
	l.mu.RUnlock()
	if a == nil && want == (quota{}) {
		return nil, fault.New(codes.NotFound, fault.QuotaNotFound, "quota.name", "nobody of this name has asked or has limits of its own: check the name with entente quota show")
	}
	if a == nil {
		a = l.account(k.scope, k.name)
	}
	now := l.cfg.Now()
	a.mu.Lock()
	a.roll(now)
	if !lift || want != (quota{}) { // who lifts a throttle and says no more changes no limit
		a.own = want
	}
	if lift {
		a.lift(now)
	}
	a.dirty = true
	a.mu.Unlock()
	if err := l.save(ctx, false); err != nil {
		return nil, unsaved(err)
	}
	return l.state(a, now), nil
}

func unsaved(err error) error {
	return fmt.Errorf("the quota holds now but could not be saved, so that it is gone after a restart: %w", err)
}

func unfit(field, message string) error {
	return fault.New(codes.InvalidArgument, fault.QuotaUnfit, field, message)
}

// fit says which field cannot hold, and what to write.
func fit(q *adminv1.Quota) error {
	name := q.GetName()
	rate := q.GetPerSecond()
	switch {
	case q == nil:
		return unfit("quota", "give a quota")
	case q.GetScope() == adminv1.QuotaScope_QUOTA_SCOPE_BUREAU && name != "" && !bureauName.MatchString(name):
		return unfit("quota.name", "give a bureau's id: three capital letters")
	case q.GetScope() == adminv1.QuotaScope_QUOTA_SCOPE_AGENCY && name != "" && !agencyName.MatchString(name):
		return unfit("quota.name", "give an agency as it stands in its certificates: lower-case letters, digits, dots, dashes or underscores")
	case q.GetScope() != adminv1.QuotaScope_QUOTA_SCOPE_BUREAU && q.GetScope() != adminv1.QuotaScope_QUOTA_SCOPE_AGENCY:
		return unfit("quota.scope", "say whether it is for a bureau or for an agency")
	case math.IsNaN(rate) || rate < 0 || rate > 1e6:
		return unfit("quota.per_second", "give a number from 0 (the default) to 1000000")
	case rate > 0 && rate < 1e-4:
		return unfit("quota.per_second", "give at least 0.0001, which is nine a day; to cut a bureau off, distrust it")
	case q.GetBurst() > 1e6:
		return unfit("quota.burst", "give a number from 0 (the default) to 1000000")
	}
	return nil
}

// Reason is one default and why it is what it is.
type Reason struct {
	What           string
	Bureau, Agency string // the value for another bureau and for an own agency; one of them may be empty
	Why            string
}

// Reasons returns the defaults with their reasons, as the documentation prints them.
func Reasons() []Reason {
	b, a := shipped(adminv1.QuotaScope_QUOTA_SCOPE_BUREAU), shipped(adminv1.QuotaScope_QUOTA_SCOPE_AGENCY)
	budget := DefaultBudget()
	window := span(2 * nearWindow)
	return []Reason{
		{"questions a second (`per_second`)", number(b.PerSecond), number(a.PerSecond), "All of INTERPOL's databases together answer 250 searches a second from the whole world, SIS 475 from 30 states. No bureau needs 100 from one other; no agency twice what SIS serves."},
		{"questions at once (`burst`)", number(b.Burst), number(a.Burst), "The largest aircraft seats 500, and its list comes at once; a large airport has ten of them in an hour's peak."},
		{"distinct documents and persons a day (`subjects_per_day`)", number(b.Subjects), number(a.Subjects), "The heaviest user of INTERPOL's lists in 2013 made 685,000 searches a day, about the documents of all states together; of one state, a seventh of that is high, and a traveller is a document and a person. The largest border service checks some 1,100,000 travellers a day."},
		{"questions a day", number(questionsFactor) + " times `subjects_per_day`", number(questionsFactor) + " times `subjects_per_day`", "Each question stays in the books. A traveller is asked about at several counters, and again when a connection failed; more is a mistake in a program, or somebody who fills the disk."},
		{"positive answers a day (`positives_per_day`)", number(b.Positives), number(a.Positives), "One search of 15,500 hits (SLTD 2023), so that 200,000 questions have 13 hits; names have more, of which most are somebody else. At 500 records a day, a collection of 128 million lasts 700 years. The own border must not stop for its hits: one traveller in fifty."},
		{"distinct subjects in an hour", "a " + ordinal(surgeShare) + " of the day's", "a " + ordinal(surgeShare) + " of the day's", fmt.Sprintf("Pattern of enumeration. The busiest hour of a border has a tenth of the day; and it is more than %d times the busiest hour that this asker usually has.", surgeFactor)},
		{"positive answers in an hour", "a " + ordinal(surgeShare) + " of the day's", "a " + ordinal(surgeShare) + " of the day's", "Pattern of enumeration, as above."},
		{"different questions in one neighbourhood within " + window, number(nearDistinct), number(64 * sampleOf(a)), "Pattern of enumeration: numbers that differ in their last three characters, names under one birth date, birth dates under one name. A coach of 50 with passports of one series is none. The count is an estimate: the alarm comes at two thirds to four thirds of it. It grows with the quota, by the powers of two."},
		{"throttle after a pattern", number(trickleBurst) + " question, then one in " + span(trickleEvery) + ", for " + span(throttleFirst), "the same", "Who works through a list gets nowhere, a person at a counter still gets an answer. Each time doubles, up to " + span(throttleLongest) + ", and halves the room of the two rows above; it is forgotten after " + span(throttleMemory) + " without one."},
		{"other calls a second (gossip, offers, rosters, proofs; administration)", number(otherRate) + ", at once " + number(otherBurst), number(otherRateLocal) + ", at once " + number(otherBurstLocal), "Apart from the questions, so that who is held back can still prove its log and receive the roster; an import by single records goes through."},
		{"open streams", number(streamsMesh), number(streamsLocal), "A bureau needs one of gossip and one of offers for each replica; an agency one a post that sends lists."},
		{"calls that wait, and how long", number(queueMesh) + ", " + span(patienceMesh), number(queueLocal) + ", " + span(patienceLocal), "A check waits two seconds for other bureaus, an officer no longer; who would wait longer is better told so."},
		{"candidates looked at for a question", number(budget.Candidates), number(budget.Candidates), "A common name has some hundreds of neighbours in a list of 10,000; who asks for more is not looking for a person."},
		{"time for a question", span(budget.Time), span(budget.Time), "INTERPOL answers within half a second; a question that takes longer is built to."},
	}
}

// number writes a number with commas.
func number[N int | uint32 | uint64 | float64](n N) string {
	digits := fmt.Sprintf("%.0f", float64(n))
	var parts []string
	for len(digits) > 3 {
		parts = append([]string{digits[len(digits)-3:]}, parts...)
		digits = digits[:len(digits)-3]
	}
	return strings.Join(append([]string{digits}, parts...), ",")
}

// span writes a duration as one number and its unit.
func span(d time.Duration) string {
	for _, unit := range []struct {
		length time.Duration
		name   string
	}{{24 * time.Hour, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}, {time.Second, "second"}, {time.Millisecond, "millisecond"}} {
		if n := d / unit.length; n > 0 && d%unit.length == 0 {
			if n == 1 {
				return "1 " + unit.name
			}
			return fmt.Sprintf("%d %ss", n, unit.name)
		}
	}
	return d.String()
}

func ordinal(share uint64) string {
	if share == 10 {
		return "tenth"
	}
	return fmt.Sprintf("%dth", share)
}
