package limits

import "time"

// bucket is a token bucket: it holds what may be asked at once and fills up over time. Its owner
// is the account that holds it. It is arithmetic alone, so that it can be saved and restored.
type bucket struct {
	tokens float64
	at     time.Time // when it held as many
}

// fill counts the tokens up to now. A clock that was set back fills nothing.
func (b *bucket) fill(now time.Time, rate, burst float64) {
	if elapsed := now.Sub(b.at); elapsed > 0 {
		b.tokens += elapsed.Seconds() * rate
	}
	b.tokens = min(b.tokens, burst)
	b.at = now
}

// take takes one token, or says how long it takes until there is one.
func (b *bucket) take(now time.Time, rate, burst float64) (wait time.Duration, ok bool) {
	b.fill(now, rate, burst)
	if b.tokens >= 1 {
		b.tokens--
		return 0, true
	}
	const longest = 24 * time.Hour // a rate near nothing has no time that a Duration could hold
	seconds := (1 - b.tokens) / rate
	if seconds >= longest.Seconds() {
		return longest, false
	}
	return time.Duration(seconds * float64(time.Second)), false
}
