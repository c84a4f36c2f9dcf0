// Package policy decides, by a country's own rules in Cedar, what may be checked, asked,
// answered and told, and what goes with it.
//
// It is pure: it reads the folder of policies that it is handed (Load), makes the texts of
// others (Defaults, Permit), and otherwise computes. It does no other I/O, reads no clock, keeps
// no books and enforces nothing: node/gate does. It does not know the roster:
// who stands behind a request has been proven before it comes here.
//
// Everything is denied that no policy permits. A policy that fails while it is evaluated denies
// the request, permit or forbid alike: Cedar itself would skip it, and a forbid that is skipped
// is a door left open. A folder is loaded whole or not at all; a policy that speaks of anything
// outside the vocabulary (entente.cedarschema), or bears an annotation that is not known or
// would have no effect, is refused with its file and line.
//
// Cedar evaluates the policies, all that can concern a request, and no decision depends on one
// that was made before: a decision on a check or a question that is remembered is the one that
// would be made again. Policies on single records are compiled as far as they use the plain part
// of the language (compile.go), which decides as Cedar does, to the word, and costs a tenth; what
// goes beyond it is Cedar's. Decisions on records are never remembered.
//
// # Obligations
//
// The deciding policies of a decision that allows (Cedar: the determining permits) bear its
// obligations as annotations, combined so that adding a policy never loosens what another asks:
//
//	@id("...")        names the policy in the books; every policy has one, each its own
//	@legal("...")     cites the law; no effect
//	@redact("a,b")    fields of a hit that are taken out: union
//	@retention("P30D")  days after which the receiver must have erased: minimum
//	@handling("europol/H1")  how the receiver must handle it: strictest
//	@hold             a person must look before it goes on: any
//	@evidence("full") whole evidence instead of bands: only if every deciding permit says full
//	@optional         a check is complete without this bureau: only if every deciding permit says so
//	@advice("...")    what the officer is advised: each once
//
// # One flow
//
// A Bulgarian post asks Spain about a traveller. At home, Ask says whether ESP/persons may be
// asked for border control; in Spain, Answer says whether BGR may have an answer, from the
// question alone; Disclose says for each record that matches whether BGR may be told of it. Each
// Decision names the rules that decided, and Explain shows them.
package policy
