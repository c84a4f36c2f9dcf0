package match

import (
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"github.com/entente-mesh/entente/node/match/names"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// MaxHits is the most candidates that Search returns: all that are compared as a whole. Whoever
// withholds some of them must see the rest.
const MaxHits = 400

// Persons is an index of recorded persons, searched by name. It is safe for concurrent use: those
// who search wait for no change longer than it takes to write one person.
type Persons struct {
	index  *names.Index
	bodies bodies
	opened atomic.Uint64 // bodies

	setting sync.Mutex // one at a time changes the point or what was measured
	point   atomic.Pointer[OperatingPoint]
	// calibration holds the thresholds that were measured; nil: those of the point.
	calibration atomic.Pointer[Calibration]
	innocents   atomic.Pointer[innocents] // from whose scores the calibration follows; nil: not measured
	recall      atomic.Pointer[recalled]  // what it costs; nil: not measured
}

// Options are the settings of an index. The zero value is ready for use.
type Options struct {
	// Point is where a person is told of. Optional: DefaultPoint.
	Point OperatingPoint
}

// NewPersons returns an empty index.
func NewPersons(o Options) *Persons {
	if o.Point == (OperatingPoint{}) {
		o.Point = DefaultPoint
	}
	p := &Persons{index: names.NewIndex()}
	p.point.Store(&o.Point)
	return p
}

// BuildPersons returns an index of many persons at once, which takes less time than as many Puts. Of
// two with one id the later counts; one without a body takes the earlier out.
func BuildPersons(o Options, records iter.Seq[*recordv1.Record]) *Persons {
	p := NewPersons(o)
	gone := make(map[string]struct{})
	p.index = names.Build(func(yield func(*names.Person) bool) {
		for rec := range records {
			id := rec.GetRecordId()
			person, ok := subjectOf(id, rec)
			if !ok {
				if p.bodies.remove(id) {
					gone[id] = struct{}{}
				}
				continue
			}
			delete(gone, id)
			p.bodies.put(person.ID, rec)
			if !yield(person) {
				return
			}
		}
	})
	for id := range gone {
		p.index.Remove(id)
	}
	if p.bodies.len() > p.index.Len() { // names that cannot be read
		for _, id := range p.bodies.ids() {
			if !p.index.Has(id) {
				p.bodies.remove(id)
			}
		}
	}
	return p
}

// Put adds a person to the index, or replaces them. A record that cannot be matched against
// travellers (an entity, no person, no name in a known script) is taken out.
func (p *Persons) Put(id string, rec *recordv1.Record) {
	person, ok := subjectOf(id, rec)
	if !ok {
		p.Remove(id)
		return
	}
	// The body first: who is found can be told of.
	p.bodies.put(id, rec)
	if !p.index.Put(person) {
		p.Remove(id)
	}
}

// Remove takes a person out of the index; nothing happens if they are not in it.
func (p *Persons) Remove(id string) {
	p.index.Remove(id)
	p.bodies.remove(id)
}

// Keep takes out all whom keep does not name.
func (p *Persons) Keep(keep func(id string) bool) {
	for _, id := range p.bodies.ids() {
		if !keep(id) {
			p.Remove(id)
		}
	}
}

// Point is the operating point.
func (p *Persons) Point() OperatingPoint { return *p.point.Load() }

// SetPoint sets the operating point, also while others search. Where the innocents' scores are at
// hand, the thresholds follow from them at once; what was recalled for another point does not hold for
// this one: until Calibrate has measured again, the thresholds are those that follow from the point
// alone.
func (p *Persons) SetPoint(o OperatingPoint) {
	p.setting.Lock()
	defer p.setting.Unlock()
	if old := p.point.Swap(&o); *old != o {
		p.calibration.Store(p.innocents.Load().calibration(o))
	}
}

// Has says whether a person is in the index.
func (p *Persons) Has(id string) bool { return p.bodies.has(id) }

// Len is the number of persons that can be found.
func (p *Persons) Len() int { return p.index.Len() }

// Names is the number of names that are held.
func (p *Persons) Names() int { return p.index.Names() }

// Opened is how many bodies were opened so far, those of decoys among them.
func (p *Persons) Opened() uint64 { return p.opened.Load() }

// Wait returns when the index does no work of its own any more.
func (p *Persons) Wait() { p.index.Wait() }

// Search returns the persons that may be the one asked about, best first, at most limit of them and
// at most MaxHits. A query without a name in a known script finds nobody.
func (p *Persons) Search(q *queryv1.PersonQuery, limit int) []Candidate {
	found, _ := p.search(q, limit)
	return found
}

// work is what a search took, as far as it depends on who is held.
type work struct {
	names  int // that were compared
	opened int // bodies
	bytes  int // of those bodies
}

func (p *Persons) search(q *queryv1.PersonQuery, limit int) ([]Candidate, work) {
	limit = min(limit, MaxHits)
	asked := askedOf(q)
	least := p.threshold(asked)
	result := p.index.Search(asked, least, limit)
	took := work{names: result.Compared}
	var found []Candidate
	for i := range result.Found {
		r := &result.Found[i]
		if r.Score < least {
			break
		}
		rec, size := p.bodies.open(r.ID)
		if rec == nil {
			continue // withdrawn since
		}
		p.opened.Add(1)
		took.opened, took.bytes = took.opened+1, took.bytes+size
		if c, ok := candidateOf(q, asked, r, rec); ok {
			found = append(found, c)
		}
	}
	sortCandidates(found)
	return found, took
}

// Rank returns the persons that are the nearest to the one asked about, whether or not anybody
// should be told of them, with the log-odds that they are the person: for measuring.
func (p *Persons) Rank(q *queryv1.PersonQuery, limit int) []Ranked {
	var out []Ranked
	asked := askedOf(q)
	for _, r := range p.index.Search(asked, unreachable, limit).Found {
		out = append(out, Ranked{r.ID, float64(r.Score)})
	}
	return out
}

// Threshold is the log-odds from which on Search tells of a person.
func (p *Persons) Threshold(q *queryv1.PersonQuery) float64 {
	return float64(p.threshold(askedOf(q)))
}

// Alerts is for how many travellers of one name Search would tell of somebody, if they were born on
// those days: for measuring, the name is searched once. A date that is empty is not known.
func (p *Persons) Alerts(q *queryv1.PersonQuery, births []string) int {
	asked := askedOf(q)
	near, alerts := p.index.Nearest(asked, leastName), 0
	for _, date := range births {
		asked.Birth, asked.BirthKnown = askedSpan(date)
		beside := names.Besides - 1
		if near.Best(asked)[beside] >= p.threshold(asked) {
			alerts++
		}
	}
	return alerts
}

// Likeness compares two names and nothing else, from 0 to 1; from LikeFrom on they are taken for one
// person's.
func (p *Persons) Likeness(a, b string) float64 { return p.index.Likeness(a, b) }

// LikeFrom is the likeness from which on two names are taken for one person's.
const LikeFrom = names.LikeFrom

// Ranked is one person and the log-odds of them.
type Ranked struct {
	ID      string
	LogOdds float64
}

// unreachable is a score of which nobody needs to know why it came about.
const unreachable = 1e6

// askedOf is a query as the index wants it.
func askedOf(q *queryv1.PersonQuery) *names.Query {
	a := &names.Query{Name: q.GetName(), Primary: q.GetPrimary(), Secondary: q.GetSecondary(), Truncated: q.GetTruncated()}
	a.Birth, a.BirthKnown = askedSpan(q.GetBirthDate())
	if n := q.GetNationality(); n != nationalityUnspecified {
		a.Nationality = issuerOf(n)
	}
	if c := q.GetBirthCountry(); c != nationalityUnspecified {
		a.Born = issuerOf(c)
	}
	a.Sex = sexLetter(q.GetSex())
	return a
}

// subjectOf is a record as the index wants it.
func subjectOf(id string, rec *recordv1.Record) (*names.Person, bool) {
	person := rec.GetPerson()
	if person == nil || person.GetKind() == recordv1.PersonKind_PERSON_KIND_ENTITY {
		return nil, false
	}
	p := &names.Person{ID: id, Sex: sexLetter(person.GetSex())}
	for _, n := range person.GetNames() {
		// All of them, so that a name is told by its place; one that cannot be read is no name there.
		p.Names = append(p.Names, names.Name{Text: textOf(n), Trust: trustOf(n.GetType())})
	}
	for _, b := range person.GetBirths() {
		if s, ok := recordedSpan(b); ok {
			p.Births = append(p.Births, s)
		}
		if b.GetCountry() != nationalityUnspecified {
			p.Born = append(p.Born, issuerOf(b.GetCountry()))
		}
	}
	for _, n := range person.GetNationalities() {
		if n.GetCode() != nationalityUnspecified {
			p.Nationalities = append(p.Nationalities, names.Nationality{Code: issuerOf(n.GetCode()),
				Former: n.GetStatus() == recordv1.NationalityStatus_NATIONALITY_STATUS_FORMER})
		}
	}
	for _, d := range person.GetNotSameAs() {
		// Without a whole date and a name a distinction would let too many pass.
		if b, ok := askedSpan(d.GetBirthDate()); ok && b.From == b.To {
			p.NotSame = append(p.NotSame, names.NotSame{Name: d.GetName(), Born: b.From})
		}
	}
	return p, true
}

// textOf is a name without its titles.
func textOf(n *recordv1.Name) string {
	text := ""
	for _, part := range n.GetParts() {
		if part.GetKind() == recordv1.NamePartKind_NAME_PART_KIND_TITLE || part.GetText() == "" {
			continue
		}
		if text != "" {
			text += " "
		}
		text += part.GetText()
	}
	return text
}

func trustOf(t recordv1.NameType) names.Trust {
	switch t {
	case recordv1.NameType_NAME_TYPE_LOW_QUALITY:
		return names.Weak
	case recordv1.NameType_NAME_TYPE_NOM_DE_GUERRE:
		return names.NomDeGuerre
	}
	return names.Good
}

// sexLetter is a sex that a document tells. X is what it says of somebody whose sex it does not tell.
func sexLetter(s recordv1.Sex) byte {
	switch s {
	case recordv1.Sex_SEX_FEMALE:
		return 'F'
	case recordv1.Sex_SEX_MALE:
		return 'M'
	}
	return 0
}

// askedSpan reads a query's birth date: "YYYY", "YYYY-MM" or "YYYY-MM-DD". Parts that name no day
// of the calendar are not known: a zone holds "00" and worse.
func askedSpan(date string) (names.Span, bool) {
	if len(date) < 4 || date[:4] == "0000" {
		return names.Span{}, false
	}
	if d, err := time.Parse(time.DateOnly, date); err == nil {
		return days(d, d), true
	}
	if len(date) >= len("2006-01") {
		if d, err := time.Parse("2006-01", date[:len("2006-01")]); err == nil {
			return days(d, d.AddDate(0, 1, -1)), true
		}
	}
	if d, err := time.Parse("2006", date[:len("2006")]); err == nil {
		return days(d, d.AddDate(1, 0, -1)), true
	}
	return names.Span{}, false
}

func days(from, to time.Time) names.Span { return names.Span{From: names.Day(from), To: names.Day(to)} }

// recordedSpan reads a record's statement. A span that ends before it begins says nothing.
func recordedSpan(b *recordv1.Birth) (names.Span, bool) {
	from, err := time.Parse(time.DateOnly, b.GetFrom())
	if err != nil {
		return names.Span{}, false
	}
	to := from
	if b.GetTo() != "" {
		if to, err = time.Parse(time.DateOnly, b.GetTo()); err != nil || to.Before(from) {
			return names.Span{}, false
		}
	}
	s := days(from, to)
	s.About = b.GetPrecision() == recordv1.DatePrecision_DATE_PRECISION_APPROXIMATE
	return s, true
}
