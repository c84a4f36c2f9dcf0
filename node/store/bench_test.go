package store_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/entente-mesh/entente/node/store"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// stolenPassport is an invented row as SLTD has it. Numbers are scattered over their whole space,
// which is the worst order for the indexes.
func stolenPassport(i int) store.Put {
	number := fmt.Sprintf("%c%c%07d", 'A'+i%26, 'A'+i/26%26, uint64(i)*7_919_131%10_000_000)
	return store.Put{Collection: store.Documents, Source: "sltd", Record: &recordv1.Record{
		RecordId: "sltd:BEL:" + number + fmt.Sprintf(":%d", i/6_760_000),
		Stewardship: &recordv1.Stewardship{
			OwnerBureau: "BEL",
			NationalRef: fmt.Sprintf("BE-%09d", i),
			Audience:    &recordv1.Audience{Mode: recordv1.AudienceMode_AUDIENCE_MODE_ALL_PERMITTED},
		},
		Body: &recordv1.Record_Document{Document: &recordv1.Document{
			Number: number, NumberKey: number, Issuer: "BEL",
			Type: recordv1.DocumentType_DOCUMENT_TYPE_PASSPORT, Status: recordv1.DocumentStatus_DOCUMENT_STATUS_STOLEN,
			ReportingCountry: "BEL", Theft: &recordv1.Theft{On: "2014-10-02", Country: "BEL"},
			IssueDate: "2011-03-01", ExpiryDate: "2021-02-28",
		}},
	}}
}

const batchSize = 2_000

func fill(b *testing.B, s *store.Store, from, to int) {
	b.Helper()
	for from < to {
		n := min(batchSize, to-from)
		batch := make([]store.Put, n)
		for i := range batch {
			batch[i] = stolenPassport(from + i)
		}
		if _, err := s.Put(context.Background(), batch); err != nil {
			b.Fatal(err)
		}
		from += n
	}
}

func openBench(b *testing.B) *store.Store {
	b.Helper()
	s, err := store.Open(b.Context(), config(b, filepath.Join(b.TempDir(), "store.db")))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	return s
}

// BenchmarkImport measures an import at the end of 500,000 documents: one operation is a batch of
// 2,000 more.
func BenchmarkImport(b *testing.B) {
	const before = 500_000
	s := openBench(b)
	started := time.Now()
	fill(b, s, 0, before)
	b.ReportMetric(before/time.Since(started).Seconds(), "fill-rows/s")
	at := before
	b.ResetTimer()
	for b.Loop() {
		fill(b, s, at, at+batchSize)
		at += batchSize
	}
	b.ReportMetric(float64(at-before)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkReimport measures the same file again, where nothing changes.
func BenchmarkReimport(b *testing.B) {
	const before = 20_000
	s := openBench(b)
	fill(b, s, 0, before)
	rows := 0
	b.ResetTimer()
	for b.Loop() {
		fill(b, s, rows%before, rows%before+batchSize)
		rows += batchSize
	}
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkFindDocuments measures a look-up that finds one document and one that finds none, with
// ranges of blanks present.
func BenchmarkFindDocuments(b *testing.B) {
	const before = 100_000
	s := openBench(b)
	fill(b, s, 0, before)
	var blanks []store.Put
	for i := range 1_000 {
		p := stolenPassport(before + i)
		p.Record.RecordId = fmt.Sprintf("blank:%d", i)
		d := p.Record.GetDocument()
		d.Number = fmt.Sprintf("EH%06d", i*1000)
		d.NumberKey = d.Number
		d.RangeEnd = fmt.Sprintf("EH%06d", i*1000+300)
		d.Status = recordv1.DocumentStatus_DOCUMENT_STATUS_STOLEN_BLANK
		blanks = append(blanks, p)
	}
	if _, err := s.Put(b.Context(), blanks); err != nil {
		b.Fatal(err)
	}
	find := func(b *testing.B, want int, key func() string) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				got, err := s.FindDocuments(b.Context(), store.DocumentLookup{Keys: []string{key()}})
				if err != nil || len(got) != want {
					b.Errorf("got %d, %v, want %d", len(got), err, want)
					return
				}
			}
		})
	}
	b.Run("hit", func(b *testing.B) {
		find(b, 1, func() string { return stolenPassport(rand.IntN(before)).Record.GetDocument().NumberKey })
	})
	b.Run("none", func(b *testing.B) {
		find(b, 0, func() string { return fmt.Sprintf("X%08d", rand.IntN(100_000_000)) })
	})
	b.Run("blank", func(b *testing.B) {
		find(b, 1, func() string { return fmt.Sprintf("EH%06d", rand.IntN(1000)*1000+rand.IntN(301)) })
	})
}

// BenchmarkImportPersons measures an import of persons, each under a key of its own: one operation
// is a batch of 1,000.
func BenchmarkImportPersons(b *testing.B) {
	s := openBench(b)
	at := 0
	for b.Loop() {
		batch := make([]store.Put, 1000)
		for i := range batch {
			batch[i] = suspect(at+i, fmt.Sprintf("Invented %07d Person", at+i))
		}
		if _, err := s.Put(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
		at += len(batch)
	}
	b.ReportMetric(float64(at)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkPutState measures durable state by one caller and by many at once.
func BenchmarkPutState(b *testing.B) {
	var n atomic.Int64
	value := make([]byte, 200)
	b.Run("one", func(b *testing.B) {
		s := openBench(b)
		for b.Loop() {
			if err := s.PutState(b.Context(), "limits", fmt.Sprint(n.Add(1)%1000), value); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("many", func(b *testing.B) {
		s := openBench(b)
		b.SetParallelism(32)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := s.PutState(b.Context(), "limits", fmt.Sprint(n.Add(1)%1000), value); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
}

func suspect(i int, name string) store.Put {
	return store.Put{Collection: store.Persons, Source: "wanted", Record: &recordv1.Record{
		RecordId:    fmt.Sprintf("p:%d", i),
		Stewardship: &recordv1.Stewardship{OwnerBureau: "BEL"},
		Body: &recordv1.Record_Person{Person: &recordv1.Person{
			Names: []*recordv1.Name{{Parts: []*recordv1.NamePart{{Kind: recordv1.NamePartKind_NAME_PART_KIND_FULL, Text: name}}}},
			Role:  recordv1.PersonRole_PERSON_ROLE_WANTED,
		}},
	}}
}
