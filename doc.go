// Package entente is the root of the house: a mesh of national police bureaus in which each runs
// its own node, keeps its own data and answers the others under its own policy. There is no
// central component.
//
// The package holds no program. Its tests hold the rules of the house: which way imports run,
// which package alone knows what, and what no file may contain. The rooms, in the order in which
// a newcomer reads them: proto (what everybody says), pki (who is who), federation (what bureaus
// say to each other), node (one bureau from the inside), cmd (the one binary).
//
// One flow: cmd starts a node; a node speaks through federation; federation is trusted through
// pki; proto is what everybody says.
package entente
