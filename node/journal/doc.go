// Package journal is a node's book of what passed the gate: append-only, and the truth. The Merkle
// log, the lists that auditors read and the memory of asks all follow from it.
//
// It decides nothing, and asks nobody who may read it: that is the gate's and the API's. It proves
// nothing to outsiders: that is the tree's, which is built over its leaves (node/audit).
//
// One flow: the gate calls Record with a passage. In the caller's own goroutine the entry and the
// evidence are serialised, committed to under a salt, and sealed. The committer takes whatever has
// gathered while the last group was being synced, writes it with one write, syncs the file once,
// and wakes all who wait: what they recorded now outlives a kill, a crash, and a lost power
// supply. The tree reads the new leaves (Grown, ReadLeaves).
//
// # Files
//
// A journal is a folder of segments, 00000001.seg and so on, each a header and groups of frames. A
// group is what one sync made durable, whole or not at all. A frame is a leaf with what it is
// about: for each passage its commitment, in the clear, and two sealed bodies, the entry and the
// evidence. Each segment has a key of its own in the vault. A frame ends in a hash over its own
// head and the hash before it, so that no frame can be changed, moved, doubled or left out without
// all later ones telling. The bodies are not in the hash, because they can be erased; each is bound
// to its segment and its commitment by its seal.
//
// A full segment has an index beside it, 00000001.idx, which is sealed too and made anew when it is
// missing. The file head says up to where the journal was durable when it was last written: it is
// what tells a write that a crash tore, which is cut, from a loss, which is not accepted.
//
// # Erasing
//
// EraseEvidence overwrites single bodies in place. Retain destroys the keys of whole segments, and
// then replaces each by its leaves alone, 00000001.leaves: destroyed keys make the bodies
// unreadable at once, and the rewriting takes them off the disk, where they would only wait for
// someone who finds an old backup of the vault. Both are booked in the journal first, and carried
// out again when it is opened if a crash came between. A body that is gone and not booked as erased
// is a flaw (Check).
//
// What nobody here can do is to make a disk forget: file systems that write elsewhere, and flash,
// keep old blocks for a while. They hold only what is sealed.
package journal
